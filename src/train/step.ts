/** One optimiser step: micro-batches forward and back, one clipped update, and its metrics. */
import { at } from "../base/at.ts";
import {
  type AnswerGroup,
  answerGroups,
  countsOf,
  type DeviceBatch,
  type MicroBatch,
  toDevice,
} from "../forward/batch.ts";
import type { Numerics } from "../forward/numerics.ts";
import { keptRows } from "../forward/token-logps.ts";
import { type HeadPass, walk } from "../forward/walk.ts";
import {
  type AnswerLogps,
  type BatchCounts,
  type Metric,
  type Objective,
  type ObjectiveResult,
  pairLogps,
} from "../methods/objective.ts";
import type { Adapter } from "../models/adapt.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import type { AdamW, NamedParameter } from "../optim/adamw.ts";
import { clipGradNorm } from "../optim/clip.ts";
import {
  backward,
  type DType,
  noGrad,
  onDevice,
  ops,
  type Scope,
  scope,
  type Tensor,
  tensor,
} from "../torch/index.ts";
import { dropoutKeys } from "./dropout-keys.ts";
import { EarlyUpdates } from "./early-updates.ts";
import type { SkipReason, StepLimits } from "./spike-guard.ts";

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

/** What came of a step. */
export interface StepResult {
  /** The step's loss; NaN or infinite when it went wrong. */
  loss: number;
  /** Joint L2 norm of the gradients before clipping. */
  gradNorm: number;
  /** Averages over the step under the objective's names. */
  metrics: Record<string, number>;
  /** Null when it was applied; else why no parameter and no optimiser state changed. */
  skipped: SkipReason | null;
  /** Input tokens that went through the model. */
  tokens: number;
}

/** Told before the first batch and after each: how many are done, of how many, and their input tokens. */
export type BatchListener = (done: number, total: number, tokens: number) => void;

/** Options of one step. */
export interface StepOptions {
  learningRate: number;
  /** Of the step's dropout masks: the same for the same step, however it is cut. */
  seed: number;
  /** Also compute the entropy. */
  entropies: boolean;
  /** A step beyond them is a spike, and not applied; null or left out: none is. Not with updates in the backward pass. */
  limits?: StepLimits | null;
  onBatch?: BatchListener;
}

/**
 * Runs the micro-batches of one optimiser step and applies the update. The loss does not depend on how the step was cut.
 */
export function trainStep(
  training: Training,
  batches: readonly MicroBatch[],
  options: StepOptions,
): StepResult {
  using step = scope();
  const { learningRate, seed, entropies, limits = null, onBatch = () => {} } = options;
  const updates = training.updatesInBackward === true ? new EarlyUpdates(training, learningRate) : null;
  const { loss, tally } = accumulate(training, batches, { step, seed, entropies, updates, onBatch });
  const norm =
    updates === null
      ? clipGradNorm(gradsOf(training.parameters), training.maxGradNorm)
      : onDeviceOf(loss, updates.finish(Number.isFinite(loss.item())));
  if (updates === null && norm !== null) {
    training.optimizer.step(learningRate, { skipped: noGrad(() => isUnsound(loss, norm, limits)) });
  }
  clearGrads(training.parameters);
  const tokens = batches.reduce((sum, b) => sum + b.packed.ids.length, 0);
  // the one moment of a step in which the computer waits for the device
  const read = tally.read([loss, ...(norm === null ? [] : [norm])]);
  const [lossValue = Number.NaN, gradNorm = 0] = read.values;
  const skipped = whySkipped(lossValue, gradNorm, limits);
  return { loss: lossValue, gradNorm, metrics: read.averages, skipped, tokens };
}

function onDeviceOf(like: Tensor, value: number): Tensor {
  return onDevice(tensor([value], []), like.device, "float32");
}

