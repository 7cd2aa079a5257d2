/**
 * What an objective is: a pure function from log-probabilities to a loss and metrics. Normalisers belong to the whole
 * optimiser step, so the sum of the micro-batches' losses is the step's loss however it was cut.
 */
import { onDevice, ops, type Tensor, tensor } from "../torch/index.ts";

/** Per-token log-probabilities of A answers, R tokens in all. */
export interface AnswerLogps {
  /** (R) floating, requires grad in training */
  logps: Tensor;
  /** (R) int64: the answer each token belongs to, in 0 … A-1 */
  answer: Tensor;
  /** (A) same type as `logps`: tokens of each answer */
  lengths: Tensor;
  /** (A) same type as `logps`: reference log-prob sums, or null */
  reference: Tensor | null;
}

/** Log-probabilities of P pairs; answer 2i is chosen, 2i + 1 rejected. All (P) unless noted. */
export interface PairLogps {
  /** Sums over completion tokens, nats. */
  chosenLogps: Tensor;
  rejectedLogps: Tensor;
  /** Means over completion tokens (l_w, l_l), nats per token. */
  chosenMeanLogps: Tensor;
  rejectedMeanLogps: Tensor;
  /** Tokens of each answer. */
  chosenLengths: Tensor;
  rejectedLengths: Tensor;
  /** (R) all tokens' log-probs, chosen and rejected, in stream order. */
  tokenLogps: Tensor;
  /** (R) 1 for tokens of rejected answers, else 0. */
  rejectedTokens: Tensor;
  /** Reference sums; null for objectives that do not ask. */
  referenceChosenLogps: Tensor | null;
  referenceRejectedLogps: Tensor | null;
}

/** What a batch holds. */
export interface BatchCounts {
  /** Pairs, or examples for SFT. */
  examples: number;
  /** Tokens in the loss of chosen answers (of all answers for SFT). */
  chosenTokens: number;
  rejectedTokens: number;
}

/** Counts over the whole optimiser step, the normalisers; and of the micro-batch at hand, for the metrics' counts. */
export interface StepTotals extends BatchCounts {
  micro: BatchCounts;
}

/** A quantity to be averaged over a step: Σ sum / Σ count. Tensors are detached scalars. */
export interface Metric {
  sum: Tensor;
  count: number;
}

/** What an objective gives back for a micro-batch. */
export interface ObjectiveResult {
  /** () with grad: this micro-batch's share of the step's loss. */
  loss: Tensor;
  metrics: Record<string, Metric>;
}

/** An objective on preference pairs. */
export interface PairObjective {
  name: string;
  over: "pairs";
  /** Whether `referenceChosenLogps` and `referenceRejectedLogps` are needed. */
  needsReference: boolean;
  evaluate(pairs: PairLogps, totals: StepTotals): ObjectiveResult;
}

/** An objective on single answers (SFT). */
export interface AnswerObjective {
  name: string;
  over: "completions";
  needsReference: false;
  evaluate(answers: AnswerLogps, totals: StepTotals): ObjectiveResult;
}

/** Any objective. */
export type Objective = PairObjective | AnswerObjective;

/** Σ over each answer's tokens: (R) -> (A). */
export function sumByAnswer(values: Tensor, answers: AnswerLogps): Tensor {
  const zero = ops.zerosLike(ops.detach(answers.lengths));
  return ops.indexAdd(zero, 0, answers.answer, values);
}

/** The paired view of answers 2i (chosen) and 2i + 1 (rejected). */
export function pairLogps(answers: AnswerLogps): PairLogps {
  const sums = columns(sumByAnswer(answers.logps, answers));
  const lengths = columns(answers.lengths);
  const reference = answers.reference === null ? null : columns(answers.reference);
  const side = ops.indexSelect(alternating(answers.lengths), 0, answers.answer);
  return {
    chosenLogps: sums[0],
    rejectedLogps: sums[1],
    chosenMeanLogps: ops.div(sums[0], lengths[0]),
    rejectedMeanLogps: ops.div(sums[1], lengths[1]),
    chosenLengths: lengths[0],
    rejectedLengths: lengths[1],
    tokenLogps: answers.logps,
    rejectedTokens: side,
    referenceChosenLogps: reference?.[0] ?? null,
    referenceRejectedLogps: reference?.[1] ?? null,
  };
}

/** 0, 1, 0, 1 … in the shape and type of `like`. */
function alternating(like: Tensor): Tensor {
  const values = tensor(Float32Array.from({ length: like.size(0) }, (_, i) => i % 2));
  return onDevice(values, like.device, like.dtype);
}

/** (2P) -> the even and the odd entries, (P) each */
function columns(x: Tensor): [Tensor, Tensor] {
  const pairs = ops.view(x, [x.size(0) / 2, 2]);
  return [ops.select(pairs, 1, 0), ops.select(pairs, 1, 1)];
}

/** The mean of per-pair (or per-token) values as a metric. */
export function meanOf(values: Tensor, count: number = values.numel): Metric {
  return { sum: ops.sum(ops.detach(values)), count };
}

/** The share of values for which `mask` is true, as a metric. */
export function shareOf(mask: Tensor): Metric {
  return { sum: ops.sum(mask, { dtype: "float32" }), count: mask.numel };
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
