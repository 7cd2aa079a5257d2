/**
 * What an objective is: a pure function from log-probabilities to a loss and metrics. Normalisers are totals of the
 * optimiser step, so the sum of the micro-batches' losses is the step's loss however it was cut.
 */
import { ShapeError } from "../base/errors.ts";
import { type DType, onDevice, ops, type Tensor, tensor } from "../torch/index.ts";
import type { Role } from "./method.ts";
import type { PreparedRollout, RolloutColumns, ScoredRollout } from "./rollout.ts";

/** Per-token log-probabilities of C completions, R tokens in all. */
export interface CompletionLogps {
  /** (R) floating, requires grad in training */
  logps: Tensor;
  /** (R) int64: the completion each token belongs to, in 0 … C-1 */
  completion: Tensor;
  /** (C) same type as `logps`: tokens of each completion */
  lengths: Tensor;
  /** Completions of each of G groups; those of a group stand together. Groups are never cut. */
  groupSizes: readonly number[];
  /** (R) nats, like `logps`: of the distribution that each token is from, where the objective takes them; else null or left out. */
  entropies?: Tensor | null;
  /** (R) log Σ_v π(v)² of the distribution that each token is from, where the objective takes it; else null or left out. */
  logSquares?: Tensor | null;
  /** (tokens) of the groups' prompts but the first of each, nats, like `logps`, where the objective takes them; else null or left out. */
  promptLogps?: Tensor | null;
  /** What the objective's `columns` names, (C) or (R), same type as `logps`. */
  columns: Readonly<Record<string, Tensor>>;
}

/** Log-probabilities of P pairs; completion 2i is chosen, 2i + 1 rejected. All (P) unless noted. */
export interface PairLogps {
  /** Sums over completion tokens, nats; with the objective's `ld_alpha` tokens beyond the shorter completion count that much. */
  chosenLogps: Tensor;
  rejectedLogps: Tensor;
  /** Means over completion tokens (l_w, l_l), nats per token. */
  chosenMeanLogps: Tensor;
  rejectedMeanLogps: Tensor;
  /** Tokens of each completion. */
  chosenLengths: Tensor;
  rejectedLengths: Tensor;
  /** (R) all tokens' log-probs, chosen and rejected, in stream order. */
  tokenLogps: Tensor;
  /** (R) In how many pairs a token's completion is the rejected one: 1 or 0, but where pairs share completions. */
  rejectedTokens: Tensor;
  /** Reference sums, where the objective's `columns` has `referenceLogps`; else null. */
  referenceChosenLogps: Tensor | null;
  referenceRejectedLogps: Tensor | null;
  /** Sums over completion tokens of log Σ_v π(v)², where the objective takes them; else null. */
  chosenLogSquares: Tensor | null;
  rejectedLogSquares: Tensor | null;
  /** (tokens) of the prompts but the first of each, nats, where the objective takes them; else null. */
  promptLogps: Tensor | null;
  /** What each pair counts for; null: 1. The pairs of a rollout's group share the weight of 1. */
  weights: Tensor | null;
  /** 1 for pairs whose chosen completion is anchored, else 0; null: all are. */
  anchored: Tensor | null;
  /** The tokens under the model of the start, where the objective's `columns` has `referenceTokenLogps`; else null. */
  start: StartTokens | null;
  /** What the column `lambda_w` has for each pair, where it is given; else null. */
  anchorWeights: Tensor | null;
}

/** Tokens of pairs under the model of the start. Both (R). */
export interface StartTokens {
  /** Their log-probs, nats. */
  logps: Tensor;
  /** One over the length of its completion for a chosen token, 0 for a rejected one: Σ values × shares is Σ over pairs of a mean. */
  chosenShares: Tensor;
}

/** Scores of P pairs; completion 2i is chosen, 2i + 1 rejected. */
export interface ScorePairs {
  /** (P) */
  chosen: Tensor;
  rejected: Tensor;
  /** (P) by how much the rows say that the chosen completion is better, where they say it; else null. */
  margin: Tensor | null;
  /** (2P) chosen and rejected in turn. */
  scores: Tensor;
}

