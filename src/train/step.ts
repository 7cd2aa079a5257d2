/** One optimiser step: micro-batches forward and back, one clipped update, and its metrics. */
import type { PackedBatch } from "../data/packing.ts";
import type { Adapter } from "../models/adapt.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import {
  type AnswerLogps,
  type BatchCounts,
  type Metric,
  type Objective,
  type ObjectiveResult,
  pairLogps,
} from "../objectives/objective.ts";
import { keptRows } from "../objectives/token-logps.ts";
import type { AdamW, NamedParameter } from "../optim/adamw.ts";
import { clipGradNorm } from "../optim/clip.ts";
import { backward, type DType, noGrad, ops, scope, type Tensor, tensor } from "../torch/index.ts";
import { type AnswerGroup, answerGroups, countsOf, type DeviceBatch, toDevice } from "./batch.ts";
import { EarlyUpdates } from "./early-updates.ts";
import { type HeadPass, walk } from "./walk.ts";

/** How the model is run; the same for training, evaluation and scoring. */
export interface Numerics {
  /** Type of the activations. */
  dtype: DType;
  /** Compute blocks again in the backward pass instead of keeping their activations. */
  recompute: boolean;
  /** How many blocks, from the first, `recompute` means; null or left out: all. */
  recomputedBlocks?: number | null;
  /** Where what a recomputed block needs waits for the backward pass; null or left out: where the model is. */
  offload?: string | null;
  /** Vocabulary entries whose logits are held at once; null for automatic. */
  chunkColumns: number | null;
}

/** What a step works on. */
export interface Training {
  model: CausalLM;
  adapter: Adapter | null;
  parameters: readonly NamedParameter[];
  objective: Objective;
  optimizer: AdamW;
  numerics: Numerics;
  /** 0: gradients are not clipped. */
  maxGradNorm: number;
  /** Update each parameter as soon as its gradient is whole, and free the gradient: needs one micro-batch a step and no clipping. */
  updatesInBackward?: boolean;
  /** Sums of reference log-probs of a micro-batch's answers, or null when the objective needs none. */
  reference: ((batch: MicroBatch) => readonly number[]) | null;
}

/** A packed batch and where its examples stand in the dataset. */
export interface MicroBatch {
  packed: PackedBatch;
  /** Index in the dataset of each example of `packed`. */
  indices: readonly number[];
}

/** What came of a step. */
export interface StepResult {
  /** The step's loss; NaN or infinite when it went wrong. */
  loss: number;
  /** Joint L2 norm of the gradients before clipping. */
  gradNorm: number;
  /** Averages over the step under the objective's names. */
  metrics: Record<string, number>;
  /** False when loss or gradient was not finite: no parameter and no optimiser state changed. */
  applied: boolean;
  /** Input tokens that went through the model. */
  tokens: number;
}

/** Options of one step. */
export interface StepOptions {
  learningRate: number;
  /** Also compute the entropy. */
  entropies: boolean;
}

/**
 * Runs the micro-batches of one optimiser step and applies the update. The loss does not depend on how the step was cut.
 */
export function trainStep(
  training: Training,
  batches: readonly MicroBatch[],
  options: StepOptions,
): StepResult {
  using _ = scope();
  const updates =
    training.updatesInBackward === true ? new EarlyUpdates(training, options.learningRate) : null;
  const { loss, tally } = accumulate(training, batches, options.entropies, updates);
  const gradNorm =
    updates === null
      ? clipGradNorm(gradsOf(training.parameters), training.maxGradNorm)
      : updates.finish(Number.isFinite(loss));
  const applied = Number.isFinite(loss) && Number.isFinite(gradNorm);
  if (applied && updates === null) training.optimizer.step(options.learningRate);
  clearGrads(training.parameters);
  const tokens = batches.reduce((sum, b) => sum + b.packed.ids.length, 0);
  return { loss, gradNorm, metrics: tally.averages(), applied, tokens };
}

/** Whether loss and gradient of `batches` alone are finite; changes nothing. */
export function isFiniteStep(training: Training, batches: readonly MicroBatch[]): boolean {
  using _ = scope();
  const { loss } = accumulate(training, batches, false, null);
  const norm = clipGradNorm(gradsOf(training.parameters), 0);
  clearGrads(training.parameters);
  return Number.isFinite(loss) && Number.isFinite(norm);
}

/** Adds the gradients of a step's micro-batches to the parameters' `grad`. */
function accumulate(
  training: Training,
  batches: readonly MicroBatch[],
  entropies: boolean,
  updates: EarlyUpdates | null,
): { loss: number; tally: MetricTally } {
  const tally = new MetricTally();
  const totals = sumCounts(batches.map((b) => countsOf(b.packed)));
  setTraining(training.adapter, true);
  try {
    let loss = 0;
    for (const batch of batches) loss += microStep(training, batch, { totals, tally, entropies, updates });
    return { loss, tally };
  } finally {
    setTraining(training.adapter, false);
  }
}

interface MicroOptions {
  totals: BatchCounts;
  tally: MetricTally;
  entropies: boolean;
  updates: EarlyUpdates | null;
}

