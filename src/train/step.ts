/** One optimiser step: micro-batches forward and back, one clipped update, and its metrics. */
import { ShapeError } from "../base/errors.ts";
import {
  allCompletions,
  type Columns,
  type CompletionSlice,
  type MicroBatch,
  toDevice,
} from "../forward/batch.ts";
import type { Numerics } from "../forward/numerics.ts";
import { type Walk, walk } from "../forward/walk.ts";
import { type Objective, objectiveType, type StepTotals } from "../methods/objective.ts";
import type { Adapter } from "../models/adapt.ts";
import type { CausalLM, Decoder } from "../models/causal-lm.ts";
import type { ParameterSet } from "../nn/parameter-set.ts";
import type { AdamW } from "../optim/adamw.ts";
import { clipGradNorm } from "../optim/clip.ts";
import type { SkipReason } from "../runs/train-events.ts";
import { backward, noGrad, onDevice, ops, type Scope, scope, type Tensor, tensor } from "../torch/index.ts";
import { columnsOf, objectiveOn, type ReferenceSource, sliceCounts, totalsOf } from "./completion-logps.ts";
import { dropoutKeys } from "./dropout-keys.ts";
import { averagesOf, type MetricSums, MetricTally } from "./metric-tally.ts";
import { headSlices, type ObjectiveValues, objectiveHead } from "./objective-head.ts";
import { OptimizerInBackward } from "./optimizer-in-backward.ts";
import type { StepLimits } from "./spike-guard.ts";
import { finishGradients, type StepRanks, sharedOutcome } from "./step-ranks.ts";

/** What a step works on. Its model has the head that the objective takes: a language model's, or a reward model's. */
export interface Training<Model extends Decoder = CausalLM> {
  model: Model;
  adapter: Adapter | null;
  parameters: ParameterSet;
  objective: Objective;
  optimizer: AdamW;
  numerics: Numerics;
  /** 0: gradients are not clipped. */
  max_grad_norm: number;
  /** Update each parameter as soon as its gradient is complete, and free the gradient: needs one micro-batch a step and no clipping. */
  optimizer_in_backward?: boolean;
  /** Null when the objective needs no reference. */
  reference: ReferenceSource | null;
  /** The model without an adapter, on the same tensors, where loading it again would quantise it again; null or left out: it can be. */
  base?: CausalLM | null;
  /** The ranks that take each step together; null or left out: this process is the only one. */
  ranks?: StepRanks | null;
}

/** The result of a step. */
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
  /** Time it took. */
  seconds: number;
  /** For each micro-batch the log-probs of its tokens, (R) in their order (or the scores), before the update; null unless asked for. */
  logps: Float32Array[] | null;
  /** Whether a rank was asked to stop; false in a run of one process. */
  stops: boolean;
}

/** Called before the first batch and after each: how many are done, of how many, and their input tokens. */
export type BatchListener = (done: number, total: number, tokens: number) => void;

/** Options of one step. */
export interface StepOptions {
  learningRate: number;
  /** Of the step's dropout masks: the same for the same step, however it is cut. */
  seed: number;
  /** Also compute the entropy. */
  log_entropy: boolean;
  /** A step beyond them is a spike, and not applied; null or left out: none is. Not with updates in the backward pass. */
  limits?: StepLimits | null;
  onBatch?: BatchListener;
  /** Also give the log-probs of all tokens. */
  keep_logps?: boolean | undefined;
  /** Compute all of it and update nothing, the optimiser's state neither. */
  frozen?: boolean | undefined;
  /** The micro-batches of all ranks, over which the loss is normalised; left out: `batches`. */
  all?: readonly MicroBatch[] | undefined;
  /** Whether this rank was asked to stop, which all ranks hear of with the step's numbers. */
  wantsStop?: () => boolean;
}

/**
 * Runs the micro-batches of one optimiser step and applies the update. The loss does not depend on how the step was cut.
 *
 * @throws {ShapeError} if weights are updated in the backward pass and there are several micro-batches
 */
export function trainStep(
  training: Training<Decoder>,
  batches: readonly MicroBatch[],
  options: StepOptions,
): StepResult {
  using step = scope();
  const began = performance.now();
  const { learningRate, seed, log_entropy, limits = null, onBatch = () => {}, frozen = false } = options;
  const logps =
    options.keep_logps === true ? batches.map(({ packed }) => new Float32Array(packed.targets.length)) : null;
  const updates =
    training.optimizer_in_backward === true && !frozen
      ? new OptimizerInBackward(training, learningRate)
      : null;
  if (updates !== null) requireOneBatch(batches.length);
  const { all = batches, wantsStop = () => false } = options;
  const how = { step, seed, log_entropy, updates, onBatch, logps, all };
  const { ranks = null } = training;
  ranks?.meter.begin();
  const run = (): Ended => {
    const { loss, tally } = accumulate(training, batches, how);
    return ranks === null
      ? updatedAlone(training, { loss, tally, updates }, options)
      : updatedTogether(training, ranks, { loss, tally, stops: wantsStop(), began }, options);
  };
  const { values, sums, stops } = clearingGrads(training, run);
  return {
    loss: values.loss,
    gradNorm: values.gradNorm,
    metrics: averagesOf(sums),
    skipped: whySkipped(values.loss, values.gradNorm, limits),
    tokens: all.reduce((sum, { packed, isIdle }) => sum + (isIdle === true ? 0 : packed.ids.length), 0),
    seconds: (performance.now() - began) / 1000,
    logps,
    stops,
  };
}

