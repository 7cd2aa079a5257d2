/**
 * preftune as a library: the jobs of the command line as typed functions. What they are made of has doors of its own:
 * `preftune/data`, `preftune/methods`, `preftune/torch` and others, in `src/doors`.
 *
 * @example
 *   import { train } from "preftune";
 *   for await (const event of train({ model_name_or_path: "model", train_data: "pairs.jsonl", output_dir: "run" })) {
 *     if (event.type === "log") console.log(event.row.loss);
 *   }
 */
import "./base/node-version.ts";
import type { PhaseListener } from "./base/phase-listener.ts";
import type { DatasetSpec } from "./config/datasets.ts";
import { loadConfig } from "./config/load-config.ts";
import type { RewardSpec } from "./config/reward-specs.ts";
import type { CommonConfig } from "./config/run-config.ts";
import type { FinalScaleRule } from "./config/training-keys.ts";
import type { WatchThresholds } from "./config/watch-keys.ts";
import { readLaunch } from "./distributed/launch.ts";
import type { DefaultSettings, MethodName, SettingsOf } from "./methods/index.ts";
import { type TrainOptions, train as trainResolved } from "./recipes/train.ts";
import type { TrainEvent, TrainSummary } from "./runs/train-events.ts";

export {
  ConfigError,
  DataError,
  EndpointError,
  FileError,
  FormatError,
  PreftuneError,
  ShapeError,
  TorchError,
  TrainingError,
} from "./base/errors.ts";
export { type ArenaHardOptions, evaluateArenaHard } from "./evaluate/arena-hard/evaluate-arena-hard.ts";
export {
  type DiversityReport,
  type DiversitySource,
  evaluateDiversity,
  writeDiversity,
} from "./evaluate/diversity/evaluate-diversity.ts";
export type { JudgeReport } from "./evaluate/judge/judge.ts";
export type { PairReport } from "./evaluate/judge/pair-report.ts";
export { evaluateMtBench, type MtBenchOptions } from "./evaluate/mt-bench/evaluate-mt-bench.ts";
export type { RatingReport } from "./evaluate/mt-bench/rating-report.ts";
export { evaluatePairwise, type PairwiseOptions } from "./evaluate/pairwise/evaluate-pairwise.ts";
export type { CausalLM } from "./models/causal-lm.ts";
export { type LoadOptions, loadModel } from "./models/load.ts";
export { installAdapter } from "./models/load-adapter.ts";
export { type GenerateFileOptions, type GenerationProgress, generateFile } from "./recipes/generate.ts";
export { type JudgeLabelsOptions, judgeLabels } from "./recipes/judge-labels.ts";
export { type MergeOptions, merge } from "./recipes/merge.ts";
export { type ScoredRow, type ScoreOptions, type ScoreResult, score, writeScores } from "./recipes/score.ts";
export { type ScoredLabels, type ScoreLabelsOptions, scoreLabels } from "./recipes/score-labels.ts";
export { type RoundState, runRound } from "./rounds/round.ts";
export type { RoundOptions } from "./rounds/round-work.ts";
export type { MetricRow } from "./runs/metrics.ts";
export { openRun, type RunView } from "./runs/run-directory.ts";
export type { ParityResult } from "./runs/train-events.ts";
export { runSweep, type SweepOptions } from "./sweep/sweep.ts";
export { readSweep, type Sweep } from "./sweep/sweep-file.ts";
export type { PhaseListener, TrainEvent, TrainOptions, TrainSummary };

type DataSource = string | (Pick<DatasetSpec, "path"> & Partial<DatasetSpec>);

/** Sources of rows: a path (file, directory, glob, hub id) or several, each with split, weight and columns if need be. */
export type DataSources = DataSource | readonly DataSource[];

type RewardFunction = string | RewardSpec;

/** Reward functions, one or several: the name of one that is built in, FILE#EXPORT, or either as `function` beside its options. */
export type RewardFunctions = RewardFunction | readonly RewardFunction[];

/** Keys that take more in a YAML file than the value that they become. */
type LooseKey =
  | ("train_data" | "eval_data" | "reward_funcs" | "eval_reward_funcs")
  | ("judge_budget" | "watch_thresholds" | "final_scale_rule");

/** `objective` and the keys of its method, as far as they are given; the keys of another method are a type error. */
export type MethodConfig =
  | { [Name in MethodName]: { objective: Name } & Partial<SettingsOf<Name>> }[MethodName]
  | Partial<DefaultSettings>;

/** A run's configuration: the keys of its YAML file. What is left out has the same default as there. */
export type TrainConfig = Partial<Omit<CommonConfig, LooseKey>> &
  MethodConfig & {
    model_name_or_path: string;
    output_dir: string;
    train_data: DataSources;
    eval_data?: DataSources | null;
    reward_funcs?: RewardFunctions | null;
    eval_reward_funcs?: RewardFunctions | null;
    judge_budget?: Partial<CommonConfig["judge_budget"]>;
    watch_thresholds?: Partial<WatchThresholds>;
    final_scale_rule?: Partial<FinalScaleRule>;
  };

/** A training on this process: its events, and which of the run's ranks this is. */
export interface TrainRun extends AsyncGenerator<TrainEvent, TrainSummary> {
  /** From 0. Events come on rank 0 only; the summary on every rank. */
  readonly rank: number;
  /** Processes that a launcher has started as this run; 1 without one. */
  readonly ranks: number;
}

/**
 * Trains, event by event; the generator's return value is the summary. Under a launcher (torchrun, srun ...) every process calls it,
 * with the same configuration, and works as one rank of the run.
 *
 * @param options - `objective` replaces the configured one by your own; `signal` stops with a checkpoint
 * @throws {PreftuneError} with what is wrong and what to do; checkpoints written before stay
 */
export function train(config: TrainConfig, options: TrainOptions = {}): TrainRun {
  const resolved = loadConfig({ values: config });
  const { rank, size: ranks } = readLaunch() ?? { rank: 0, size: 1 };
  return Object.assign(trainResolved(resolved, options), { rank, ranks });
}
