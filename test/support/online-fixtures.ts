/** The golden numbers of on-policy losses in `test/fixtures/online`, whose README says what each is. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { GrpoOptions } from "../../src/methods/grpo/settings.ts";

/** The models that have them. */
export const onlineFamilies = ["qwen3", "llama_tied"] as const;

/** One of them. */
export type OnlineFamily = (typeof onlineFamilies)[number];

/** A completion of the batch. */
export interface OnlineCompletion {
  ids: number[];
  ended: boolean;
  rewards: (number | null)[];
  given_old_logps: number[];
  given_ref_logps: number[];
}

interface Batch {
  num_generations: number;
  max_completion_length: number;
  reward_weights: number[];
  prompts: { prompt_ids: number[]; completions: OnlineCompletion[] }[];
}

/** A loss and the global norm of its gradient. */
export interface GoldenLoss {
  loss: number;
  grad_norm: number;
}

/** The same with the norm of each parameter's gradient, by its checkpoint's name; a tied head's is in the embedding's. */
export interface GoldenGradients extends GoldenLoss {
  parameters: Record<string, number>;
}

/** Two updates on one rollout: plain gradient steps. */
export interface InnerIterationsCase {
  case: string;
  beta: number;
  config: GrpoCase["config"];
  sgd_learning_rate: number;
  first: GoldenGradients;
  second: GoldenGradients;
  ratio: { min: number; max: number; mean: number };
}

/** A case of the GRPO family. */
export interface GrpoCase {
  case: string;
  old: "on_policy" | "given";
  beta: number;
  use_bias_correction_kl?: boolean;
  config: Record<string, number | string | boolean>;
  rewards?: (number | null)[][][];
  advantages?: number[];
  float64: GoldenLoss;
  trl: GoldenGradients & { metrics: Record<string, number> };
}

/** A case of RLOO. */
export interface RlooCase {
  case: string;
  old: "on_policy" | "given";
  beta: number;
  normalize_advantages: boolean;
  epsilon: number;
  advantages: number[];
  float64: GoldenLoss;
  trl: GoldenGradients & { metrics: Record<string, number> };
}

/** A case of DPO on own answers. */
export interface OnlineDpoCase {
  case: string;
  beta: number;
  pairs: [number, number][];
  ties: boolean[];
  float64: GoldenLoss;
  float64_without_ties: GoldenLoss & { pairs: [number, number][] };
}

/** A case of SLIME on pairs of own answers. */
export interface SlimePairsCase extends GoldenGradients {
  case: "best_worst" | "all_pairs";
  preset: string;
  options: Record<string, number>;
  reward_gap: number;
  pairs: [chosen: number, rejected: number, weight: number][];
  anchor: number;
  margin: number;
  penalty: number;
}

/** losses.json. */
export interface OnlineLosses {
  logps_float64: number[][];
  total_rewards: number[];
  advantages_group: number[];
  grpo: GrpoCase[];
  rloo: RlooCase[];
  online_dpo: OnlineDpoCase[];
  slime_pairs: SlimePairsCase[];
  inner_iterations: InnerIterationsCase[];
}

/** What PPO makes of its batch. */
export interface PpoCase {
  options: Record<string, number | string>;
  old_values: number[][];
  token_rewards: number[][];
  advantages: number[][];
  returns: number[][];
  loss: number;
  policy_loss: number;
  value_loss: number;
  clipfrac: number;
  value_clipfrac: number;
  policy: Omit<GoldenGradients, "loss">;
  value: Omit<GoldenGradients, "loss">;
}

const root: string = join(import.meta.dirname, "../fixtures/online");

function read<T>(family: OnlineFamily, file: string): T {
  return JSON.parse(readFileSync(join(root, family, file), "utf8")) as T;
}

/** The batch, completions in file order. */
export function onlineBatch(
  family: OnlineFamily,
): Batch & { completions: OnlineCompletion[]; groupSizes: number[] } {
  const batch = read<Batch>(family, "batch.json");
  const completions = batch.prompts.flatMap((prompt) => prompt.completions);
  return { ...batch, completions, groupSizes: batch.prompts.map((prompt) => prompt.completions.length) };
}

/** losses.json, with its log-probs as lists. */
export function onlineLosses(family: OnlineFamily): OnlineLosses {
  return read(family, "losses.json");
}

/** ppo.json: `ragged` on the batch above. */
export function onlinePpo(family: OnlineFamily): {
  value_head: number[];
  ragged: PpoCase[];
  equal_lengths_checked_with_trl: EqualLengths[];
} {
  return read(family, "ppo.json");
}

/** A case of PPO whose completions are equally long, on another batch. */
export interface EqualLengths {
  options: Record<string, number | string>;
  prompts: number[][];
  responses: number[][];
  given: { old_logps: number[][]; ref_logps: number[][]; old_values: number[][] };
  scores: number[];
  float64: {
    loss: number;
    policy_loss: number;
    value_loss: number;
    clipfrac: number;
    value_clipfrac: number;
    policy_grad_norm: number;
    value_grad_norm: number;
  };
}

/** Σ weight · reward over the functions that gave a number; NaN where none did. */
export function totalRewards(rewards: readonly (number | null)[][], weights: readonly number[]): number[] {
  return rewards.map((given) => {
    const parts = given.flatMap((reward, f) =>
      reward === null ? [] : [reward * (weights[f] ?? Number.NaN)],
    );
    return parts.length === 0 ? Number.NaN : parts.reduce((sum, part) => sum + part, 0);
  });
}

/** A case's options: what TRL has where it says nothing. */
export function grpoOptionsOf({
  config,
  beta,
  use_bias_correction_kl = true,
}: Pick<GrpoCase, "config" | "beta" | "use_bias_correction_kl">): GrpoOptions {
  const epsilon = Number(config["epsilon"] ?? 0.2);
  return {
    loss_type: config["loss_type"] as GrpoOptions["loss_type"],
    importance_sampling_level: (config["importance_sampling_level"] ??
      "token") as GrpoOptions["importance_sampling_level"],
    epsilon,
    epsilon_high: Number(config["epsilon_high"] ?? epsilon),
    delta: config["delta"] === undefined ? null : Number(config["delta"]),
    beta,
    use_bias_correction_kl,
    scale_rewards: (config["scale_rewards"] ?? "group") as GrpoOptions["scale_rewards"],
    sapo_temperature_pos: 1,
    sapo_temperature_neg: 1.05,
    entropy_coef: 0,
  };
}
