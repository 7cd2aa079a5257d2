/**
 * A training run from configuration to exported model: data, model, reference, the steps, the export with its parity
 * gate. `train-loop.ts` has the steps.
 */

import { ConfigError, messageOf } from "../base/errors.ts";
import { ignoreErrors } from "../base/file-io.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import type { ResolvedConfig } from "../config/load-config.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { Dataset } from "../data/dataset.ts";
import { assertPreflight } from "../data/preflight.ts";
import { type Environment, settleEnvironment } from "../forward/environment.ts";
import type { Numerics } from "../forward/numerics.ts";
import { objectiveOf } from "../methods/losses.ts";
import type { Objective } from "../methods/objective.ts";
import { AdamW } from "../optim/adamw.ts";
import { writeReport } from "../report/run-report.ts";
import { createRun, type Fingerprints, type OpenRun } from "../runs/run-directory.ts";
import { resumeRun } from "../runs/run-resume.ts";
import { seeded, setDeterministic } from "../torch/index.ts";
import { refuseMaskedTokens } from "../train/masked-tokens.ts";
import { type PreparedData, prepareData, taskOf } from "../train/prepare-data.ts";
import { prepareModel, type TrainedModel } from "../train/prepare-model.ts";
import type { Training } from "../train/step.ts";
import { Evaluator } from "./evaluator.ts";
import { finishRun, restoreBest } from "./finish.ts";
import { resumedMatmul, runFingerprints, templateDate } from "./identity.ts";
import { localRun } from "./local-models.ts";
import { type References, referencesOf } from "./references.ts";
import type { TrainEvent, TrainSummary, WorkListener } from "./train-events.ts";
import { type LoopOutcome, runSteps } from "./train-loop.ts";
import { type CollapseWatch, type WatchedPrompt, watchedPrompts, watchOf } from "./watch.ts";

/** Options of `train` besides the configuration. */
export interface TrainOptions {
  /** Ends the run after the step at hand with a checkpoint. */
  signal?: AbortSignal;
  /** Used in place of the configuration's objective. */
  objective?: Objective;
  /** Told how long phases before the first step go on. */
  onPhase?: PhaseListener;
  /** Told what the run is at, from inside long steps and evaluations. */
  onWork?: WorkListener;
}

/**
 * Trains as `resolved` says and tells what happens. The run directory holds everything that came of it.
 *
 * @throws {PreftuneError} with what is wrong and what to do; checkpoints written before stay
 */
export async function* train(
  resolved: ResolvedConfig,
  options: TrainOptions = {},
): AsyncGenerator<TrainEvent, TrainSummary> {
  const resumes = resolved.config.resume_from_checkpoint !== null;
  const run = resumes ? resumeRun(resolved) : createRun(resolved);
  try {
    for (const text of [...resolved.warnings, ...run.notes]) yield { type: "note", text };
    return yield* trainIn(run, resolved, options);
  } catch (error) {
    // on a full disk the log fails too; the first error is the one to tell
    ignoreErrors(() => run.log("failed", { message: messageOf(error) }));
    ignoreErrors(() => run.release());
    throw error;
  } finally {
    run.release();
  }
}

async function* trainIn(
  run: OpenRun,
  resolved: ResolvedConfig,
  options: TrainOptions,
): AsyncGenerator<TrainEvent, TrainSummary> {
  const environment = settleEnvironment(resolved.config, resumedMatmul(run, resolved.config));
  setDeterministic(true);
  const objective = options.objective ?? objectiveOf(resolved.config.method);
  const onPhase = options.onPhase ?? (() => {});
  const { config, baseModel } = await localRun(run, resolved.config, onPhase);

  const task = taskOf(objective.over);
  const data = await prepareData({ ...config, task, now: templateDate(run) }, onPhase);
  const { dataset } = data;
  yield { type: "preflight", report: dataset.report };
  // a resumed run keeps the report it began with until its rows are known to be the same
  if (config.resume_from_checkpoint === null) run.saveJson(run.paths.preflight, dataset.report);
  assertPreflight(dataset.report);
  const { fingerprints, changes } = runFingerprints(run, config, { data, environment });
  for (const text of changes) yield { type: "note", text: `changed since the run began: ${text}` };
  const watched = await watchedPrompts(config, data);
  if (config.resume_from_checkpoint !== null) run.saveJson(run.paths.preflight, dataset.report);
  run.saveConfig(resolved);

  const trained = seeded(config.seed, () => prepareModel({ ...config, baseModel }, environment));
  try {
    return yield* trainPrepared(
      { run, resolved, config, environment, objective, data, watched, trained, fingerprints },
      options,
    );
  } finally {
    trained.dispose();
  }
}

