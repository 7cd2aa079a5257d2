/** The steps of a run: update, log, evaluate, save, and stop when it is done, no better, told to, or going wrong. */
import { setImmediate } from "node:timers/promises";
import { TrainingError } from "../base/errors.ts";
import { ignoreErrors } from "../base/file-io.ts";
import { deriveSeed } from "../base/random.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { Environment } from "../forward/environment.ts";
import { learningRateAt } from "../optim/schedule.ts";
import {
  type Checkpoint,
  checkpointPath,
  faultOf,
  latestCheckpoint,
  pruneCheckpoints,
  writeCheckpoint,
} from "../runs/checkpoints.ts";
import { isEvalRow, type MetricRow, MetricsWriter, readMetrics } from "../runs/metrics.ts";
import type { OpenRun } from "../runs/run-directory.ts";
import { cutRecords, recordsOf, saveRecords } from "../runs/run-records.ts";
import { manualSeed, memoryInUse } from "../torch/index.ts";
import { readCheckpointFiles, type TrainerState, writeCheckpointFiles } from "../train/checkpoint.ts";
import { culpritsOf, fewOf, rowsOf } from "../train/culprits.ts";
import { Logbook } from "../train/logbook.ts";
import { RunPlan } from "../train/plan.ts";
import type { PreparedData } from "../train/prepare-data.ts";
import { emptyHistory, limitsOf, remember, type SkipReason, type StepLimits } from "../train/spike-guard.ts";
import { type BatchListener, type StepResult, type Training, trainStep } from "../train/step.ts";
import type { Evaluator } from "./evaluator.ts";
import type { TrainEvent, TrainSummary, WorkListener } from "./train-events.ts";

/** What the steps work on. */
export interface LoopInput {
  run: OpenRun;
  config: RunConfig;
  data: PreparedData;
  training: Training;
  /** Null without held-out rows. */
  evaluator: Evaluator | null;
  environment: Environment;
  onWork: WorkListener;
}

/** How the steps ended. */
export interface LoopOutcome {
  state: TrainerState;
  reason: TrainSummary["reason"];
  /** What was wrong when the collapse watch ended it; empty when it did not. */
  breaches: string[];
  lastLog: MetricRow | null;
  lastEvaluation: MetricRow | null;
}

/** Runs the steps that are left. Between two steps the event loop turns once, so signals are heard. */
export async function* runSteps(
  input: LoopInput,
  signal: AbortSignal | null,
): AsyncGenerator<TrainEvent, LoopOutcome> {
  const loop = new Loop(input);
  try {
    yield* loop.begin();
    while (!loop.isDone) {
      await setImmediate();
      loop.announce();
      if (signal?.aborted === true) return yield* loop.stop("stopped");
      yield* loop.step();
      if (loop.hasCollapsed) return yield* loop.stop("collapsed");
      if (loop.hasStalled) return yield* loop.stop("early stop");
    }
    return yield* loop.stop("done");
  } catch (error) {
    ignoreErrors(() => loop.close());
    throw error;
  } finally {
    loop.close();
  }
}

/** State and actions of the steps; `runSteps` has their order. */
class Loop {
  readonly #input: LoopInput;
  readonly #plan: RunPlan;
  readonly #metrics: MetricsWriter;
  readonly #fracTruncated: number;
  #state: TrainerState;
  #logbook: Logbook;
  #savedAt = -1;
  #lastLog: MetricRow | null = null;
  #lastEvaluation: MetricRow | null = null;
  #breaches: string[] = [];

