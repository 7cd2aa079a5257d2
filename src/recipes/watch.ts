/** The collapse watch of a run: the same prompts answered at every evaluation, with the same random numbers. */
import { createHash } from "node:crypto";
import { at } from "../base/at.ts";
import { ConfigError } from "../base/errors.ts";
import { deriveSeed } from "../base/random.ts";
import { alone } from "../base/ranks.ts";
import type { RunConfig } from "../config/run-config.ts";
import { boundsOnGiven } from "../config/watch-bounds.ts";
import { type Example, promptOf } from "../data/example.ts";
import { checkPromptLengths, readPrompts, tellFirstTurns } from "../data/prompt-file.ts";
import { completionEntropies } from "../evaluate/diversity/completion-entropies.ts";
import { DIVERSITY_METRICS, type DiversityMetric, diversityOf } from "../evaluate/diversity/diversity.ts";
import { contextLength } from "../formats/model-config.ts";
import { type SampledCompletion, sampleCompletions } from "../generate/sample.ts";
import type { Decoder } from "../models/causal-lm.ts";
import { promptsAtOnce } from "../planner/sampled-sizes.ts";
import type { RolloutSize } from "../planner/sampling-memory.ts";
import type { EvaluationRecord } from "../runs/evaluation-records.ts";
import { createRowEncoder } from "../text/encode.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { requireLanguageModel } from "../train/objective-head.ts";
import type { PreparedData } from "../train/prepare-data.ts";
import type { Training } from "../train/step.ts";
import type { StepRanks } from "../train/step-ranks.ts";
import { type SamplingWay, sampledBeside } from "./sampling-way.ts";

/** A prompt that is answered at every evaluation. */
export interface WatchedPrompt {
  /** To show. */
  text: string;
  ids: readonly number[];
}

/** What the model answers at one evaluation. */
export interface WatchedAnswers {
  /** Figures under their names among the metrics, without `eval_`; those that the answers do not have are left out. */
  figures: Record<string, number>;
  samples: EvaluationRecord["samples"];
  /** Time that it took, a metric that is not compared with the start's. */
  cost: Record<string, number>;
}

/** The watch of a run. */
export interface CollapseWatch {
  /** Says what is asked and how: the answers of two evaluations can be compared when it is the same. */
  key: string;
  /** Answers the prompts with the model as it is. Does not draw from torch's generator. */
  look: () => Promise<WatchedAnswers>;
}

/** Which of the seeds derived from the run's own is the watch's; steps have those from 0. */
const seedIndex = 2 ** 31;

/** What of a configuration says how the prompts are answered. */
export type WatchKeys = Pick<
  RunConfig,
  "seed" | "watch_temperature" | "watch_max_new_tokens" | "watch_samples"
>;

/** What is watched: a model, and the ranks that have it. */
export interface Watched extends Pick<Training<Decoder>, "model" | "numerics"> {
  ranks?: Pick<StepRanks, "group" | "sharded"> | null;
}

/** @throws {ConfigError} if the run has bounds on held-out answers, and no such answer: nothing would ever be judged by them */
export function refuseBlindBounds(
  { watch_thresholds }: Pick<RunConfig, "watch_thresholds">,
  { dataset: { evalExamples } }: Pick<PreparedData, "dataset">,
): void {
  const names = boundsOnGiven(watch_thresholds);
  if (names.length === 0 || evalExamples === null) return;
  if (evalExamples.some(({ completions, label }) => completions.length > 0 && label !== false)) return;
  throw new ConfigError(
    `watch_thresholds: ${names.join(", ")}: expected held-out rows with a good answer, whose tokens are judged; all ${evalExamples.length} have none. Give rows with chosen or completion in eval_data, or take ${names.length === 1 ? "it" : "them"} out.`,
  );
}

/** The watch over `prompts` that `config` asks for. @param way - how ranks that share the model have it meanwhile */
export function watchOf(
  config: WatchKeys,
  training: Watched,
  data: Pick<PreparedData, "stopIds" | "tokenizer">,
  { prompts, way = "gathered" }: { prompts: readonly WatchedPrompt[]; way?: SamplingWay | undefined },
): CollapseWatch {
  const model = requireLanguageModel(training.model, "watch_prompts");
  const { numerics } = training;
  const ids = prompts.map((prompt) => prompt.ids);
  const sampling = {
    temperature: config.watch_temperature,
    maxNewTokens: config.watch_max_new_tokens,
    seed: deriveSeed(config.seed, seedIndex),
    answersPerPrompt: config.watch_samples,
    dtype: numerics.dtype,
  };
  const ranks = training.ranks ?? null;
  const share = ranks?.group ?? alone;
  const look = async (): Promise<SeenAnswer[]> => {
    const answers = await sampleCompletions(model, ids, { ...sampling, share, stopIds: data.stopIds });
    const entropies = completionEntropies(model, ids, answers, numerics);
    return answers.map((answer, i) => ({ ...answer, entropies: entropies[i] ?? [] }));
  };
  return {
    key: createHash("sha256")
      .update(JSON.stringify([ids, sampling]))
      .digest("hex"),
    look: async () => {
      const began = performance.now();
      const own = await sampledBeside(ranks?.sharded ?? null, way, look);
      const seen = share.gather(own).flat();
      // each prompt is of one rank
      const inOrder = seen.toSorted((a, b) => a.prompt - b.prompt);
      const { figures, samples } = described(prompts, inOrder, data.tokenizer);
      return { figures, samples, cost: { "samples/seconds": (performance.now() - began) / 1000 } };
    },
  };
}