/** What the steps need, once data and model are there. */
interface Prepared {
  run: OpenRun;
  resolved: ResolvedConfig;
  config: RunConfig;
  environment: Environment;
  objective: Objective;
  data: PreparedData;
  watched: readonly WatchedPrompt[] | null;
  trained: TrainedModel;
  fingerprints: Fingerprints;
}

/**
 * How the model is run.
 *
 * @throws {ConfigError} if activations are to leave a CPU's memory for a CPU's memory
 */
function numericsOf(config: RunConfig, { dtype, device }: Environment): Numerics {
  if (config.activation_offloading && device === "cpu") {
    throw new ConfigError(
      "activation_offloading: the model runs on the CPU, where activations are in the computer's memory already. Leave it out.",
    );
  }
  return {
    dtype,
    gradient_checkpointing: config.gradient_checkpointing,
    gradient_checkpointing_blocks: config.gradient_checkpointing_blocks,
    activation_offloading: config.activation_offloading,
    logits_chunk_size: config.logits_chunk_size,
    logits_kept_mib: config.logits_kept_mib,
  };
}

async function* trainPrepared(
  prepared: Prepared,
  options: TrainOptions,
): AsyncGenerator<TrainEvent, TrainSummary> {
  const { run, resolved, config, environment, objective, data, watched, trained, fingerprints } = prepared;
  const { dataset } = data;
  refuseMaskedTokens(trained.model, [dataset.examples, dataset.evalExamples ?? []], environment.dtype);
  const onPhase = options.onPhase ?? (() => {});
  const numerics = numericsOf(config, environment);
  const references = referencesOf(
    { config, objective, trained, numerics, fingerprints, runDir: run.paths.dir, onPhase },
    dataset,
  );
  const optimizer = new AdamW(trained.parameters, config);
  const training: Training = {
    ...trained,
    objective,
    optimizer,
    numerics,
    max_grad_norm: config.max_grad_norm,
    optimizer_in_backward: config.optimizer_in_backward,
    reference: references.train,
  };
  const watch = watched === null ? null : watchOf(config, { data, training, prompts: watched });
  const evaluator = evaluatorOf(training, dataset, { references, run, resolved, watch });
  try {
    const outcome = yield* runSteps(
      { run, config, data, training, evaluator, environment, onWork: options.onWork ?? (() => {}) },
      options.signal ?? null,
    );
    if (outcome.reason !== "stopped")
      options.onWork?.({ at: "export", step: outcome.state.step, done: 0, total: 1, tokens: 0 });
    return yield* finish({ run, config, data, training, outcome });
  } finally {
    for (const [, state] of optimizer.stateTensors()) state.dispose();
  }
}

function evaluatorOf(
  training: Training,
  { evalExamples }: Dataset,
  { references, run, resolved, watch }: EvaluatorParts,
): Evaluator | null {
  if (evalExamples === null || evalExamples.length === 0) return null;
  const evaluated = { ...training, reference: references.evaluation };
  const { config } = resolved;
  return new Evaluator({ training: evaluated, examples: evalExamples, config, paths: run.paths, watch });
}

interface EvaluatorParts {
  references: References;
  run: OpenRun;
  resolved: ResolvedConfig;
  watch: CollapseWatch | null;
}

interface Finished {
  run: OpenRun;
  config: RunConfig;
  data: PreparedData;
  training: Training;
  outcome: LoopOutcome;
}

async function* finish({
  run,
  config,
  data,
  training,
  outcome,
}: Finished): AsyncGenerator<TrainEvent, TrainSummary> {
  const { best, step } = outcome.state;
  const exported: string[] = [];
  const hasCollapsed = outcome.reason === "collapsed";
  const restored = hasCollapsed && config.watch_action === "restore" ? (best?.step ?? null) : null;
  // what has collapsed is not exported: a checkpoint from before it is, or nothing
  if (outcome.reason !== "stopped" && (!hasCollapsed || restored !== null)) {
    const end = { run, config, data, training };
    const wantsBest = hasCollapsed || config.load_best_model_at_end;
    if (wantsBest && best !== null && best.step !== step) restoreBest(end, best.step);
    for (const result of await finishRun(end)) {
      exported.push(result.path);
      yield { type: "export", result };
    }
  }
  const collapse = hasCollapsed ? { step, breaches: outcome.breaches, restored } : null;
  run.log(outcome.reason, { step, exported, ...(hasCollapsed ? { restored } : {}) });
  const summary: TrainSummary = {
    outputDir: run.paths.dir,
    step,
    reason: outcome.reason,
    collapse,
    skippedSteps: outcome.state.skippedSteps,
    best,
    lastLog: outcome.lastLog,
    lastEvaluation: outcome.lastEvaluation,
    exported,
    report: writeReport(run.paths.dir),
  };
  yield { type: "end", summary };
  return summary;
}
