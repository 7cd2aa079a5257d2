/** A run up to its first step, on the longest micro-batch it will have: whether it works, and in how much memory. Writes nothing. */
import { ConfigError } from "../base/errors.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { deriveSeed } from "../base/random.ts";
import { warn } from "../base/warn.ts";
import { isOnPolicy } from "../config/online-keys.ts";
import type { RunConfig } from "../config/run-config.ts";
import { describeOrigin } from "../data/example.ts";
import { packedTokens } from "../data/packing.ts";
import { assertPreflight, type PreflightReport } from "../data/preflight.ts";
import type { MicroBatch } from "../forward/batch.ts";
import { type Environment, settleEnvironment } from "../forward/environment.ts";
import type { Numerics } from "../forward/numerics.ts";
import { klOverOf, needsReference, type Objective } from "../methods/objective.ts";
import type { Decoder } from "../models/causal-lm.ts";
import { learningRateAt } from "../optim/schedule.ts";
import type { Plan } from "../planner/run-plan.ts";
import { refuseOtherContent, runPaths } from "../runs/run-directory.ts";
import { manualSeed, memoryInUse, setDeterministic } from "../torch/index.ts";
import type { ReferenceSource } from "../train/completion-logps.ts";
import { refuseGivenSums, unusedSumNotes } from "../train/given-sums.ts";
import { mismatchesOf, requireOtherAnswers } from "../train/mismatched.ts";
import { requireLanguageModel } from "../train/objective-head.ts";
import { type PreparedData, prepareData, taskOf } from "../train/prepare-data.ts";
import {
  givenReference,
  liveReference,
  modelReference,
  referenceFrom,
  referencePass,
} from "../train/reference.ts";
import { type StepResult, type Training, trainStep } from "../train/step.ts";
import { EpochSteps, microBatchOf, packingOf } from "../train/step-source.ts";
import { finalHalves } from "./final-scale.ts";
import { batchesWithKl } from "./kl-estimates.ts";
import { type LocalRun, localRun } from "./local-models.ts";
import { OnlineRun, runObjective } from "./online.ts";
import { plan } from "./plan.ts";
import { epochsLookedAt, largestRows } from "./plan-rows.ts";
import { openTraining, type RunModel } from "./run-model.ts";
import { refuseBlindBounds } from "./watch.ts";

/** The step of a dry run. */
export interface DryStep extends Pick<StepResult, "loss" | "gradNorm" | "tokens" | "seconds"> {
  /** `file:line` of its rows. */
  rows: string[];
  /** Whether completions were sampled for it: it is then the run's first step, and no longest one. */
  sampled: boolean;
  device: string;
  /** The most that was in use until its end: of the process on the CPU, of torch's allocator on a GPU. */
  peakMemoryBytes: number;
}

/** What a dry run finds, in this order. */
export type DryRunEvent =
  | { type: "preflight"; report: PreflightReport }
  | { type: "plan"; plan: Plan }
  /** No plan can be made, as of a GPU without figures. */
  | { type: "unplanned"; reason: string }
  | { type: "step"; step: DryStep };

/**
 * Reads and checks the rows of a run, plans it, and takes one step with its model: on the longest micro-batch that the rows will
 * make, or on the first completions that an on-policy run samples.
 *
 * @throws {ConfigError} if output_dir holds something else, or a judge would have to be asked
 * @throws {DataError} if rows have errors
 */
export async function* dryRun(
  given: RunConfig,
  onPhase: PhaseListener = () => {},
): AsyncGenerator<DryRunEvent> {
  refuseOtherContent(given.output_dir);
  if (given.judge !== null) {
    throw new ConfigError(
      "--dry-run writes nothing, and what a judge answers is paid for and has to be kept. Leave the judge out of it: " +
        "--judge null, with reward_funcs in its place.",
    );
  }
  const environment = settleEnvironment(given, null);
  setDeterministic(true);
  const objective = runObjective(given, undefined);
  const unsaved = { paths: runPaths(given.output_dir), saveSealed: () => {} };
  const local = await localRun(unsaved, given, onPhase);
  const task = taskOf(objective.over, isOnPolicy(given));
  const data = await prepareData({ ...local.config, task }, onPhase);
  yield { type: "preflight", report: data.dataset.report };
  assertPreflight(data.dataset.report);
  refuseGivenSums(objective, data.dataset);
  if (!isOnPolicy(given)) for (const text of unusedSumNotes(objective, data.dataset)) warn(text);
  finalHalves(given, data);
  refuseBlindBounds(given, data);
  yield await planned(given, data);
  yield { type: "step", step: await oneStep(local, environment, data, { objective, onPhase }) };
}

