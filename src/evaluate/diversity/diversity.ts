/**
 * Diversity and form of sampled completions: how much they repeat each other and themselves, whether they end, and whether
 * their Markdown is well formed. The content is not judged. Needs no libtorch.
 */

import { repeatedShare, type TokenList } from "../../text/ngrams.ts";
import { selfBleu, words } from "./bleu.ts";
import { FORM_FAULTS, type FormFault, formOf } from "./markdown-form.ts";
import { distinctN, meanLength } from "./text-statistics.ts";

/** One answer. */
export interface SampledText {
  text: string;
  /** True when it ended by itself, false when it was cut at a length limit, null when that is not known. */
  ended: boolean | null;
  /** Its tokens without the one that ended it, where they are known. */
  ids?: readonly number[];
  /** Entropy of the model's next-token distribution at each token (nats), or −log-probability as an estimate of it. */
  entropies?: readonly number[];
}

/** The answers to one prompt. */
export interface AnsweredPrompt {
  prompt: string;
  answers: readonly SampledText[];
}

/** What n-grams and lengths are counted in: 13a words, or the model's tokens. */
export type Unit = "words" | "tokens";

/** The metrics, with what each says (a table): the columns of reports and of the command's output. */
export const DIVERSITY_METRICS = {
  self_bleu:
    "Self-BLEU, 0 to 100: mean over prompts of the BLEU of each answer against the other answers to its prompt; 100: all the same.",
  self_bleu_across:
    "The same between answers to different prompts, the first ones of each, the second ones of each and so on apart: high when the model says the same whatever is asked.",
  distinct_1: "Different words (or tokens) divided by all, over all answers together.",
  distinct_2: "The same of pairs of neighbours.",
  distinct_3: "The same of runs of three.",
  repetition: "Fraction of runs of four that came before in the same answer: near 1 in a loop.",
  ended_properly: "Fraction of answers that ended by themselves before the length limit.",
  length: "Mean length of an answer, in words (or tokens).",
  entropy: "Mean entropy of the model's next-token distribution at the answers' tokens, nats per token.",
  vocabulary_entropy: "Entropy of the frequencies of words (or tokens) over all answers together, nats.",
  malformed: "Fraction of answers with at least one fault of Markdown.",
  formatted: "Fraction of answers with any Markdown: list, heading, table, code, strong emphasis.",
} as const;

/** Name of a metric. */
export type DiversityMetric = keyof typeof DIVERSITY_METRICS;

/** Metrics of a set of answers; NaN where the answers do not say. */
export interface Diversity {
  prompts: number;
  answers: number;
  metrics: Record<DiversityMetric, number>;
  /** Fraction of answers with each fault of Markdown. */
  faults: Record<FormFault, number>;
}

/** The metrics over all answers, and those of each prompt's answers alone. */
export interface DiversityResult {
  unit: Unit;
  all: Diversity;
  perPrompt: (Diversity & { prompt: string })[];
}

/** Length of the runs that `repetition` counts; Welleck et al. 2020, arXiv:1908.04319, call it seq-rep-4. */
const repeatedRun = 4;

/** The metrics of `prompts` together and one by one. With unit "tokens" every answer needs its `ids`. */
export function diversityOf(prompts: readonly AnsweredPrompt[], unit: Unit): DiversityResult {
  return {
    unit,
    all: metricsOf(prompts, unit),
    perPrompt: prompts.map((group) => ({ prompt: group.prompt, ...metricsOf([group], unit) })),
  };
}

function metricsOf(prompts: readonly AnsweredPrompt[], unit: Unit): Diversity {
  const answers = prompts.flatMap((prompt) => prompt.answers);
  const lists = answers.map((answer) => tokensOf(answer, unit));
  const forms = answers.map(({ text, ended }) => formOf(text, ended === false));
  const known = answers.filter(({ ended }) => ended !== null);
  const metrics: Diversity["metrics"] = {
    self_bleu: mean(prompts.map((prompt) => mean(selfBleu(textsOf(prompt)))).filter((x) => !Number.isNaN(x))),
    self_bleu_across: acrossPrompts(prompts),
    distinct_1: distinctN(lists, 1),
    distinct_2: distinctN(lists, 2),
    distinct_3: distinctN(lists, 3),
    repetition: repeatedShare(lists, repeatedRun),
    ended_properly: mean(known.map(({ ended }) => Number(ended))),
    length: meanLength(lists),
    entropy: meanEntropy(answers),
    vocabulary_entropy: frequencyEntropy(lists),
    malformed: mean(forms.map(({ faults }) => Number(faults.size > 0))),
    formatted: mean(forms.map(({ isFormatted }) => Number(isFormatted))),
  };
  const kinds = Object.keys(FORM_FAULTS) as FormFault[];
  const shares = kinds.map((kind) => [kind, mean(forms.map(({ faults }) => Number(faults.has(kind))))]);
  return { prompts: prompts.length, answers: answers.length, metrics, faults: Object.fromEntries(shares) };
}

function tokensOf(answer: SampledText, unit: Unit): TokenList {
  if (unit === "words") return words(answer.text);
  if (answer.ids === undefined) throw new TypeError("metrics in tokens need the tokens of every answer");
  return answer.ids;
}

function textsOf({ answers }: AnsweredPrompt): string[] {
  return answers.map(({ text }) => text);
}

/** Mean over n of the Self-BLEU of the n-th answers to all prompts; NaN with a single prompt. */
function acrossPrompts(prompts: readonly AnsweredPrompt[]): number {
  const most = Math.max(0, ...prompts.map(({ answers }) => answers.length));
  const scores = Array.from({ length: most }, (_, n) =>
    selfBleu(prompts.flatMap(({ answers }) => answers.slice(n, n + 1).map(({ text }) => text))),
  );
  return mean(scores.flat());
}

/** NaN unless every answer that holds a token says its entropies. */
function meanEntropy(answers: readonly SampledText[]): number {
  if (answers.some(({ entropies }) => entropies === undefined)) return Number.NaN;
  return mean(answers.flatMap(({ entropies }) => [...(entropies ?? [])]));
}

/** −Σ p log p over the frequencies of all tokens; NaN without any. */
function frequencyEntropy(lists: readonly TokenList[]): number {
  const counts = new Map<number | string, number>();
  let total = 0;
  for (const list of lists) {
    total += list.length;
    for (const token of list) counts.set(token, (counts.get(token) ?? 0) + 1);
  }
  if (total === 0) return Number.NaN;
  return [...counts.values()].reduce((sum, count) => sum - (count / total) * Math.log(count / total), 0);
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}