/** () float32: 1 where loss or norm is not finite or beyond its limit: what `whySkipped` says, on the device. */
function isUnsound(loss: Tensor, norm: Tensor, limits: StepLimits | null): Tensor {
  const type = objectiveType(loss.device);
  const isSound = (value: Tensor, most: number) => {
    const wide = ops.to(value, type);
    return ops.logicalAnd(ops.isfinite(wide), ops.le(wide, most));
  };
  const most = limits ?? { loss: Number.POSITIVE_INFINITY, gradNorm: Number.POSITIVE_INFINITY };
  const sound = ops.logicalAnd(isSound(loss, most.loss), isSound(norm, most.gradNorm));
  return ops.to(ops.logicalNot(sound), "float32");
}

function whySkipped(loss: number, gradNorm: number, limits: StepLimits | null): SkipReason | null {
  if (!Number.isFinite(loss) || !Number.isFinite(gradNorm)) return "not finite";
  return limits !== null && (loss > limits.loss || gradNorm > limits.gradNorm) ? "spike" : null;
}

/** Whether loss and gradient of `batches` alone, with the masks of the step with `seed`, are finite; changes nothing. */
export function isFiniteStep(training: Training, batches: readonly MicroBatch[], seed: number): boolean {
  using step = scope();
  const { loss } = accumulate(training, batches, {
    step,
    seed,
    entropies: false,
    updates: null,
    onBatch: () => {},
  });
  const norm = clipGradNorm(gradsOf(training.parameters), 0);
  clearGrads(training.parameters);
  return Number.isFinite(loss.item()) && Number.isFinite(norm?.item() ?? 0);
}

/** How the micro-batches of a step are run. */
interface Accumulation {
  /** The step's scope. */
  step: Scope;
  seed: number;
  entropies: boolean;
  updates: EarlyUpdates | null;
  onBatch: BatchListener;
}

/** Adds the gradients of a step's micro-batches to the parameters' `grad`. The loss is a () tensor. */
function accumulate(
  training: Training,
  batches: readonly MicroBatch[],
  how: Accumulation,
): { loss: Tensor; tally: MetricTally } {
  const tally = new MetricTally();
  const totals = sumCounts(batches.map((b) => countsOf(b.packed)));
  const losses: Tensor[] = [];
  try {
    let tokens = 0;
    how.onBatch(0, batches.length, tokens);
    for (const [i, batch] of batches.entries()) {
      losses.push(...microStep(training, batch, { ...how, totals, tally }));
      tokens += batch.packed.ids.length;
      how.onBatch(i + 1, batches.length, tokens);
    }
  } finally {
    if (training.adapter !== null) training.adapter.switch.dropoutKeys = null;
  }
  return { loss: sumOf(losses), tally };
}

function sumOf(values: readonly Tensor[]): Tensor {
  return noGrad(() => ops.sum(ops.stack(values)));
}

/** The shares of the loss that the batch's groups have, kept in the step's scope. */
function microStep(
  training: Training,
  batch: MicroBatch,
  {
    totals,
    tally,
    step,
    seed,
    entropies,
    updates,
  }: Accumulation & { totals: BatchCounts; tally: MetricTally },
): Tensor[] {
  using _ = scope();
  const { model, numerics, objective, adapter } = training;
  const placed = toDevice(batch.packed, model.device);
  const reference = training.reference === null ? null : training.reference(batch);
  if (adapter !== null && adapter.config.dropout > 0) {
    adapter.switch.dropoutKeys = placedKeys(batch, seed, model.device);
  }
  const pass = walk(model, placed, { ...numerics, training: true, entropies });
  const losses: Tensor[] = [];
  for (const group of answerGroups(placed, headRows(training))) {
    using _ = scope();
    const head = pass.head(group);
    const leaf = ops.detach(ops.to(head.logps, objectiveType(model.device)));
    leaf.requiresGrad = true;
    const answers = answerLogps(leaf, group, referenceOf(reference, group));
    const result = evaluateObjective(objective, answers, { ...totals, micro: group.counts });
    backward([result.loss]);
    if (leaf.grad !== null) head.backward(ops.to(leaf.grad, "float32"));
    tally.add({ ...result.metrics, ...tokenStatistics(head, group) }, step);
    losses.push(step.adopt(ops.detach(result.loss)));
  }
  if (updates === null) pass.backward();
  else if (Number.isFinite(sumOf(losses).item())) pass.backward(() => updates.settle());
  return losses;
}

