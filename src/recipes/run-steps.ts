/** The steps of a run, each with what is due after it. */
import { setImmediate } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { EndpointError } from "../base/errors.ts";
import { deriveSeed } from "../base/random.ts";
import { GaveUpError } from "../base/ranks.ts";
import type { RunConfig } from "../config/run-config.ts";
import { learningRateAt } from "../optim/schedule.ts";
import { ChildFailure } from "../process/failure.ts";
import { RewardError } from "../rewards/reward-error.ts";
import type { Recorder } from "../runs/recorder.ts";
import type { TrainEvent, TrainSummary, TrainWork, WorkListener } from "../runs/train-events.ts";
import { manualSeed, memoryInUse } from "../torch/index.ts";
import type { TrainerState } from "../train/checkpoint.ts";
import { culpritsOf } from "../train/culprits.ts";
import { Logbook } from "../train/logbook.ts";
import type { HeadedModel } from "../train/logp-difference.ts";
import type { RunCheckpoints } from "../train/run-checkpoints.ts";
import { limitsOf, refuseMoreSkips, remember } from "../train/spike-guard.ts";
import { type BatchListener, type StepResult, type Training, trainStep } from "../train/step.ts";
import type { StepRanks } from "../train/step-ranks.ts";
import type { StepSource, TrainingStep } from "../train/step-source.ts";
import type { Evaluator } from "./evaluator.ts";

/** What there is beside the model that is trained. */
interface Beside {
  signal?: AbortSignal;
  /** The last step to be taken, where that comes before the run's own; others may be left. */
  stopAfter?: number;
  onWork?: WorkListener;
  config: RunConfig;
  evaluator: Evaluator | null;
  checkpoints: RunCheckpoints;
  recorder: Recorder | null;
}

/** How the steps ended. */
interface Ended extends Pick<TrainSummary, "reason" | "lastLog" | "lastEvaluation"> {
  /** What was wrong when the collapse watch ended them; empty when it did not. */
  breaches: string[];
}

function stopEarly(ended: Ended, state: TrainerState, { early_stopping_patience }: RunConfig): void {
  const patience = early_stopping_patience ?? Number.POSITIVE_INFINITY;
  if (ended.reason === "done" && state.evaluationsWithoutGain >= patience) ended.reason = "early stop";
}

/**
 * The steps that are left, each with what is due after it: metrics, an evaluation, a checkpoint. Between two steps the event
 * loop turns once, so signals are heard. A run that ends before its last step keeps a checkpoint of where it stands.
 *
 * @throws {GaveUpError} after too many steps in a row that were not finite, at the same step on every rank
 * @throws {RewardError | EndpointError | ChildFailure} if completions cannot be scored, or sampled ahead
 */
export async function* runSteps(
  state: TrainerState,
  training: Training<HeadedModel> & { ranks: StepRanks | null },
  source: StepSource,
  beside: Beside,
): AsyncGenerator<TrainEvent, Ended> {
  const { checkpoints, recorder, config } = beside;
  try {
    const ended = yield* takeSteps(state, training, source, beside);
    if (keepsItsEnd(ended, config)) yield* checkpoints.save(state, recorder);
    return ended;
  } catch (error) {
    const isWorthIt = error instanceof GaveUpError || (isOfScoring(error) && state.step > 0);
    if (isWorthIt) yield* checkpoints.save(state, recorder);
    throw error;
  }
}

/** Whether what samples ahead or scores has failed, of which training is untouched: between two steps, or in an evaluation. */
function isOfScoring(error: unknown): boolean {
  return error instanceof RewardError || error instanceof EndpointError || error instanceof ChildFailure;
}