/** What a rank of so many samples of `prompts` at a time; null where there are none. */
export function watchSize(
  prompts: readonly WatchedPrompt[] | null,
  { watch_samples, watch_max_new_tokens }: WatchKeys,
  ranks: number,
): RolloutSize | null {
  if (prompts === null) return null;
  const own = Math.min(promptsAtOnce, Math.ceil(prompts.length / ranks));
  const longest = prompts.map(({ ids }) => ids.length).toSorted((a, b) => b - a);
  const completions = own * watch_samples;
  const prompt = longest.slice(0, own).reduce((sum, tokens) => sum + tokens, 0);
  return { cachedTokens: prompt + completions * watch_max_new_tokens, completions, isAhead: false };
}

/** An answer, and how sure the model was at each of its tokens. */
type SeenAnswer = SampledCompletion & { entropies: number[] };

/**
 * The prompts that `config` wants watched; null when it wants none.
 *
 * @throws {DataError} if its file of prompts is faulty, or a prompt fills the model's context, by file and line
 * @throws {ConfigError} if there are none
 */
export async function watchedPrompts(config: RunConfig, data: PreparedData): Promise<WatchedPrompt[] | null> {
  const { watch_prompts } = config;
  if (watch_prompts === null) return null;
  const prompts = await promptsFrom(watch_prompts, config, data);
  if (prompts.length > 0) return prompts;
  throw new ConfigError(`watch_prompts: ${watch_prompts} holds no prompt to answer.`);
}

async function promptsFrom(
  source: string,
  config: RunConfig,
  { dataset, tokenizer, modelConfig }: PreparedData,
): Promise<WatchedPrompt[]> {
  const { watch_rows } = config;
  if (source !== "eval" && source !== "train") {
    const { chat_template: chatTemplate, enable_thinking: enableThinking } = config;
    const { eosTokenIds } = modelConfig;
    await using encoder = createRowEncoder(tokenizer, { chatTemplate, enableThinking, eosTokenIds });
    const prompts = await readPrompts(source, encoder, { isPlain: config.plain_strings === "text" });
    tellFirstTurns(source, prompts);
    const asked = evenly(prompts, watch_rows);
    // an answer that is cut at the context's end can be looked at; one that cannot begin would end the run at its first evaluation
    checkPromptLengths(asked, 1, contextLength(modelConfig));
    return asked;
  }
  const examples = source === "eval" ? (dataset.evalExamples ?? []) : dataset.examples;
  return evenly(differentPrompts(examples), watch_rows).map((ids) => ({
    ids,
    text: tokenizer.decode(ids, { skipSpecialTokens: true }),
  }));
}

function differentPrompts(examples: readonly Example[]): number[][] {
  return [...new Map(examples.map(promptOf).map((ids) => [ids.join(" "), ids])).values()];
}

/** At most `count` of `all`, spread over the whole list. */
function evenly<T>(all: readonly T[], count: number): T[] {
  if (all.length <= count) return [...all];
  return Array.from({ length: count }, (_, i) => at(all, Math.floor((i * all.length) / count)));
}

function described(
  prompts: readonly WatchedPrompt[],
  answers: readonly SeenAnswer[],
  tokenizer: Tokenizer,
): Omit<WatchedAnswers, "cost"> {
  const shown = answers.map(({ prompt, ids, stopId, entropies }) => {
    const text = tokenizer.decode(ids, { skipSpecialTokens: false });
    return { prompt, text, ended: stopId !== null, ids, entropies };
  });
  const groups = prompts.map(({ text }, i) => ({
    prompt: text,
    answers: shown.filter(({ prompt }) => prompt === i),
  }));
  const { metrics } = diversityOf(groups, "tokens").all;
  const names = (Object.keys(DIVERSITY_METRICS) as DiversityMetric[]).filter(
    (name) => !Number.isNaN(metrics[name]),
  );
  return {
    figures: Object.fromEntries(names.map((name) => [`samples/${name}`, metrics[name]])),
    samples: groups.map(({ prompt, answers: given }) => ({
      prompt,
      answers: given.map(({ text, ended }) => ({ text, ended })),
    })),
  };
}
