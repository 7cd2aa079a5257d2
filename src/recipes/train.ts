/** A training run from configuration to exported model: data, model, reference, the steps, the export. */
import { at } from "../base/at.ts";
import { ignoreErrors } from "../base/file-io.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import type { ResolvedConfig } from "../config/load-config.ts";
import { isOnPolicy } from "../config/online-keys.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { Example } from "../data/example.ts";
import { firstsFirst } from "../distributed/once-per-host.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import { agreeOnDirectory } from "../distributed/shared-directory.ts";
import { stopTogether, toldToAll } from "../distributed/together.ts";
import { targetNotes } from "../formats/listed-targets.ts";
import { type Environment, settleEnvironment } from "../forward/environment.ts";
import type { Objective } from "../methods/objective.ts";
import { writeReport } from "../report/run-report.ts";
import type { Checkpoint } from "../runs/checkpoints.ts";
import { dataFilesOf } from "../runs/data-files.ts";
import { isEvalRow, readMetrics } from "../runs/metrics.ts";
import { Recorder } from "../runs/recorder.ts";
import { createRun } from "../runs/run-directory.ts";
import { resumeRun } from "../runs/run-resume.ts";
import type { TrainEvent, TrainSummary, WorkListener } from "../runs/train-events.ts";
import { setDeterministic } from "../torch/index.ts";
import { trackingOf } from "../trackers/tracking.ts";
import { newState, type TrainerState } from "../train/checkpoint.ts";
import { floorOf } from "../train/chosen-floor.ts";
import { evaluate } from "../train/evaluate.ts";
import { exportNotes, exportRun } from "../train/export-run.ts";
import { refuseGivenSums, unusedSumNotes } from "../train/given-sums.ts";
import type { HeadedModel } from "../train/logp-difference.ts";
import { type PreparedData, taskOf } from "../train/prepare-data.ts";
import { RunCheckpoints } from "../train/run-checkpoints.ts";
import { prepareOnRanks, requireRows } from "../train/shared-rows.ts";
import type { Training } from "../train/step.ts";
import {
  EpochSteps,
  evaluationBatches,
  type PlanKeys,
  packingOf,
  type StepSource,
} from "../train/step-source.ts";
import { type Evaluator, evaluatorOf, type Measure } from "./evaluator.ts";
import { exportPart, finalHalves } from "./final-scale.ts";
import { changesSince, fingerprintsOf, resumedMatmul, templateDate } from "./identity.ts";
import { estimatedBatches, type KlEstimates, klEstimates, stepsOnRows } from "./kl-estimates.ts";
import { localRun } from "./local-models.ts";
import { OnlineRun, runObjective } from "./online.ts";
import { otherTextMeasure, otherTextOf } from "./other-text.ts";
import {
  agreeOnEnvironment,
  agreeOnInputs,
  agreeOnPrompts,
  matmulOfRanks,
  notedBy,
  openRanks,
  type Ranks,
} from "./ranks.ts";
import { type References, referenceNotes, referencesOf } from "./references.ts";
import { openTraining, type SharedWork, sharedWork } from "./run-model.ts";
import { FollowedRun, type RunHandle, refuseOnRanks } from "./run-ranks.ts";
import { runSteps, sourceNotes } from "./run-steps.ts";
import { refuseBlindBounds, watchedPrompts, watchOf, watchSize } from "./watch.ts";

/** Options of `train` besides the configuration. */
export interface TrainOptions {
  /** Ends the run after the step at hand with a checkpoint. */
  signal?: AbortSignal;
  /** Ends the run after this step and what is due after it, with a checkpoint. */
  stopAfter?: number;
  /** Used in place of the configuration's objective. */
  objective?: Objective;
  /** Called with how far phases before the first step are. */
  onPhase?: PhaseListener;
  /** Called with what the run is at, from inside long steps and evaluations. */
  onWork?: WorkListener;
  /**
   * On several ranks: whether the process ends, with a line on standard error, when another rank is lost while this one is in
   * a kernel or a write. For programs that do nothing else; elsewhere the run throws, once it can.
   */
  endsProcess?: boolean;
}