function microStep(
  training: Training,
  batch: MicroBatch,
  { totals, tally, entropies, updates }: MicroOptions,
): number {
  using _ = scope();
  const { model, numerics, objective } = training;
  const onDevice = toDevice(batch.packed, model.device);
  const reference = training.reference === null ? null : training.reference(batch);
  const pass = walk(model, onDevice, { ...numerics, training: true, entropies });
  let loss = 0;
  for (const group of answerGroups(onDevice, headRows(model))) {
    using _ = scope();
    const head = pass.head(group);
    const leaf = ops.detach(ops.toDtype(head.logps, objectiveType(model.device)));
    leaf.requiresGrad = true;
    const answers = answerLogps(leaf, group, referenceOf(reference, group));
    const result = evaluateObjective(objective, answers, { ...totals, micro: group.counts });
    backward([result.loss]);
    if (leaf.grad !== null) head.backward(ops.toDtype(leaf.grad, "float32"));
    tally.add({ ...result.metrics, ...tokenStatistics(head, group) });
    loss += result.loss.item();
  }
  if (updates === null) pass.backward();
  else if (Number.isFinite(loss)) pass.backward(() => updates.settle());
  return loss;
}

/** Response tokens whose probabilities a trained head can keep; a frozen one keeps none. */
function headRows(model: CausalLM): number {
  const { weight } = model.lm_head;
  return weight.requiresGrad ? keptRows(weight) : Number.POSITIVE_INFINITY;
}

function referenceOf(
  sums: readonly number[] | null,
  { first, lengths }: AnswerGroup,
): readonly number[] | null {
  return sums === null ? null : sums.slice(first, first + lengths.length);
}

/** Objectives are computed in float64 where the device has it: their vectors are short and sums stay exact. */
export function objectiveType(device: string): DType {
  return device.startsWith("mps") ? "float32" : "float64";
}

/** The answers' log-probs as objectives take them. `reference` holds one sum an answer. */
export function answerLogps(
  logps: Tensor,
  batch: Pick<DeviceBatch, "answer" | "lengths">,
  reference: readonly number[] | null,
): AnswerLogps {
  const place = (values: readonly number[]) =>
    ops.toDevice(tensor(values, [values.length], { dtype: "float64" }), logps.device, logps.dtype);
  return {
    logps,
    answer: batch.answer,
    lengths: place(batch.lengths),
    reference: reference === null ? null : place(reference),
  };
}

/** The objective's value for a batch, whichever kind it is. */
export function evaluateObjective(
  objective: Objective,
  answers: AnswerLogps,
  totals: BatchCounts & { micro: BatchCounts },
): ObjectiveResult {
  if (objective.over === "pairs") return objective.evaluate(pairLogps(answers), totals);
  const all = (counts: BatchCounts) => ({
    ...counts,
    chosenTokens: counts.chosenTokens + counts.rejectedTokens,
  });
  return objective.evaluate(answers, { ...all(totals), micro: all(totals.micro) });
}

/** TRL's `mean_token_accuracy` over tokens of chosen answers and, when measured, `entropy` over those of all. */
export function tokenStatistics(pass: HeadPass, batch: AnswerGroup): Record<string, Metric> {
  const chosen = batch.counts.rejectedTokens === 0 ? null : evenAnswers(batch);
  const correct = chosen === null ? pass.correct : ops.mulTensor(pass.correct, chosen);
  const accuracy = { mean_token_accuracy: { sum: ops.sum(correct), count: batch.counts.chosenTokens } };
  if (pass.entropies === null) return accuracy;
  return { ...accuracy, entropy: { sum: ops.sum(pass.entropies), count: pass.entropies.numel } };
}

/** 1 for tokens of answers 0, 2, 4 …: (R) float32 */
function evenAnswers(batch: AnswerGroup): Tensor {
  const even = Float32Array.from(batch.lengths, (_, i) => 1 - (i % 2));
  return ops.indexSelect(ops.toDevice(tensor(even), batch.answer.device, "float32"), 0, batch.answer);
}

/** Σ of counts over micro-batches. */
export function sumCounts(counts: readonly BatchCounts[]): BatchCounts {
  const total = { examples: 0, chosenTokens: 0, rejectedTokens: 0 };
  for (const c of counts) {
    total.examples += c.examples;
    total.chosenTokens += c.chosenTokens;
    total.rejectedTokens += c.rejectedTokens;
  }
  return total;
}

/** Sums and counts of metrics over a step or an evaluation; read once at the end. */
export class MetricTally {
  readonly #sums: Map<string, number> = new Map();
  readonly #counts: Map<string, number> = new Map();

  /** Adds a micro-batch's metrics: one transfer from the device for all of them. */
  add(metrics: Record<string, Metric>): void {
    const names = Object.keys(metrics);
    if (names.length === 0) return;
    const sums = names.map((name) => (metrics[name] as Metric).sum);
    const type = objectiveType((sums[0] as Tensor).device);
    const values = noGrad(() => ops.stack(sums.map((sum) => ops.toDtype(sum, type))).toNumbers());
    names.forEach((name, i) => {
      this.#sums.set(name, (this.#sums.get(name) ?? 0) + (values[i] ?? Number.NaN));
      this.#counts.set(name, (this.#counts.get(name) ?? 0) + (metrics[name] as Metric).count);
    });
  }

  /** Σ sum / Σ count of each. */
  averages(): Record<string, number> {
    return Object.fromEntries(
      [...this.#sums].map(([name, sum]) => [name, sum / (this.#counts.get(name) ?? 0)]),
    );
  }
}

function setTraining(adapter: Adapter | null, value: boolean): void {
  if (adapter !== null) adapter.switch.training = value;
}

function gradsOf(parameters: readonly NamedParameter[]): Tensor[] {
  return parameters.flatMap((p) => {
    const grad = p.tensor.grad;
    return grad === null ? [] : [grad];
  });
}

function clearGrads(parameters: readonly NamedParameter[]): void {
  for (const { tensor: parameter } of parameters) parameter.grad = null;
}