/** The plan, or why there is none: the step needs none. */
async function planned(given: RunConfig, data: PreparedData): Promise<DryRunEvent> {
  try {
    return { type: "plan", plan: await plan(given, { data }) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { type: "unplanned", reason: error.message };
  }
}

async function oneStep(
  { config: local, ...base }: LocalRun,
  environment: Environment,
  data: PreparedData,
  { objective, onPhase }: { objective: Objective; onPhase: PhaseListener },
): Promise<DryStep> {
  // completions are sampled by this process: another one would leave its files in the run's directory
  const config = { ...local, ...base, max_staleness: 0 };
  await using online = await OnlineRun.ofRun(config);
  online?.requireColumns(data.dataset);
  using memory = new DisposableStack();
  onPhase("model loaded", 0, 1);
  const {
    training: opened,
    trained,
    numerics,
  } = openTraining(config, environment, { data, objective, shared: null }, memory);
  onPhase("model loaded", 1, 1);
  const reference = online === null ? firstReference(config, data, { objective, trained, numerics }) : null;
  const training = { ...opened, reference };
  const { examples } = data.dataset;
  const source = online?.steps(training, environment, data, memory) ?? null;
  const batches =
    source === null
      ? longestWithKl(longestOf(data, { ...config, ...packingOf(objective) }), data, training)
      : ((await source.next(0, { onWork: onPhase }))?.batches ?? []);
  const learningRate = learningRateAt(0, source?.totalSteps ?? 1, config);
  const seed = deriveSeed(config.seed, 0);
  manualSeed(seed);
  onPhase("step", 0, batches.length);
  const result = trainStep(training, batches, {
    ...{ learningRate, seed, log_entropy: config.log_entropy },
    onBatch: (done, total) => onPhase("step", done, total),
  });
  const { loss, gradNorm, tokens, seconds } = result;
  const rows = [...new Set(batches.flatMap(({ indices }) => [...indices]))];
  return {
    ...{ loss, gradNorm, tokens, seconds, device: environment.device, sampled: source !== null },
    rows: rows.flatMap((index) =>
      examples[index] === undefined ? [] : [describeOrigin(examples[index].origin)],
    ),
    peakMemoryBytes: memoryInUse(environment.device).peak,
  };
}

/** The micro-batch with most tokens of the run's first epochs. */
function longestOf(
  { dataset: { examples } }: PreparedData,
  keys: RunConfig & ReturnType<typeof packingOf>,
): MicroBatch {
  const epochs = Math.min(keys.num_train_epochs, epochsLookedAt);
  const run = new EpochSteps(examples, { ...keys, num_train_epochs: epochs });
  const tokens = examples.map((example) => packedTokens(example, keys));
  return microBatchOf(examples, largestRows(run, tokens, epochsLookedAt * examples.length), keys);
}

/** The micro-batch as a step, with the KL estimate that its loss may compare with. */
function longestWithKl(
  batch: MicroBatch,
  { dataset: { examples, report } }: PreparedData,
  { model, numerics, objective, reference }: Training<Decoder>,
): readonly MicroBatch[] {
  if (klOverOf(objective) === null || reference === null) return [batch];
  requireOtherAnswers(examples.length);
  const [first = 0] = batch.indices;
  const other = batch.indices.length === 1 ? (first + 1) % examples.length : undefined;
  return batchesWithKl([batch], {
    ...{ examples, report, numerics, reference, group: null, batchSize: batch.indices.length },
    ...{ groups: [mismatchesOf(batch.indices, other)], model: requireLanguageModel(model, "a KL estimate") },
  });
}

/** The reference before the first update, computed as the step asks for it: that of the rows, or the model as it starts. */
function firstReference(
  { adapter_name_or_path }: RunConfig,
  { dataset: { examples } }: PreparedData,
  { objective, trained, numerics }: { objective: Objective; trained: RunModel; numerics: Numerics },
): ReferenceSource | null {
  if (!needsReference(objective)) return null;
  const pass = referencePass(objective, numerics);
  const given = givenReference(examples, pass);
  if (given !== null) return referenceFrom(given);
  const model = requireLanguageModel(trained.model, "a reference");
  const isNew = trained.adapter !== null && adapter_name_or_path === null;
  return isNew && trained.adapter !== null
    ? liveReference(model, trained.adapter, pass)
    : modelReference(model, pass);
}