/**
 * Trains as `resolved` says and yields what happens. The run directory holds everything that came of it.
 *
 * @throws {PreftuneError} with what is wrong and what to do; checkpoints written before stay
 */
export async function* train(
  given: ResolvedConfig,
  options: TrainOptions = {},
): AsyncGenerator<TrainEvent, TrainSummary> {
  const { group, resolved, machine, job } = await openRanks(given, options);
  using _ = group;
  const noted = notedBy(group, options);
  try {
    if (group !== null) refuseOnRanks(resolved.config, group.size);
    if (group !== null && group.rank > 0) return await follow(group, resolved, { ...noted, machine });
    return yield* lead(group, resolved, { ...noted, machine, job });
  } catch (error) {
    throw toldToAll(group, error);
  }
}

/** The run on the rank that writes its directory. */
async function* lead(
  group: RankGroup | null,
  given: ResolvedConfig,
  { machine, job, ...options }: TrainOptions & Pick<Ranks, "machine" | "job">,
): AsyncGenerator<TrainEvent, TrainSummary> {
  const resumes = given.config.resume_from_checkpoint !== null;
  const track = trackingOf(given.config);
  const run = (resumes ? resumeRun : createRun)(given, { ranks: group?.size ?? 1, job });
  const { resolved, checkpoint } = run;
  const recorder = new Recorder(run, resolved, { writeReport, track });
  try {
    group?.gather<Begun>({ config: resolved.config, checkpoint });
    const own = { ...resolved, config: { ...resolved.config, ...machine } };
    return yield* recorder.recorded(trainRun(run, recorder, own, { ...options, group }));
  } catch (error) {
    ignoreErrors(() => run.release());
    throw error;
  } finally {
    run.release();
  }
}

/** What rank 0 has settled when it has opened the run. */
interface Begun {
  config: RunConfig;
  checkpoint: Checkpoint | null;
}

/** The run on another rank, which reports nothing but its end. */
async function follow(
  group: RankGroup,
  resolved: ResolvedConfig,
  { machine, ...options }: TrainOptions & Pick<Ranks, "machine">,
): Promise<TrainSummary> {
  const first = at(group.gather<Begun>({ config: resolved.config, checkpoint: null }), 0);
  const config = { ...first.config, ...machine };
  const run = new FollowedRun(config.output_dir, first.checkpoint);
  const events = trainRun(run, null, { ...resolved, config }, { ...options, group });
  for (;;) {
    const { done, value } = await events.next();
    if (done === true) return value;
  }
}

