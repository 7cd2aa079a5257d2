/** The rows a plan reckons with: the run's own, tokenised, where they are at hand and not too many; else lengths given or assumed. */

import fs, { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { at } from "../base/at.ts";
import { ConfigError } from "../base/errors.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import type { DatasetSpec } from "../config/datasets.ts";
import { isOnPolicy } from "../config/online-keys.ts";
import { isCutByTokens, rowsPerStep } from "../config/step-rows.ts";
import { type Example, promptOf } from "../data/example.ts";
import { countedTokens } from "../data/packing.ts";
import { hasErrors } from "../data/preflight.ts";
import { isGlob } from "../data/sources.ts";
import { methodOf } from "../methods/index.ts";
import type { PairLengths } from "../planner/flops.ts";
import { streamTokens } from "../planner/flops.ts";
import { fitted, type HeldRows, type PlannedKeys, truncated, type Workload } from "../planner/plan-input.ts";
import { storedLogpBytes } from "../runs/start-logps.ts";
import { type PreparedData, prepareData, taskOf } from "../train/prepare-data.ts";
import { halvesOf } from "../train/scale-choice.ts";
import { EpochSteps, type PlanKeys } from "../train/step-source.ts";
import { lengthsOf } from "./row-cost.ts";

/** Lengths in place of those of the data. */
export interface GivenLengths {
  /** Rows of an epoch. */
  pairs?: number;
  promptTokens?: number;
  chosenTokens?: number;
  rejectedTokens?: number;
}

/** The configuration of a run, which a plan can make without rows and a place. */
export type PlanConfig = PlannedKeys & {
  train_data: DatasetSpec[] | null;
};

/** Larger data is not tokenised for a plan. */
const readableBytes = 64 * 2 ** 20;

/** A pair of 1,000 tokens, the prompt 0.42 of an answer: UltraFeedback's proportion by arXiv 2410.20305. */
const usualPair: PairLengths = { prompt: 174, chosen: 413, rejected: 413 };

/**
 * The rows of a run.
 *
 * @param given - lengths, which win over the data; the model's directory, whose tokenizer the data needs; the rows, where they were read
 */
export async function workloadOf(
  config: PlanConfig,
  given: GivenLengths & KnownRows,
  onPhase: PhaseListener = () => {},
): Promise<Workload> {
  const { promptTokens, chosenTokens, rejectedTokens } = given;
  const isGiven = [promptTokens, chosenTokens, rejectedTokens].some((tokens) => tokens !== undefined);
  const obstacle = isGiven ? "" : obstacleTo(config, given);
  if (obstacle === null) {
    const rows = given.data ?? (await readRows(config, given.directory, onPhase));
    const workload = workloadOfData(config, rows);
    return given.pairs === undefined ? workload : { ...workload, pairs: given.pairs };
  }
  const source = isGiven ? "lengths as given" : `lengths assumed: ${obstacle}`;
  const usual = fitted(usualPair, config.max_length);
  const prompt = promptTokens ?? usual.prompt;
  if (isOnPolicy(config)) {
    const { chosen: longest, ...row } = completionRow(config, prompt);
    return alike({ ...row, chosen: chosenTokens ?? longest }, config, { source, pairs: given.pairs ?? null });
  }
  const { over } = methodOf(config.method.objective);
  const mean: PairLengths = {
    prompt,
    chosen: chosenTokens ?? usual.chosen,
    rejected: over === "completions" || over === "labelled" ? 0 : (rejectedTokens ?? usual.rejected),
  };
  return alike(mean, config, { source, pairs: given.pairs ?? null });
}

/** Why the data is not read, or null where it can be. */
function obstacleTo({ train_data: specs }: PlanConfig, { directory, data }: KnownRows): string | null {
  if (data !== undefined) return null;
  if (directory === null) return "there is no tokenizer beside a config.json alone";
  if (!existsSync(join(directory, "tokenizer.json"))) return "the model's directory has no tokenizer.json";
  if (specs === null) return "no train_data is given";
  let bytes = 0;
  for (const { path } of specs) {
    const size = localBytes(path);
    if (size === null) return `${path} is not on this machine`;
    bytes += size;
  }
  return bytes > readableBytes ? `the data has more than ${readableBytes / 2 ** 20} MiB` : null;
}

/** Whether all of `specs` is on this machine and small enough to be tokenised for a plan. */
function isReadable(specs: readonly DatasetSpec[] | null): boolean {
  const sizes = (specs ?? []).map(({ path }) => localBytes(path) ?? Number.POSITIVE_INFINITY);
  return sizes.reduce((sum, size) => sum + size, 0) <= readableBytes;
}

/** Bytes of a file, a directory's files or those of a glob; null where nothing is there. */
function localBytes(path: DatasetSpec["path"]): number | null {
  const paths = existsSync(path) ? [path] : isGlob(path) ? fs.globSync(path) : [];
  if (paths.length === 0) return null;
  const files = paths.flatMap((one) => (statSync(one).isDirectory() ? fs.globSync(join(one, "*")) : [one]));
  return files.reduce((sum, file) => sum + statSync(file).size, 0);
}

/** Rows of one length. */
function alike(
  mean: PairLengths,
  config: PlanConfig,
  { source, pairs }: { source: string; pairs: number | null },
): Workload {
  const microBatch = (size: number): PairLengths[] => Array.from({ length: size }, () => mean);
  const own = microBatch(microBatchRows(config, streamTokens(mean, config.share_prompt)));
  const { tokens_per_step: tokens, train_batch_size } = config;
  // rows of a rollout may all be as long as this one, longer than in the mean
  const isCut = (ranks: number) =>
    tokens === null && (train_batch_size ?? ranks * rowsPerStep(config)) > ranks * own.length;
  return { source, isMeasured: false, pairs, mean, own, isCut, microBatch };
}

/** Rows of `each` tokens in a full micro-batch. */
function microBatchRows(config: PlanConfig, each: number): number {
  const {
    max_tokens_per_micro_batch: cap,
    tokens_per_step: step,
    per_device_train_batch_size: size,
  } = config;
  const most = [
    ...(isCutByTokens(config) ? [] : [size]),
    ...(step === null ? [rowsPerStep(config)] : [Math.floor(step / each)]),
    ...(cap === null ? [] : [Math.floor(cap / each)]),
  ];
  return Math.max(1, Math.min(...most));
}

/** Rows that were read. */
type Rows = Pick<PreparedData, "dataset">;

/** The rows, where they have been read, and the model's directory, which has the tokenizer to read them with. */
interface KnownRows {
  directory: string | null;
  data?: Rows | undefined;
}

function readRows(config: PlanConfig, directory: string | null, onPhase: PhaseListener): Promise<Rows> {
  const { over } = methodOf(config.method.objective);
  const task = taskOf(over, isOnPolicy(config));
  const { train_data } = config;
  if (directory === null || train_data === null)
    throw new ConfigError("rows need a tokenizer and train_data");
  const evalData = isReadable(config.eval_data) ? config.eval_data : null;
  return prepareData(
    { ...config, train_data, model_name_or_path: directory, eval_data: evalData, task },
    onPhase,
  );
}

function workloadOfData(config: PlanConfig, { dataset }: Rows): Workload {
  const { examples, report, evalExamples } = dataset;
  if (config.final_scale === "auto" && !hasErrors(report)) halvesOf(evalExamples ?? []);
  const { over } = methodOf(config.method.objective);
  const held = evalExamples === null ? null : heldRows(evalExamples, config);
  const heldTokens = held?.answerTokens;
  const startLogpBytes = heldTokens === undefined || over === "scores" ? null : storedLogpBytes(heldTokens);
  const compared = over === "scores" ? 0 : storedLogpBytes(tokensOf(examples)) + (startLogpBytes ?? 0);
  if (isOnPolicy(config)) return { ...workloadOfPrompts(config, examples), held, startLogpBytes };
  const lengths = examples.map(lengthsOf);
  const isFaulty = hasErrors(report);
  return {
    source: isFaulty ? "from train_data, which has faults (preftune data check)" : "from train_data",
    isMeasured: true,
    pairs: examples.length,
    mean: meanOf(lengths),
    held,
    startLogpBytes,
    comparedLogpBytes: compared,
    own: largestMicroBatch(examples, lengths, config),
    isCut: (ranks) => hasCutStep(examples, config, ranks),
    microBatch: (size, maxLength = config.max_length) =>
      largestMicroBatch(
        examples,
        lengths.map((row) => truncated(row, maxLength)),
        { ...config, per_device_train_batch_size: size, max_tokens_per_micro_batch: null },
      ),
  };
}

/** Held-out rows as a plan knows them. */
export function heldRows(
  examples: readonly Example[],
  { share_prompt }: Pick<PlanConfig, "share_prompt">,
): HeldRows {
  const lengths = examples.map(lengthsOf);
  const tokensIn = (batch: readonly PairLengths[]) =>
    batch.reduce((sum, pair) => sum + streamTokens(pair, share_prompt), 0);
  return {
    rows: examples.length,
    mean: meanOf(lengths),
    answerTokens: tokensOf(examples),
    batch: (size, maxLength = Number.POSITIVE_INFINITY) => {
      const cut = lengths.map((row) => truncated(row, maxLength));
      const starts = Array.from({ length: Math.ceil(cut.length / size) }, (_, i) => i * size);
      const batches = starts.map((start) => cut.slice(start, start + size));
      return batches.reduce((a, b) => (tokensIn(b) > tokensIn(a) ? b : a), []);
    },
  };
}

/** Tokens that count of all answers. */
function tokensOf(rows: readonly Example[]): number {
  return rows.flatMap(({ completions }) => completions).reduce((sum, one) => sum + countedTokens(one), 0);
}

/** A completion as a row: its part of the prompt, and as long as it may be. */
function completionRow({ num_generations, max_completion_length }: PlanConfig, prompt: number): PairLengths {
  return { prompt: prompt / num_generations, chosen: max_completion_length, rejected: 0 };
}

/** Completions as rows, each of the longest prompt: the most that a step can have. */
function workloadOfPrompts(config: PlanConfig, examples: readonly Example[]): Workload {
  const prompts = examples.map((example) => promptOf(example).length);
  const source = `completions of the ${examples.length} prompts of train_data, as long as max_completion_length`;
  const longest = completionRow(config, Math.max(0, ...prompts));
  const workload = alike(longest, config, { source, pairs: config.num_generations * examples.length });
  const mean = prompts.reduce((sum, length) => sum + length, 0) / Math.max(1, prompts.length);
  return { ...workload, isMeasured: true, mean: completionRow(config, mean) };
}

/** The mean length of each part of a row. */
export function meanOf(lengths: readonly PairLengths[]): PairLengths {
  const mean = (pick: (pair: PairLengths) => number) =>
    lengths.reduce((sum, pair) => sum + pick(pair), 0) / Math.max(1, lengths.length);
  return { prompt: mean((p) => p.prompt), chosen: mean((p) => p.chosen), rejected: mean((p) => p.rejected) };
}

/** Epochs whose micro-batches are looked at. */
export const epochsLookedAt = 3;

/** The micro-batch with most tokens among those that the run will take. */
function largestMicroBatch(
  examples: readonly Example[],
  lengths: readonly PairLengths[],
  keys: PlanKeys,
): PairLengths[] {
  if (examples.length === 0) return [];
  const run = firstEpochs(examples, keys);
  return largestOf(run, lengths, {
    steps: epochsLookedAt * examples.length,
    share_prompt: keys.share_prompt,
  });
}

function firstEpochs(examples: readonly Example[], keys: PlanKeys): EpochSteps {
  const numTrainEpochs = Math.min(keys.num_train_epochs, epochsLookedAt);
  return new EpochSteps(examples, { ...keys, num_train_epochs: numTrainEpochs });
}

/** Whether a bound on tokens cuts some step of the first epochs into more micro-batches than one of each rank. */
export function hasCutStep(examples: readonly Example[], keys: PlanKeys, ranks: number): boolean {
  if (keys.tokens_per_step === null && keys.max_tokens_per_micro_batch === null) return false;
  const trainBatchSize = keys.train_batch_size ?? ranks * rowsPerStep(keys);
  const run = firstEpochs(examples, { ...keys, train_batch_size: trainBatchSize });
  const steps = Math.min(run.totalSteps, epochsLookedAt * examples.length);
  // ranks get the micro-batches of one, as many each
  return Array.from({ length: steps }, (_, step) => step).some(
    (step) => run.planOf(step).plan.microBatches.length > ranks,
  );
}

/** The micro-batch with most tokens among those of the first `steps` steps of `run`. */
export function largestOf(
  run: EpochSteps,
  lengths: readonly PairLengths[],
  { steps, share_prompt }: { steps: number; share_prompt: boolean },
): PairLengths[] {
  const tokens = lengths.map((pair) => streamTokens(pair, share_prompt));
  return largestRows(run, tokens, steps).map((index) => at(lengths, index));
}

/** The rows of the micro-batch with most tokens among those of the first `steps` steps of `run`; `tokens` is of each row. */
export function largestRows(run: EpochSteps, tokens: readonly number[], steps: number): readonly number[] {
  let best: readonly number[] = [];
  let most = -1;
  for (let step = 0; step < Math.min(run.totalSteps, steps); step++) {
    for (const micro of run.planOf(step).plan.microBatches) {
      const sum = micro.reduce((total, index) => total + (tokens[index] ?? 0), 0);
      if (sum > most) [best, most] = [micro, sum];
    }
  }
  return best;
}