/**
 * What `body` gives; the gradients that it leaves are gone afterwards, those of a step that failed too: except with several ranks,
 * where a collective may still use their memory and the failure ends the process.
 */
function clearingGrads<T>({ parameters, ranks = null }: Training<Decoder>, body: () => T): T {
  let isDone = false;
  try {
    const result = body();
    isDone = true;
    return result;
  } finally {
    if (isDone || ranks === null) parameters.clearGrads();
  }
}

/** @throws {ShapeError} if weights would be updated after each of several micro-batches */
function requireOneBatch(batches: number): void {
  if (batches === 1) return;
  throw new ShapeError(
    `optimizer_in_backward: expected a step of one micro-batch, got ${batches}, whose gradients would have to be added up. Raise ` +
      "per_device_train_batch_size to what a step has and leave max_tokens_per_micro_batch out, or set optimizer_in_backward: false.",
  );
}

/** Loss and gradients of a step, before the update. */
interface Accumulated {
  /** () */
  loss: Tensor;
  tally: MetricTally;
}

/** What a step gave. */
interface Ended {
  values: { loss: number; gradNorm: number };
  sums: MetricSums;
  stops: boolean;
}

/** Clips and updates; whether the step counts is decided on the device, which is waited for once, at the end. */
function updatedAlone(
  { parameters, max_grad_norm, optimizer }: Training<Decoder>,
  { loss, tally, updates }: Accumulated & { updates: OptimizerInBackward | null },
  { learningRate, limits = null, frozen = false }: StepOptions,
): Ended {
  const norm =
    updates === null
      ? clipGradNorm(parameters.grads(), max_grad_norm)
      : onDeviceOf(loss, updates.finish(Number.isFinite(loss.item())));
  // before the update: when memory runs out here, nothing has changed
  const read = tally.gather([loss, ...(norm === null ? [] : [norm])]);
  if (updates === null && norm !== null && !frozen) {
    optimizer.step(learningRate, { skipped: noGrad(() => isUnsound(loss, norm, limits)) });
  }
  const { values, sums } = read();
  const [lossValue = Number.NaN, gradNorm = 0] = values;
  return { values: { loss: lossValue, gradNorm }, sums, stops: false };
}