async function* takeSteps(
  state: TrainerState,
  training: Training<HeadedModel> & { ranks: StepRanks | null },
  source: StepSource,
  {
    config,
    evaluator,
    checkpoints,
    recorder,
    signal,
    stopAfter = Number.POSITIVE_INFINITY,
    onWork = () => {},
  }: Beside,
): AsyncGenerator<TrainEvent, Ended> {
  const { totalSteps } = source;
  const logbook = new Logbook(state);
  const ended: Ended = { reason: "done", breaches: [], lastLog: null, lastEvaluation: null };
  const listener =
    (at: TrainWork["at"], step: number): BatchListener =>
    (done, total, tokens) =>
      onWork({ at, step, done, total, tokens });
  async function* evaluate(epoch: number): AsyncGenerator<TrainEvent> {
    if (evaluator === null) return;
    try {
      const how = { onBatch: listener("evaluation", state.step), signal };
      const { row, breaches } = yield* evaluator.evaluate(state, epoch, how);
      Object.assign(ended, { lastEvaluation: row, breaches });
      delete state.evaluationDue;
      if (breaches.length > 0) {
        ended.reason = "collapsed";
        state.collapse = { breaches, watch_thresholds: config.watch_thresholds };
      }
    } catch (error) {
      const isInterrupted = interrupts(error, source, signal);
      // the resumed run makes it up
      if (isInterrupted || isOfScoring(error)) state.evaluationDue = epoch;
      if (!isInterrupted) throw error;
      ended.reason = "stopped";
    }
    logbook.restart();
  }

  const due = evaluationBefore(state, config, checkpoints);
  Object.assign(ended, collapseBefore(state, config));
  if (due !== null) yield* evaluate(due);
  logbook.restart();
  // on several ranks all stop after the same step
  const wantsStop = () => signal?.aborted === true;
  let stops = training.ranks?.group.gather(wantsStop()).some(Boolean) ?? false;
  // a run that had stopped early, and was killed before its end, takes no further step
  stopEarly(ended, state, config);
  while (state.step < Math.min(totalSteps, stopAfter) && ended.reason === "done") {
    await setImmediate();
    // until now a signal was about the step before
    const onBatch = listener("step", state.step + 1);
    onBatch(0, 1, 0);
    const work = { step: state.step + 1, tokens: 0 };
    const made = await source.next(state.step, {
      signal,
      onWork: (at, done, total) => onWork({ at, done, total, ...work }),
    });
    if (made === null || (training.ranks === null ? wantsStop() : stops)) {
      ended.reason = "stopped";
      break;
    }
    const { epoch, endsEpoch } = made;
    yield* sampledFor(made);
    const how = { training, source, config, onBatch, wantsStop };
    const learningRate = learningRateAt(state.step, totalSteps, config);
    const result = yield* stepOf(state, made, { ...how, learningRate, logbook });
    stops = result.stops;
    const { step } = state;
    const { peak: peakMemoryBytes } = memoryInUse(training.model.device);
    yield {
      type: "step",
      step,
      loss: result.loss,
      metrics: result.metrics,
      tokens: result.tokens,
      peakMemoryBytes,
    };

    const now: Moment = { step, isLast: step >= totalSteps, endsEpoch };
    if (isDue("steps", config.logging_steps, now)) {
      const facts = {
        step,
        epoch,
        learningRate,
        sourceMetrics: { ...source.metrics, ...training.ranks?.meter.row() },
      };
      ended.lastLog = logbook.row({ ...facts, peakMemoryBytes });
      yield { type: "log", row: ended.lastLog };
    }
    refuseMoreSkips(state, result.culprits, config.max_nonfinite_steps);
    if (isDue(config.eval_strategy, config.eval_steps, now)) yield* evaluate(epoch);
    if (ended.reason !== "done") break;
    // the best model can only be loaded at the end if it was saved, whatever the rhythm of the checkpoints
    if (checkpoints.isBest(state) || isDue(config.save_strategy, config.save_steps, now)) {
      yield* checkpoints.save(state, recorder);
      logbook.restart();
    }
    stopEarly(ended, state, config);
  }
  if (ended.reason === "done" && state.step < totalSteps) ended.reason = "stopped";
  return ended;
}

/** Epoch of the evaluation that comes before the first step: one that was interrupted, or that of the start; null: none. */
function evaluationBefore(
  { evaluationDue, collapse }: TrainerState,
  { eval_on_start }: RunConfig,
  { hasSaved }: RunCheckpoints,
): number | null {
  if (collapse !== undefined) return null;
  // a run that was stopped before its first step has measured its start already
  return evaluationDue ?? (eval_on_start && !hasSaved ? 0 : null);
}