/** The run: everything before its first step, the steps, its export. Another rank than the first has no recorder. */
async function* trainRun(
  run: RunHandle,
  recorder: Recorder | null,
  resolved: ResolvedConfig,
  { group, ...options }: TrainOptions & { group: RankGroup | null },
): AsyncGenerator<TrainEvent, TrainSummary> {
  const { onPhase = () => {}, onWork = () => {} } = options;
  await agreeOnDirectory(group, run.paths.dir);
  yield* noted([...resolved.warnings, ...run.notes]);

  // where it computes, what it optimises, which files it starts from
  const matmul = matmulOfRanks(group, resumedMatmul(run, resolved.config));
  const environment = settleEnvironment(resolved.config, matmul);
  agreeOnEnvironment(group, environment);
  setDeterministic(true);
  const objective = runObjective(resolved.config, options.objective);
  await stopTogether(group, options.signal);
  const { config, ...base } = await firstsFirst(group, () => localRun(run, resolved.config, onPhase));
  await using online = await OnlineRun.ofRun({ ...config, ...base }, options.signal);

  // the rows
  const task = taskOf(objective.over, isOnPolicy(resolved.config));
  const now = templateDate(group, run);
  const data = await prepareOnRanks(group, { ...config, task, now }, onPhase);
  const { examples, evalExamples, report, fingerprint } = data.dataset;
  yield { type: "preflight", report };
  requireRows(group, report);
  online?.requireColumns(data.dataset);
  refuseGivenSums(objective, data.dataset);
  const halves = finalHalves(config, data);
  refuseBlindBounds(config, data);
  const files = { data: await dataFilesOf(config), rewards: online?.files ?? null };
  const fingerprints = fingerprintsOf({ ...config, ...base }, data, environment, files);
  agreeOnInputs(group, fingerprints);
  const changed = changesSince(run, config, fingerprints);
  const notes = settingNotes(config, data, { ...environment, objective });
  yield* noted([...changed.map((change) => `changed since the run began: ${change}`), ...notes]);
  await stopTogether(group, options.signal);
  const prompts = await watchedPrompts(config, data);
  agreeOnPrompts(group, prompts);
  const otherText = await otherTextOf({ ...config, now }, data, group, onPhase);
  yield* noted(otherText?.warnings ?? []);
  yield { type: "inputs", fingerprints };

  // the model, what of it is trained and by what, and what it is compared with
  using memory = new DisposableStack();
  const keys = { ...config, ...packingOf(objective) };
  const sampled = watchSize(prompts, config, group?.size ?? 1);
  const shared = yield* sharedWork(group, keys, environment, { data, sampled });
  const epochs = epochsOf(online, shared, examples, keys);
  group?.note("loading the model");
  const opened = openTraining({ ...config, ...base }, environment, { data, objective, shared }, memory);
  const { trained, numerics } = opened;
  const compared = {
    config,
    objective,
    trained,
    numerics,
    fingerprints,
    runDir: run.paths.dir,
    onPhase,
    group,
  };
  const references = referencesOf(compared, data.dataset);
  const kl = klEstimates(compared, data.dataset, epochs);
  const training = { ...opened.training, reference: references.train };
  const watch =
    prompts === null ? null : watchOf(config, training, data, { prompts, way: shared?.layout.sampling?.way });
  const measure =
    online?.measure(training, environment, data) ??
    measureRows(training, { ...references, kl }, data, config);
  const held = { examples: evalExamples ?? [], tokenizer: data.tokenizer };
  const other = otherTextMeasure(otherText, training, config);
  const evaluator = evaluatorOf(measure, held, config, { watch, other });

  // where it begins: before the first step, or at a checkpoint
  const source =
    online?.steps(training, environment, data, memory) ?? stepsOnRows(epochs, kl, floorOf(config.method));
  const checkpoints = new RunCheckpoints(run.paths.checkpoints, config, training, { data, source });
  const resumes = config.resume_from_checkpoint !== null;
  const earlier = resumes ? yield* resumed(run, recorder, checkpoints, evaluator) : null;
  const state = earlier ?? newState(fingerprint);
  const steps = { step: state.step, totalSteps: source.totalSteps };
  const rows = { trainRows: examples.length, evaluationRows: evalExamples?.length ?? 0 };
  yield { type: "start", ...steps, trainable: training.parameters.numel, ...rows, ...environment };

  await stopTogether(group, options.signal);

  // the steps, from the first evaluation to whatever ends them
  const beside = { config, evaluator, checkpoints, recorder, ...options };
  const { reason, breaches, ...last } = yield* runSteps(state, training, source, beside);
  recorder?.close();
  yield* sourceNotes(source);

  // the export; what has collapsed is not exported: a checkpoint from before it is, or nothing
  const { best, step } = state;
  const hasCollapsed = reason === "collapsed";
  const restored = hasCollapsed && config.watch_action === "restore" ? (best?.step ?? null) : null;
  const exported: string[] = [];
  if (reason !== "stopped") onWork({ at: "export", step, done: 0, total: 1, tokens: 0 });
  if (reason !== "stopped" && (!hasCollapsed || restored !== null)) {
    const wantsBest = hasCollapsed || config.load_best_model_at_end;
    const isOther = wantsBest && best !== null && best.step !== step;
    if (isOther) checkpoints.restore(best.step);
    const work = { config, data, environment, other: otherText, halves, step, onWork, group };
    const whole = exportsOf(source, exportRun(run.paths, config, data, training));
    const part = exportPart({ ...work, paths: run.paths, free: () => memory.dispose() }, whole);
    // on ranks one may fail alone, and a checkpoint needs them all
    const isSavable = () => group === null && !isOther && !memory.disposed;
    const keep = () => (isSavable() ? checkpoints.save(state, recorder) : noted([]));
    yield* keptIfRefused(noting(exported, part), keep);
  }
  const collapse = hasCollapsed ? { step, breaches, restored } : null;
  const { skippedSteps } = state;
  const { dir: outputDir, report: reportPath } = run.paths;
  const how = { outputDir, step, reason, collapse, skippedSteps, best };
  const summary: TrainSummary = { ...how, ...last, exported, report: reportPath };
  yield { type: "end", summary };
  return summary;
}