/** What a batch holds. */
export interface BatchCounts {
  /** Prompts with their completions: pairs, for an objective over pairs. */
  groups: number;
  completions: number;
  /** Tokens in the loss of all completions. */
  tokens: number;
  /** The same by the role of the completion; 0 for a role that the method does not have. */
  tokensByRole: Readonly<Record<Role, number>>;
  /** Σ of the objective's own `counts`; left out for an objective without. */
  counted?: Readonly<Record<string, number>>;
}

/** Counts over the optimiser step, the normalisers; and of what is at hand, a micro-batch or a part of one, for the metrics' counts. */
export interface StepTotals extends BatchCounts {
  micro: BatchCounts;
  /** Tokens of the step's prompts but the first of each, where the objective takes their log-probs. */
  promptTokens?: number;
}

/** A quantity to be averaged over a step: Σ sum / Σ count. Tensors are detached scalars. */
export interface Metric {
  sum: Tensor;
  count: number;
  /** Instead of an average: the least or the greatest `sum` of the step's parts. */
  extreme?: "min" | "max";
}

/** What an objective gives back for a micro-batch. */
export interface ObjectiveResult {
  /** () with grad: this micro-batch's part of the step's loss. */
  loss: Tensor;
  metrics: Record<string, Metric>;
}

/** What a column has a number for. One with "?" may be missing, and `columns` then lacks it. */
export type Per = "completion" | "token" | "completion?" | "token?";

/** A micro-batch before it is computed, as an objective counts in it. */
export interface CompletionNumbers {
  groupSizes: readonly number[];
  /** Tokens of each completion. */
  lengths: readonly number[];
  /** What the micro-batch brings of the objective's `columns`. */
  columns: Readonly<Record<string, ArrayLike<number>>>;
}

/** What every objective says of itself. */
interface Described {
  name: string;
  /** The columns it needs beside log-probs, such as `{ advantages: "completion", oldLogps: "token?" }`; left out: none. */
  columns?: Readonly<Record<string, Per>>;
  /** Custom normalisers: what it counts in a micro-batch. Their sums over the step are the `counted` of its totals. */
  counts?(batch: CompletionNumbers): Record<string, number>;
  /**
   * Whether it divides by what a micro-batch holds, so that it needs each one whole, and its loss depends on how the step is cut.
   * Left out: it may be given a micro-batch in parts, whose losses add up.
   */
  needsWholeMicroBatch?: boolean;
  /** Whether it takes log Σ_v π(v)² of tokens. It is a constant to the gradient. */
  takesLogSquares?: boolean;
  /** Whether it takes the log-probs of prompts too. */
  takesPrompts?: boolean;
}

/** An objective on preference pairs. */
export interface PairObjective extends Described {
  over: "pairs";
  /** Weight with which it raises the chosen completion's mean log-prob at any margin, if it does. */
  lambda_w?: number;
  /** What tokens beyond the pair's shorter completion count, in its sums and the reference's; null or left out: 1. */
  ld_alpha?: number | null;
  evaluate(pairs: PairLogps, totals: StepTotals): ObjectiveResult;
}

/** An objective on single completions (SFT), labelled or not, or on groups of any number of completions of one prompt. */
export interface CompletionObjective extends Described {
  over: "completions" | "labelled" | "groups";
  /**
   * Of labelled completions: which rows share an estimate of the KL to the reference, the column `kl`: the mean log-ratio of each
   * row's prompt with the answer of the row before it, at least 0. Left out: none is computed.
   */
  kl_over?: "step" | "micro_batch";
  /** Whether it never looks beyond a single completion, so that those of a group may be in several micro-batches. */
  mayCutGroups?: boolean;
  /** Whether `logps` are no log-probs but the values that a value model gives for the tokens. */
  takesValues?: boolean;
  /** Whether it needs the entropies of tokens, with a gradient: another product of the head's size. */
  takesEntropies?: boolean;
  evaluate(completions: CompletionLogps, totals: StepTotals): ObjectiveResult;
  /** Whether `prepare` needs log-probs under a reference, though no column does: a KL term in the reward. */
  usesReference?: boolean;
  /** Its columns of a rollout of the whole of which they are made: advantages of groups. Needed to train on-policy. */
  prepare?(rollout: ScoredRollout): PreparedRollout;
  /**
   * (N) Whether the loss has no gradient in a completion's tokens, whatever their log-probs are: of the advantage 0, in no pair. Such
   * completions go forward alone. Left out: every one may have a gradient.
   *
   * @param columns - of groups whose completions stand together
   */
  withoutGradient?(columns: RolloutColumns, groupSizes: readonly number[]): boolean[];
}

