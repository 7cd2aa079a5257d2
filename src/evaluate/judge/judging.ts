/** What the commands with a judge share: the judge with its kept judgments, answers, files of results. */
import { join } from "node:path";
import { EndpointError } from "../../base/errors.ts";
import { oneLine } from "../../terminal/text-table.ts";
import { parseAnswerer } from "../answers/answerer.ts";
import { type AnswerOptions, answersOf, type NamedAnswers } from "../answers/answers.ts";
import type { Question } from "../answers/questions.ts";
import { Endpoint, type EndpointOptions } from "../endpoint/endpoint.ts";
import { Judge } from "./judge.ts";
import { JudgmentStore } from "./judgment-store.ts";
import type { JudgeReport } from "./reports.ts";

/** Prices of a judge, in the user's currency for a million tokens. */
export interface Price {
  prompt: number;
  completion: number;
}

/** A judge and how it is asked. */
export interface JudgeSettings {
  judge: {
    baseUrl: string;
    model: string;
    apiKey: string | null;
    /** Null: what the benchmark asks for. */
    temperature: number | null;
    /** Longest judgment; null: what the benchmark asks for. */
    maxTokens: number | null;
    retriesWithoutVerdict: number;
    /** Further fields of requests. */
    extra: Readonly<Record<string, unknown>>;
    price: Price | null;
  };
  /** Limits, for each endpoint. */
  limits: Pick<EndpointOptions, "timeoutMs" | "maxRetries" | "requestsPerMinute" | "tokensPerMinute">;
  /** Judgments asked for at once. */
  concurrency: number;
}

/** What all commands with a judge take. */
export interface JudgingOptions extends JudgeSettings, Omit<AnswerOptions, "openEndpoint"> {
  /** Of endpoints that answer questions. */
  answerKey: string | null;
  /** Samples of the bootstrap. */
  bootstrapRounds: number;
}

/** A judge that is ready, and what it takes to close it. */
export interface Judging extends Disposable {
  judge: Judge;
  report: () => JudgeReport;
  /** Tells how many judgments are done. */
  onJudged: (done: number, total: number) => void;
}

/** How a judge is asked where nothing else is said: as MT-Bench does. */
const usual = { temperature: 0, maxTokens: 2048 };

/**
 * Opens the judge, with the judgments kept in `dir/judgments.sqlite`.
 *
 * @param benchmark - how the benchmark asks
 * @throws {ConfigError} if its address cannot be used
 * @throws {FileError} if judgments cannot be kept
 */
export function openJudging(
  options: JudgeSettings & Pick<JudgingOptions, "dir" | "onPhase">,
  benchmark: typeof usual = usual,
): Judging {
  const { judge: settings, limits, dir } = options;
  const { baseUrl, model, apiKey, extra, retriesWithoutVerdict, price } = settings;
  const temperature = settings.temperature ?? benchmark.temperature;
  const maxTokens = settings.maxTokens ?? benchmark.maxTokens;
  const endpoint = new Endpoint({ baseUrl, model, apiKey, extra, ...limits });
  const store = new JudgmentStore(join(dir, "judgments.sqlite"));
  const judge = new Judge({ endpoint, store, temperature, maxTokens, retriesWithoutVerdict });
  const cost = (): number | null => {
    if (price === null || endpoint.spent.uncounted > 0) return null;
    const { promptTokens, completionTokens } = endpoint.spent;
    return (promptTokens * price.prompt + completionTokens * price.completion) / 1e6;
  };
  return {
    judge,
    report: () => ({
      model,
      endpoint: endpoint.baseUrl,
      temperature,
      maxTokens,
      ...judge.counts,
      cost: cost(),
    }),
    onJudged: (done, total) => {
      const spent = cost();
      const note = spent === null || spent === 0 ? "" : `cost ${spent.toPrecision(3)}`;
      options.onPhase?.("judgments", done, total, note);
    },
    [Symbol.dispose]: () => store.close(),
  };
}

/** The answers of one who is named as on the command line. */
export function namedAnswers(
  text: string,
  questions: readonly Question[],
  temperatureOf: (question: Question) => number,
  options: JudgingOptions,
): Promise<NamedAnswers> {
  const { answerKey: apiKey, limits } = options;
  return answersOf(parseAnswerer(text), questions, temperatureOf, {
    ...options,
    openEndpoint: (place) => new Endpoint({ ...place, apiKey, ...limits }),
  });
}

/** The names of two models; with (A) and (B) where they are the same. */
export function twoNames(a: NamedAnswers, b: NamedAnswers): readonly [string, string] {
  return a.name === b.name ? [`${a.name} (A)`, `${b.name} (B)`] : [a.name, b.name];
}

/**
 * @throws {EndpointError} when no judgment has a verdict: figures would be of nothing
 */
export function requireVerdicts(
  verdicts: number,
  { judgments, unparsable, refused, firstRefusal, firstUnparsable, endpoint }: JudgeReport,
): void {
  if (verdicts > 0) return;
  const refusal = firstRefusal === null ? "" : ` The first refusal: ${firstRefusal}`;
  const limit = /max_tokens|max_completion_tokens|context/i.test(firstRefusal ?? "")
    ? " A smaller --judge-max-tokens may be what it wants."
    : "";
  const answer =
    firstUnparsable === null ? "" : ` The first answer without a verdict: "${oneLine(firstUnparsable, 300)}"`;
  const remedy =
    unparsable === 0
      ? ""
      : " Choose a judge that follows its prompt; all its answers are in judgments.sqlite.";
  throw new EndpointError(
    `${endpoint}: expected verdicts, got none in ${judgments} judgments: ${unparsable} answers could not be read as one, ` +
      `${refused} requests were refused.${refusal}${limit}${answer}${remedy}`,
    null,
  );
}