/** What the user should know of how the run is set up. */
function settingNotes(
  config: RunConfig,
  { modelConfig, dataset }: PreparedData,
  { dtype, objective }: Environment & { objective: Objective },
): string[] {
  return [
    ...(isOnPolicy(config) ? [] : unusedSumNotes(objective, dataset)),
    ...targetNotes(modelConfig, config),
    ...exportNotes(config, modelConfig),
    ...referenceNotes(config, dtype),
  ];
}

/** The steps on rows; null where the model samples what it is trained on. */
function epochsOf(
  online: OnlineRun | null,
  shared: SharedWork | null,
  examples: readonly Example[],
  keys: PlanKeys,
): EpochSteps | null {
  if (online !== null) return null;
  return shared?.source ?? new EpochSteps(examples, keys);
}

function* noted(texts: readonly string[]): Generator<TrainEvent, void> {
  for (const text of texts) yield { type: "note", text };
}

/** `events`, the paths of what they export put into `exported`. */
async function* noting(exported: string[], events: AsyncGenerator<TrainEvent>): AsyncGenerator<TrainEvent> {
  for await (const event of events) {
    if (event.type === "export") exported.push(event.result.path);
    yield event;
  }
}

/** The events of an export. If it fails, `keep` writes a checkpoint, from which `--resume` exports again: save_strategy: no wrote none. */
async function* keptIfRefused(
  events: AsyncGenerator<TrainEvent>,
  keep: () => AsyncIterable<TrainEvent> | Iterable<TrainEvent>,
): AsyncGenerator<TrainEvent> {
  try {
    yield* events;
  } catch (error) {
    try {
      yield* keep();
    } catch {
      // on a full disk a checkpoint has no room either: the first error counts
    }
    throw error;
  }
}

/** What is exported: the run's model, and what its source trained besides. */
async function* exportsOf(
  source: StepSource,
  model: ReturnType<typeof exportRun>,
): ReturnType<typeof exportRun> {
  yield* model;
  if (source.export !== undefined) yield* source.export();
}

/** Measures the objective on the held-out rows. */
function measureRows(
  training: Training<HeadedModel>,
  { evaluation: reference, kl }: References & { kl: KlEstimates | null },
  { dataset }: PreparedData,
  config: RunConfig,
): Measure {
  const group = training.ranks?.group ?? null;
  const examples = dataset.evalExamples ?? [];
  const batches = evaluationBatches(examples, { ...config, ...packingOf(training.objective) });
  const now = estimatedBatches(batches, examples.length, kl, config);
  return (_step, { onBatch }) => evaluate({ ...training, reference, group }, now(), examples, onBatch);
}

/** The state that a resumed run continues from, its records cut back to it; null when it begins again. */
async function* resumed(
  run: RunHandle,
  recorder: Recorder | null,
  checkpoints: RunCheckpoints,
  evaluator: Evaluator | null,
): AsyncGenerator<TrainEvent, TrainerState | null> {
  if (run.checkpoint === null) {
    recorder?.cutTo(null);
    yield { type: "note", text: "no checkpoint was written yet: the run begins again" };
    return null;
  }
  const { state, checkpoint } = yield* checkpoints.resume(run.checkpoint);
  yield* noted(recorder?.cutTo(checkpoint) ?? []);
  yield { type: "note", text: `resumed from ${checkpoint.path}` };
  // runs of earlier versions may have lost their baseline: their checkpoints hold no copy of it
  const hasLostBaseline = evaluator?.resume(run.paths.evaluationStart) === false;
  if (hasLostBaseline && readMetrics(run.paths.metrics).some(isEvalRow)) {
    const text =
      "the log-probs of the first evaluation are lost (evaluation-start.json): changes since the start are measured from the next one";
    yield { type: "note", text };
  }
  return state;
}