/** The same where several ranks take the step: all decide from the numbers of all. */
function updatedTogether(
  { parameters, max_grad_norm, optimizer }: Training<Decoder>,
  ranks: StepRanks,
  { loss, tally, stops, began }: Accumulated & { stops: boolean; began: number },
  { learningRate, limits = null, frozen = false }: StepOptions,
): Ended {
  finishGradients(ranks, parameters);
  const grads = parameters.grads();
  const local = tally.read([loss, ...(grads.length === 0 ? [] : [noGrad(() => ops.sumSquares(grads))])]);
  const [lossValue = Number.NaN, squares = 0] = local.values;
  const seconds = (performance.now() - began) / 1000;
  const own = { loss: lossValue, squares, sums: local.sums, stops, seconds };
  const { values, ...all } = sharedOutcome(ranks, own);
  if (whySkipped(values.loss, values.gradNorm, limits) === null && !frozen) {
    const factor = max_grad_norm > 0 ? Math.min(1, max_grad_norm / (values.gradNorm + 1e-6)) : 1;
    // a rank may have nothing to update
    if (factor < 1 && grads.length > 0) noGrad(() => ops._foreachMul_(grads, tensor([factor], [])));
    optimizer.step(learningRate);
  }
  return { values, ...all };
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
export function isFiniteStep(
  training: Training<Decoder>,
  batches: readonly MicroBatch[],
  seed: number,
): boolean {
  using step = scope();
  const { ranks = null, parameters } = training;
  const how = { step, seed, log_entropy: false, updates: null, onBatch: () => {}, logps: null, all: batches };
  const { loss, norm } = clearingGrads(training, () => {
    const { loss } = accumulate(training, batches, how);
    ranks?.sharded?.finishGradients();
    return { loss, norm: clipGradNorm(parameters.grads(), 0) };
  });
  const isSoundHere = Number.isFinite(loss.item()) && Number.isFinite(norm?.item() ?? 0);
  return ranks === null ? isSoundHere : ranks.group.gather(isSoundHere).every(Boolean);
}

/** How the micro-batches of a step are run. */
interface Accumulation {
  /** The step's scope. */
  step: Scope;
  seed: number;
  log_entropy: boolean;
  updates: OptimizerInBackward | null;
  onBatch: BatchListener;
  /** Where the log-probs of each micro-batch go. */
  logps: Float32Array[] | null;
  /** What the loss is normalised over. */
  all: readonly MicroBatch[];
}

/** Adds the gradients of a step's micro-batches to the parameters' `grad`. The loss is a () tensor. */
function accumulate(
  training: Training<Decoder>,
  batches: readonly MicroBatch[],
  how: Accumulation,
): { loss: Tensor; tally: MetricTally } {
  const tally = new MetricTally();
  const totals = totalsOf(
    how.all.filter(({ isIdle }) => isIdle !== true),
    training.objective,
  );
  const losses: Tensor[] = [];
  try {
    let tokens = 0;
    how.onBatch(0, batches.length, tokens);
    for (const [i, batch] of batches.entries()) {
      losses.push(...microStep(training, batch, { ...how, totals, tally, kept: how.logps?.[i] ?? null }));
      tokens += batch.packed.ids.length;
      how.onBatch(i + 1, batches.length, tokens);
    }
  } finally {
    if (training.adapter !== null) training.adapter.switch.dropoutKeys = null;
  }
  return { loss: losses.length === 0 ? tensor([0], []) : sumOf(losses), tally };
}

function sumOf(values: readonly Tensor[]): Tensor {
  return noGrad(() => ops.sum(ops.stack(values)));
}

/** How a micro-batch is run. */
interface MicroStep extends Accumulation {
  totals: Omit<StepTotals, "micro">;
  tally: MetricTally;
  /** Where its log-probs go; null: nowhere. */
  kept: Float32Array | null;
}

/** The loss of each slice of the batch, kept in the step's scope. */
function microStep(training: Training<Decoder>, batch: MicroBatch, how: MicroStep): Tensor[] {
  using _ = scope();
  const { model, numerics, objective, adapter, parameters } = training;
  const { seed, log_entropy, updates } = how;
  const placed = toDevice(batch.packed, model.device, batch.keptTokens);
  const columns = columnsOf(objective, batch, training.reference);
  if (adapter !== null && adapter.config.dropout > 0) {
    adapter.switch.dropoutKeys = placedKeys(batch, seed, model.device);
  }
  const head = objectiveHead(model, objective, { ...numerics, entropies: log_entropy });
  // other ranks wait for the backward pass of each
  const isForward = batch.hasNoGradient === true && updates === null && (training.ranks ?? null) === null;
  const pass = walk(model, placed, head, { ...numerics, trained: isForward ? null : parameters });
  if (batch.isIdle === true) {
    const { values, backward: headBackward } = pass.head(allCompletions(placed));
    headBackward(ops.zerosLike(values));
    pass.backward();
    return [];
  }
  const slices = isForward ? [allCompletions(placed)] : headSlices(placed, training);
  const losses = slices.map((slice) => sliceStep(objective, pass, { slice, columns, isForward }, how));
  if (isForward) return losses;
  if (updates === null) pass.backward();
  else if (Number.isFinite(sumOf(losses).item())) pass.backward(() => updates.updateReady());
  return losses;
}

/** The loss of a slice, kept in the step's scope; its gradient is with the walk. */
function sliceStep(
  objective: Objective,
  pass: Walk<ObjectiveValues>,
  { slice, columns, isForward }: { slice: CompletionSlice; columns: Columns; isForward: boolean },
  { totals, tally, step, kept }: MicroStep,
): Tensor {
  using _ = scope();
  const { values, entropies, logSquares, statistics, backward: headBackward } = pass.head(slice);
  kept?.set(values.data() as Float32Array, slice.start);
  const leaf = leafOf(values, !isForward);
  const entropyLeaf = entropies === null ? null : leafOf(entropies, !isForward);
  const counts = sliceCounts(objective, slice, columns);
  const measured = { values: leaf, entropies: entropyLeaf, logSquares };
  const result = objectiveOn(objective, measured, { slice, columns, totals: { ...totals, micro: counts } });
  if (!isForward) {
    backward([result.loss]);
    goBack(headBackward, leaf, entropyLeaf);
  }
  tally.add({ ...result.metrics, ...statistics(counts) }, step);
  return step.adopt(ops.detach(result.loss));
}

/** Takes the gradients of the leaves through the head, zeros where the loss has none of them: other ranks may have some. */
function goBack(
  headBackward: (grad: Tensor, gradEntropies: Tensor | null) => void,
  leaf: Tensor,
  entropyLeaf: Tensor | null,
): void {
  const ofEntropies = entropyLeaf?.grad ?? null;
  const ofValues = leaf.grad ?? ops.zerosLike(leaf);
  headBackward(ops.to(ofValues, "float32"), ofEntropies === null ? null : ops.to(ofEntropies, "float32"));
}

/** `values` in the objective's type, where the way from the loss ends, if there is one. */
function leafOf(values: Tensor, requiresGrad: boolean): Tensor {
  const leaf = ops.detach(ops.to(values, objectiveType(values.device)));
  leaf.requiresGrad = requiresGrad;
  return leaf;
}

/** (2, T) int32 on `device`, see `dropoutKeys`. */
function placedKeys(batch: MicroBatch, seed: number, device: string): Tensor {
  return onDevice(tensor(dropoutKeys(batch, seed), [2, batch.packed.ids.length]), device, "int32");
}