/** An objective on the scores that a model with a score layer gives the completions of pairs: a reward model's. */
export interface ScoreObjective extends Described {
  over: "scores";
  evaluate(pairs: ScorePairs, totals: StepTotals): ObjectiveResult;
}

/** See `CompletionObjective.kl_over`; null where no KL is estimated. */
export function klOverOf(objective: Objective): "step" | "micro_batch" | null {
  return ("kl_over" in objective && objective.kl_over) || null;
}

/** Any objective. */
export type Objective = PairObjective | CompletionObjective | ScoreObjective;

/**
 * Whether the objective needs log-probs of a reference model: `referenceLogps`, a sum for each completion, or `referenceTokenLogps`, one
 * for each token.
 */
export function needsReference(objective: Objective): boolean {
  return "referenceLogps" in (objective.columns ?? {}) || takesReferenceTokens(objective);
}

/** Whether it needs those of single tokens. */
export function takesReferenceTokens({ columns = {} }: Objective): boolean {
  return "referenceTokenLogps" in columns;
}

/** What tokens beyond a pair's shorter completion count in the objective's sums, the reference's among them; null: as the others. */
export function ldAlphaOf(objective: Objective): number | null {
  return objective.over === "pairs" ? (objective.ld_alpha ?? null) : null;
}

/** The objective's value, whatever it is over. For one over scores, `logps` are the scores: (C), one for each completion. */
export function evaluateObjective(
  objective: Objective,
  completions: CompletionLogps,
  totals: StepTotals,
): ObjectiveResult {
  if (objective.over === "scores") return objective.evaluate(scorePairs(completions), totals);
  if (objective.over !== "pairs") return objective.evaluate(completions, totals);
  return objective.evaluate(pairLogps(completions, ldAlphaOf(objective)), totals);
}

/** Objectives are computed in float64 where the device has it: their vectors are short and sums stay exact. */
export function objectiveType(device: string): DType {
  return device.startsWith("mps") ? "float32" : "float64";
}

/** Σ over each completion's tokens: (R) -> (C). */
export function sumByCompletion(values: Tensor, { lengths, completion }: CompletionLogps): Tensor {
  return ops.indexAdd(ops.zerosLike(ops.detach(lengths)), 0, completion, values);
}

/** (C) int64: the group of each completion, in 0 … G-1. */
export function groupIndex({ groupSizes, lengths }: CompletionLogps): Tensor {
  const index = groupSizes.flatMap((size, group) => new Array<number>(size).fill(group));
  return onDevice(tensor(index, [index.length], { dtype: "int64" }), lengths.device, "int64");
}

/**
 * The paired view of completions 2i (chosen) and 2i + 1 (rejected).
 *
 * @param ldAlpha - see `PairObjective.ld_alpha`
 * @throws {ShapeError} if a group is no pair
 */
export function pairLogps(completions: CompletionLogps, ldAlpha: number | null = null): PairLogps {
  requirePairs(completions);
  const { logps, lengths: tokens, columns, logSquares = null, promptLogps = null } = completions;
  const plain = sumByCompletion(logps, completions);
  const sums = halves(
    ldAlpha === null
      ? plain
      : sumByCompletion(ops.mul(logps, tailWeights(completions, ldAlpha)), completions),
  );
  const means = halves(ops.div(plain, tokens));
  const lengths = halves(tokens);
  const { referenceLogps, referenceTokenLogps, lambda_w } = columns;
  const reference = referenceLogps === undefined ? null : halves(referenceLogps);
  const roles = ops.indexSelect(alternating(tokens), 0, completions.completion);
  const squares = logSquares === null ? null : halves(sumByCompletion(logSquares, completions));
  return {
    chosenLogps: sums[0],
    rejectedLogps: sums[1],
    chosenMeanLogps: means[0],
    rejectedMeanLogps: means[1],
    chosenLengths: lengths[0],
    rejectedLengths: lengths[1],
    tokenLogps: logps,
    rejectedTokens: roles,
    referenceChosenLogps: reference?.[0] ?? null,
    referenceRejectedLogps: reference?.[1] ?? null,
    chosenLogSquares: squares?.[0] ?? null,
    rejectedLogSquares: squares?.[1] ?? null,
    promptLogps,
    weights: null,
    anchored: null,
    start: referenceTokenLogps === undefined ? null : startTokens(completions, referenceTokenLogps, roles),
    anchorWeights: lambda_w === undefined ? null : halves(lambda_w)[0],
  };
}