  constructor(input: LoopInput) {
    this.#input = input;
    this.#plan = new RunPlan(input.data.dataset.examples, input.config);
    this.#metrics = new MetricsWriter(input.run.paths.metrics);
    const { examples } = input.data.dataset;
    const cut = examples.filter(
      ({ trace }) => (trace?.answerTokensCut ?? 0) + (trace?.promptTokensCut ?? 0) > 0,
    );
    this.#fracTruncated = cut.length / examples.length;
    this.#state = {
      step: 0,
      numTokens: 0,
      skippedSteps: 0,
      skippedInRow: 0,
      history: emptyHistory(),
      window: { steps: 0, sums: {} },
      best: null,
      evaluationsWithoutGain: 0,
      dataFingerprint: input.data.dataset.fingerprint,
    };
    this.#logbook = new Logbook(this.#state);
  }

  get isDone(): boolean {
    return this.#state.step >= this.#plan.totalSteps;
  }

  get hasStalled(): boolean {
    const { early_stopping_patience } = this.#input.config;
    return early_stopping_patience !== null && this.#state.evaluationsWithoutGain >= early_stopping_patience;
  }

  /** True when the watch found a collapse and is to end the run for it. */
  get hasCollapsed(): boolean {
    return this.#breaches.length > 0;
  }

  /** Whether the best checkpoint is needed in the end. */
  get #keepsBest(): boolean {
    const { load_best_model_at_end, watch_action } = this.#input.config;
    return load_best_model_at_end || watch_action === "restore";
  }

  /** Goes to where the run left off, or measures where it starts from. */
  async *begin(): AsyncGenerator<TrainEvent> {
    const { config, run, training, data, environment } = this.#input;
    if (config.resume_from_checkpoint !== null) yield* this.#resume();
    const trainable = training.parameters.numel;
    const { step } = this.#state;
    const { totalSteps } = this.#plan;
    const rows = {
      trainRows: data.dataset.examples.length,
      evaluationRows: data.dataset.evalExamples?.length ?? 0,
    };
    yield { type: "start", step, totalSteps, trainable, ...rows, ...environment };
    run.log("start", { step, total_steps: totalSteps, trainable });
    // a run that was stopped before its first step has measured its start already
    if (config.eval_on_start && config.resume_from_checkpoint === null) yield* this.#evaluate(0);
    this.#logbook.restart();
  }

  async *#resume(): AsyncGenerator<TrainEvent> {
    const { run, training, data, evaluator } = this.#input;
    if (run.checkpoint === null) {
      cutRecords(run.paths.dir, {});
      evaluator?.startOver();
      yield { type: "note", text: "no checkpoint was written yet: the run begins again" };
      if (this.#input.config.eval_on_start) yield* this.#evaluate(0);
      return;
    }
    let { checkpoint } = run;
    this.#state = readCheckpointFiles(checkpoint.path, training, data.dataset.fingerprint);
    for (let best = yield* this.#lostBest(checkpoint); best !== null; best = yield* this.#lostBest(best)) {
      checkpoint = best;
      this.#state = readCheckpointFiles(best.path, training, data.dataset.fingerprint);
    }
    this.#logbook = new Logbook(this.#state);
    this.#savedAt = this.#state.step;
    const records = recordsOf(checkpoint);
    if (records !== null) cutRecords(run.paths.dir, records);
    else {
      this.#metrics.truncateAfterStep(checkpoint.step);
      evaluator?.truncateAfterStep(checkpoint.step);
    }
    yield { type: "note", text: `resumed from ${checkpoint.path}` };
    yield* this.#tellLostStart();
  }

  /**
   * Looks at the best checkpoint so far. When it is damaged, the earlier one from which the run makes it again; null when
   * all is well. A best that cannot be had again is forgotten: the best is sought anew.
   *
   * @param verified - the checkpoint at hand, whose files have just been read
   */
  *#lostBest(verified: Checkpoint): Generator<TrainEvent, Checkpoint | null> {
    const { best } = this.#state;
    if (!this.#keepsBest || best === null) return null;
    const { checkpoints } = this.#input.run.paths;
    const path = checkpointPath(checkpoints, best.step);
    const reason = path === verified.path ? null : faultOf(path);
    if (reason === null) return null;
    const { checkpoint } =
      reason === "missing" ? { checkpoint: null } : latestCheckpoint(checkpoints, best.step);
    if (checkpoint === null) this.#state.best = null;
    const text =
      checkpoint === null
        ? "the best from here on counts"
        : `going back to ${checkpoint.path}, to make it again`;
    yield {
      type: "note",
      text: `the checkpoint of step ${best.step}, the best so far, is ${reason}: ${text}`,
    };
    return checkpoint;
  }

  /** What evaluations are compared with may be lost in runs of earlier versions, whose checkpoints have no copy of it. */
  *#tellLostStart(): Generator<TrainEvent> {
    const { evaluator, run } = this.#input;
    if (evaluator === null || evaluator.hasStart || !readMetrics(run.paths.metrics).some(isEvalRow)) return;
    const text =
      "the log-probs of the first evaluation are lost (evaluation-start.json): changes since the start are measured from the next one";
    yield { type: "note", text };
  }

  /** One optimiser step and what is due after it. */
  async *step(): AsyncGenerator<TrainEvent> {
    const { training, config } = this.#input;
    const index = this.#state.step;
    const at = this.#plan.at(index);
    // every step has random numbers of its own: nothing of the generator needs saving
    manualSeed(this.#seed(index));
    const learningRate = this.#learningRate(index);
    const batches = this.#plan.batches(at.plan);
    const limits = this.#limits();
    const result = trainStep(training, batches, {
      learningRate,
      limits,
      seed: this.#seed(index),
      log_entropy: config.log_entropy,
      onBatch: this.#listener("step", index + 1),
    });
    this.#state.step = index + 1;
    this.#logbook.add(result);
    if (config.skip_step_sigma !== null) remember(this.#state.history, result);
    yield* this.#watch(result, index);
    yield this.#told(result);
    const last = this.isDone;
    if (last || due(index + 1, config.logging_steps)) yield this.#log(at.progress, learningRate);
    if (this.#isDue(config.eval_strategy, config.eval_steps, at.endsEpoch))
      yield* this.#evaluate(at.progress);
    if (this.hasCollapsed) return;
    // the best model can only be loaded at the end if it was saved, whatever the rhythm of the checkpoints
    const isBest = this.#keepsBest && this.#state.best?.step === this.#state.step;
    if (isBest || this.#isDue(config.save_strategy, config.save_steps, at.endsEpoch)) yield* this.#save();
  }

  #told({ loss, metrics, tokens }: StepResult): TrainEvent {
    const peakMemoryBytes = memoryInUse(this.#input.environment.device).peak;
    return { type: "step", step: this.#state.step, loss, metrics, tokens, peakMemoryBytes };
  }

  /** Tells who listens that the next step is about to begin: a signal until now was about the one before. */
  announce(): void {
    this.#listener("step", this.#state.step + 1)(0, 1, 0);
  }

  /** Passes the parts of a step or an evaluation on to who listens. */
  #listener(at: "step" | "evaluation", step: number): BatchListener {
    return (done, total, tokens) => this.#input.onWork({ at, step, done, total, tokens });
  }

  /** What the spike guard holds the next step against. */
  #limits(): StepLimits | null {
    const { skip_step_sigma } = this.#input.config;
    return skip_step_sigma === null ? null : limitsOf(this.#state.history, skip_step_sigma);
  }

  #seed(step: number): number {
    return deriveSeed(this.#input.config.seed, step);
  }

  #learningRate(step: number): number {
    return learningRateAt(step, this.#plan.totalSteps, this.#input.config);
  }

  #isDue(strategy: RunConfig["eval_strategy"], every: number | null, endsEpoch: boolean): boolean {
    if (strategy === "no") return false;
    if (strategy === "epoch") return endsEpoch || this.isDone;
    return this.isDone || due(this.#state.step, every ?? 0);
  }

  /** Counts a step that was skipped, names its rows, and gives up after too many in a row that were not finite. */
  *#watch(result: StepResult, index: number): Generator<TrainEvent> {
    const { config, run } = this.#input;
    const { skipped: reason } = result;
    this.#state.skippedInRow = reason === "not finite" ? this.#state.skippedInRow + 1 : 0;
    if (reason === null) return;
    this.#state.skippedSteps += 1;
    const rows = this.#culprits(index, reason);
    run.log("skipped", {
      step: index + 1,
      reason,
      loss: String(result.loss),
      grad_norm: String(result.gradNorm),
      rows,
    });
    yield { type: "skipped", step: index + 1, reason, rows };
    if (reason === "spike" || this.#state.skippedInRow < config.max_nonfinite_steps) return;
    throw new TrainingError(
      `${this.#state.skippedInRow} ${this.#state.skippedInRow === 1 ? "step" : "steps in a row"} had a loss or gradient that is not finite, the last at step ${index + 1} ` +
        `with ${rows.join(", ")}. No weight was changed by them. Look at these rows and take out what is wrong, or lower ` +
        "learning_rate, and start a new run; the checkpoints of this one are intact.",
    );
  }

  /** The rows to name for a step that was skipped: of a spike all. */
  #culprits(index: number, reason: SkipReason): string[] {
    const { training, data, config } = this.#input;
    const { examples } = data.dataset;
    const { plan } = this.#plan.at(index);
    if (reason === "spike") return rowsOf({ plan, examples });
    const how = { plan, examples, share_prompt: config.share_prompt, seed: this.#seed(index) };
    return culpritsOf(training, how);
  }

  #log(epoch: number, learningRate: number): TrainEvent {
    const { environment } = this.#input;
    const row = this.#logbook.row({
      step: this.#state.step,
      epoch,
      learningRate,
      fracTruncated: this.#fracTruncated,
      peakMemoryBytes: memoryInUse(environment.device).peak,
    });
    this.#metrics.write(row);
    this.#lastLog = row;
    return { type: "log", row };
  }

  async *#evaluate(epoch: number): AsyncGenerator<TrainEvent> {
    const { evaluator, run, config } = this.#input;
    if (evaluator === null) return;
    const { step } = this.#state;
    const { row, unsound, breaches } = await evaluator.evaluate(
      step,
      epoch,
      this.#listener("evaluation", step),
    );
    this.#metrics.write(row);
    this.#lastEvaluation = row;
    if (step > 0) evaluator.judge(row, this.#state, breaches.length > 0);
    this.#logbook.restart();
    yield { type: "evaluation", row };
    if (unsound.length > 0) {
      const text = `evaluation at step ${step}: log-probs that are not finite in ${fewOf(unsound)}`;
      yield { type: "note", text };
    }
    if (breaches.length === 0) return;
    const { watch_action: action } = config;
    run.log("collapse", { step, action, breaches });
    if (action !== "warn") this.#breaches = breaches;
    yield { type: "collapse", step, breaches, action };
  }

  async *#save(): AsyncGenerator<TrainEvent> {
    if (this.#savedAt === this.#state.step) return;
    const { run, training, data, config } = this.#input;
    this.#metrics.sync();
    const path = await writeCheckpoint(run.paths.checkpoints, this.#state.step, (dir) => {
      writeCheckpointFiles(dir, training, data.tokenizer, this.#state);
      saveRecords(run.paths.dir, dir);
    });
    this.#savedAt = this.#state.step;
    const best = this.#keepsBest ? (this.#state.best?.step ?? null) : null;
    pruneCheckpoints(run.paths.checkpoints, config.save_total_limit, best);
    this.#logbook.restart();
    yield { type: "checkpoint", step: this.#state.step, path };
  }

  /** Ends the steps; a run that is stopped or gave up keeps a checkpoint of where it stands. */
  async *stop(reason: TrainSummary["reason"]): AsyncGenerator<TrainEvent, LoopOutcome> {
    if (reason === "stopped" || (reason === "collapsed" && this.#input.config.watch_action === "stop")) {
      yield* this.#save();
    }
    return {
      state: this.#state,
      reason,
      breaches: this.#breaches,
      lastLog: this.#lastLog,
      lastEvaluation: this.#lastEvaluation,
    };
  }

  close(): void {
    this.#metrics.close();
  }
}

function due(step: number, every: number): boolean {
  return every > 0 && step % every === 0;
}