/** How a run ends again that the watch had ended: its action and thresholds are what they were. */
function collapseBefore(state: TrainerState, { watch_action, watch_thresholds }: RunConfig): Partial<Ended> {
  const { collapse } = state;
  if (collapse === undefined) return {};
  if (watch_action !== "warn" && isDeepStrictEqual(collapse.watch_thresholds, watch_thresholds)) {
    return { reason: "collapsed", breaches: [...collapse.breaches] };
  }
  delete state.collapse;
  return {};
}

/** Whether an evaluation ended by a signal, or by what the source of steps stops for. */
function interrupts(error: unknown, source: StepSource, signal: AbortSignal | undefined): boolean {
  return (signal?.aborted === true && error === signal.reason) || source.stopsFor?.(error) === true;
}

/** What a step is taken with. */
interface StepContext {
  training: Training<HeadedModel>;
  source: StepSource;
  config: RunConfig;
  learningRate: number;
  logbook: Logbook;
  onBatch: BatchListener;
  wantsStop: () => boolean;
}

/** Takes a step and notes it in `state`; one that is skipped is reported, and returned with the rows at fault. */
function* stepOf(
  state: TrainerState,
  { batches, all, singles, keep_logps, frozen }: TrainingStep,
  { training, source, config, logbook, ...given }: StepContext,
): Generator<TrainEvent, StepResult & { culprits: string[] }> {
  const { log_entropy, skip_step_sigma } = config;
  // each step seeds its own random numbers: nothing of the generator needs saving
  const seed = deriveSeed(config.seed, state.step);
  manualSeed(seed);
  const limits = limitsOf(state.history, skip_step_sigma);
  const how = { ...given, limits, seed, log_entropy, keep_logps, frozen, all };
  const result = withMetricsOf(source, state.step, trainStep(training, batches, how));
  const { loss, gradNorm, skipped: reason } = result;
  state.step += 1;
  logbook.add(result);
  if (skip_step_sigma !== null) remember(state.history, result);
  const rows = reason === null ? [] : culpritsOf(training, singles(), reason, seed);
  if (reason !== null) yield { type: "skipped", step: state.step, reason, loss, gradNorm, rows };
  return { ...result, culprits: rows };
}

/** What was sampled for a step, and what is to be reported of it. */
function* sampledFor({ rollout, notes = [] }: TrainingStep): Generator<TrainEvent> {
  if (rollout !== undefined) yield { type: "rollout", rows: rollout };
  for (const text of notes) yield { type: "note", text };
}

/** Why the source of steps ended them before the last. */
export function* sourceNotes({ whyStopped = null }: StepSource): Generator<TrainEvent> {
  if (whyStopped !== null) yield { type: "note", text: `stopped: ${whyStopped}` };
}

/** Whether the run ended before its last step, whose checkpoint is due in any case, and can be continued or exported from there. */
function keepsItsEnd({ reason }: Ended, { watch_action, save_strategy }: RunConfig): boolean {
  if (reason === "early stop") return save_strategy !== "no";
  return reason === "stopped" || (reason === "collapsed" && watch_action === "stop");
}

/** The result of step `step` with what the source says of what it was made of. */
function withMetricsOf(source: StepSource, step: number, result: StepResult): StepResult {
  return { ...result, metrics: { ...result.metrics, ...source.stepped?.(step, result) } };
}

/** Where a step stands that is done. */
interface Moment {
  step: number;
  isLast: boolean;
  endsEpoch: boolean;
}

/** Whether something is done after the step; after the last it always is. */
function isDue(
  strategy: RunConfig["eval_strategy"],
  steps: number | null,
  { step, isLast, endsEpoch }: Moment,
): boolean {
  if (strategy === "no" || isLast) return strategy !== "no";
  if (strategy === "epoch") return endsEpoch;
  return steps !== null && steps > 0 && step % steps === 0;
}