/** @param roles - (R) 0 for tokens of chosen completions, 1 for those of rejected ones */
function startTokens({ lengths, completion }: CompletionLogps, logps: Tensor, roles: Tensor): StartTokens {
  const ownLength = ops.indexSelect(lengths, 0, completion);
  return { logps, chosenShares: ops.div(ops.sub(1, roles), ownLength) };
}

/** (R): 1 for the tokens up to the length of their pair's shorter completion, `alpha` for those beyond. */
function tailWeights({ lengths, completion }: CompletionLogps, alpha: number): Tensor {
  const pairs = ops.view(lengths, [lengths.size(0) / 2, 2]);
  const shorter = ops.reshape(ops.mul(ops.onesLike(pairs), ops.neg(ops.amax(ops.neg(pairs), [1], true))), [
    lengths.size(0),
  ]);
  const first = ops.sub(ops.cumsum(lengths, 0), lengths);
  const place = ops.to(
    ops.arange(0, completion.numel, 1, { dtype: "int64", device: lengths.device }),
    lengths.dtype,
  );
  const limit = ops.indexSelect(ops.add(first, shorter), 0, completion);
  return ops.add(ops.mul(ops.to(ops.lt(place, limit), lengths.dtype), 1 - alpha), alpha);
}

/** The paired view of scores. */
function scorePairs(completions: CompletionLogps): ScorePairs {
  requirePairs(completions);
  const { logps: scores, columns } = completions;
  const [chosen, rejected] = halves(scores);
  const { margin } = columns;
  return { chosen, rejected, scores, margin: margin === undefined ? null : halves(margin)[0] };
}

function requirePairs({ groupSizes }: CompletionLogps): void {
  const odd = groupSizes.find((size) => size !== 2);
  if (odd === undefined) return;
  throw new ShapeError(
    `expected pairs, groups of two completions, got a group of ${odd}: take an objective over "groups"`,
  );
}

/** 0, 1, 0, 1 … in the shape and type of `like`. */
function alternating(like: Tensor): Tensor {
  const values = tensor(Float32Array.from({ length: like.size(0) }, (_, i) => i % 2));
  return onDevice(values, like.device, like.dtype);
}

/** (2P) -> the even and the odd entries, (P) each */
function halves(x: Tensor): [Tensor, Tensor] {
  const pairs = ops.view(x, [x.size(0) / 2, 2]);
  return [ops.select(pairs, 1, 0), ops.select(pairs, 1, 1)];
}

/** The mean of per-pair (or per-token) values as a metric. */
export function meanOf(values: Tensor, count: number = values.numel): Metric {
  return { sum: ops.sum(ops.detach(values)), count };
}

/** The fraction of values for which `mask` is true, as a metric. */
export function shareOf(mask: Tensor): Metric {
  return { sum: ops.sum(mask, { dtype: "float32" }), count: mask.numel };
}

/** Per-pair values times the pairs' weights, (P). */
export function byWeight(values: Tensor, { weights }: PairLogps): Tensor {
  return weights === null ? values : ops.mul(values, weights);
}

/** Metrics under TRL's names that every paired objective reports; `chosen` and `rejected` are its rewards, (P). */
export function pairMetrics(pairs: PairLogps, chosen: Tensor, rejected: Tensor): Record<string, Metric> {
  return {
    "rewards/chosen": meanOf(chosen),
    "rewards/rejected": meanOf(rejected),
    "rewards/margins": meanOf(ops.sub(chosen, rejected)),
    "rewards/accuracies": shareOf(ops.gt(chosen, rejected)),
    "logps/chosen": meanOf(pairs.chosenLogps),
    "logps/rejected": meanOf(pairs.rejectedLogps),
    "logps/chosen_mean": meanOf(pairs.chosenMeanLogps),
    "logps/rejected_mean": meanOf(pairs.rejectedMeanLogps),
    "lengths/chosen": meanOf(pairs.chosenLengths),
    "lengths/rejected": meanOf(pairs.rejectedLengths),
  };
}