/** (2, T) int32 on `device`, see `dropoutKeys`. */
function placedKeys(batch: MicroBatch, seed: number, device: string): Tensor {
  return onDevice(tensor(dropoutKeys(batch, seed), [2, batch.packed.ids.length]), device, "int32");
}

/** Response tokens whose probabilities a trained head can keep; a frozen one keeps none. */
function headRows({ model, numerics }: Training): number {
  const { weight } = model.lm_head;
  return weight.requiresGrad ? keptRows(weight, numerics.keptBytes ?? null) : Number.POSITIVE_INFINITY;
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
    onDevice(tensor(values, [values.length], { dtype: "float64" }), logps.device, logps.dtype);
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
  const correct = chosen === null ? pass.correct : ops.mul(pass.correct, chosen);
  const accuracy = { mean_token_accuracy: { sum: ops.sum(correct), count: batch.counts.chosenTokens } };
  if (pass.entropies === null) return accuracy;
  return { ...accuracy, entropy: { sum: ops.sum(pass.entropies), count: pass.entropies.numel } };
}

/** 1 for tokens of answers 0, 2, 4 …: (R) float32 */
function evenAnswers(batch: AnswerGroup): Tensor {
  const even = Float32Array.from(batch.lengths, (_, i) => 1 - (i % 2));
  return ops.indexSelect(onDevice(tensor(even), batch.answer.device, "float32"), 0, batch.answer);
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

/** Sums and counts of metrics over a step or an evaluation, which stay on the device until they are read. */
export class MetricTally {
  readonly #added: { names: string[]; counts: number[]; sums: Tensor }[] = [];

  /** Adds a micro-batch's metrics. Their sums are kept in `home`, which must live until they are read. */
  add(metrics: Record<string, Metric>, home: Scope): void {
    const entries = Object.entries(metrics);
    const [first] = Object.values(metrics);
    if (first === undefined) return;
    const type = objectiveType(first.sum.device);
    const sums = noGrad(() => ops.stack(entries.map(([, { sum }]) => ops.to(sum, type))));
    this.#added.push({
      names: entries.map(([name]) => name),
      counts: entries.map(([, { count }]) => count),
      sums: home.adopt(sums),
    });
  }

  /** Σ sum / Σ count of each metric, and the values of `others`, all () tensors: one transfer from the device. */
  read(others: readonly Tensor[]): { averages: Record<string, number>; values: number[] } {
    const type = (t: Tensor) => ops.to(t, objectiveType(t.device));
    const parts = [...others.map((t) => ops.reshape(type(t), [1])), ...this.#added.map(({ sums }) => sums)];
    const numbers = parts.length === 0 ? [] : noGrad(() => ops.cat(parts).toNumbers());
    return {
      averages: this.#averages(numbers.slice(others.length)),
      values: numbers.slice(0, others.length),
    };
  }

  #averages(sums: readonly number[]): Record<string, number> {
    const totals = new Map<string, { sum: number; count: number }>();
    const names = this.#added.flatMap((added) => added.names);
    const counts = this.#added.flatMap((added) => added.counts);
    for (const [i, name] of names.entries()) {
      const { sum, count } = totals.get(name) ?? { sum: 0, count: 0 };
      totals.set(name, { sum: sum + at(sums, i), count: count + at(counts, i) });
    }
    return Object.fromEntries([...totals].map(([name, { sum, count }]) => [name, sum / count]));
  }
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
