/** What a plan is made from. */
import { isOnPolicy } from "../config/online-keys.ts";
import type { RunConfig } from "../config/run-config.ts";
import { heldQuantisation } from "../formats/held-quantisation.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import type { Quantisation } from "../formats/quantisation.ts";
import { methodOf } from "../methods/index.ts";
import type { ComputeType, Device } from "./devices.ts";
import type { PairLengths } from "./flops.ts";
import type { Cluster } from "./layout.ts";
import type { ValueModelBase } from "./side-models.ts";
import type { TrainedParts } from "./trained-parts.ts";

/** Keys of a run that a plan needs: all but its rows and its place. */
export type PlannedKeys = Omit<RunConfig, "output_dir" | "train_data">;

/** Held-out rows. */
export interface HeldRows {
  rows: number;
  mean: PairLengths;
  /** Tokens of their answers. */
  answerTokens: number;
  /** Among an evaluation's batches of so many rows that of most tokens; rows longer than `maxLength` are cut. Default: as they are. */
  batch(size: number, maxLength?: number): readonly PairLengths[];
}

/** The rows of a run, as far as they are known. */
export interface Workload {
  /** Where the lengths come from, for the reader. */
  source: string;
  /** False where lengths are assumed. */
  isMeasured: boolean;
  /** Rows of an epoch; null where unknown. In an on-policy run completions. */
  pairs: number | null;
  mean: PairLengths;
  /** The run's largest micro-batch as it is configured. */
  own: readonly PairLengths[];
  /** Null or left out: unknown. */
  held?: HeldRows | null;
  /** Bytes of the log-probs of held-out tokens that the run keeps from its start; null or left out: unknown. */
  startLogpBytes?: number | null;
  /** Bytes of those of all rows' tokens, where the loss compares with them; null or left out: unknown. */
  comparedLogpBytes?: number | null;
  /** Whether each of so many ranks computes some step in several micro-batches; left out: as it does a step of mean rows. */
  isCut?(ranks: number): boolean;
  /** The largest micro-batch of so many rows, which are cut where they are longer than `maxLength`; default: as they are. */
  microBatch(size: number, maxLength?: number): readonly PairLengths[];
}

/** What is planned. */
export interface PlanInput {
  modelName: string;
  model: ModelConfig;
  trained: TrainedParts;
  keys: PlannedKeys;
  dtype: ComputeType;
  device: Device;
  /** Devices of this kind, one a rank. */
  cluster: Cluster;
  /** Fraction of the device's peak that is taken to be reached. */
  utilisation: number;
  /** Whether that fraction was measured (`--mfu`): then no micro-batch is too small for it. */
  isUtilisationGiven: boolean;
  /** Where the device's speed comes from, for the reader. */
  speedSource: string;
  workload: Workload;
  /** What scores completions besides functions; left out or null: no model does. */
  rewardModel?: ModelConfig | null;
  /** What PPO's value model begins with; left out or null: the policy's model. */
  valueModel?: ValueModelBase | null;
}

/**
 * The model in `place` as it is held: as it is stored, or as is asked for.
 *
 * @throws {ConfigError} if these contradict each other
 */
export function heldModel(place: string, model: ModelConfig, asked: Quantisation | null): ModelConfig {
  return { ...model, quantisation: heldQuantisation(place, model, asked) };
}

/** A pair of the same proportions, as long as `max_length` allows. */
export function longestPair(mean: PairLengths, maxLength: number): PairLengths {
  const completion = Math.max(mean.chosen, mean.rejected);
  const prompt = Math.max(1, Math.round((maxLength * mean.prompt) / (mean.prompt + completion)));
  return { prompt, chosen: maxLength - prompt, rejected: mean.rejected > 0 ? maxLength - prompt : 0 };
}

/** The pair cut to `maxLength` in its proportions. */
export function fitted(pair: PairLengths, maxLength: number): PairLengths {
  const longest = pair.prompt + Math.max(pair.chosen, pair.rejected);
  const share = Math.min(1, maxLength / longest);
  const cut = (n: number) => (n === 0 ? 0 : Math.max(1, Math.floor(n * share)));
  return { prompt: cut(pair.prompt), chosen: cut(pair.chosen), rejected: cut(pair.rejected) };
}

/** The pair as `overflow: truncate` cuts it: of the prompt a quarter of `maxLength` is kept, then the answers are cut to one length. */
export function truncated(pair: PairLengths, maxLength: number): PairLengths {
  const longest = Math.max(pair.chosen, pair.rejected);
  const prompt = Math.min(pair.prompt, Math.max(maxLength - longest, Math.floor(maxLength / 4)));
  const cut = (n: number) => Math.min(n, maxLength - prompt);
  return { prompt, chosen: cut(pair.chosen), rejected: cut(pair.rejected) };
}

/** Rows that stay together in a micro-batch: completions of a prompt that are compared in pairs. */
export function rowUnit(keys: PlannedKeys): number {
  return isOnPolicy(keys) && methodOf(keys.method.objective).over === "pairs" ? keys.num_generations : 1;
}
