/**
 * `preftune/sweep`: grids of training runs in one folder: conditions by seeds, resumed where they were cut off, measured on the
 * same held-out pairs, with bootstrap intervals, tables and a report. `runSweep` of `preftune` is built on it, and so are the
 * repository's studies.
 */
import "../base/node-version.ts";

export { makeDirectory, remove, writeFileAtomic } from "../base/files.ts";
export { stringifyNumbers } from "../base/json-numbers.ts";
export { deriveSeed, permutation, Random } from "../base/random.ts";
export { checkOverrides, readKey } from "../config/load-config.ts";
export { SAMPLED_THRESHOLDS } from "../config/watch-bounds.ts";
export { breachesOf } from "../evaluate/diversity/collapse.ts";
export { inCharts } from "../report/in-charts.ts";
export type { Chart, Series } from "../report/line-chart.ts";
export type { ScatterPoint } from "../report/scatter-chart.ts";
export { trainingSeconds } from "../report/training-time.ts";
export type { EvaluationRecord } from "../runs/evaluation-records.ts";
export type { MetricRow } from "../runs/metrics.ts";
export { runPaths } from "../runs/run-directory.ts";
export { quantile } from "../stats/bootstrap.ts";
export type { Estimate } from "../stats/crossed-bootstrap.ts";
export { meanInterval as studentInterval } from "../stats/mean-interval.ts";
export { studentQuantile } from "../stats/student.ts";
export { contentOf } from "../sweep/content.ts";
export {
  differenceInterval,
  half,
  meanInterval,
  type PairTable,
  plainMean,
  quantileInterval,
  spreadInterval,
} from "../sweep/estimates.ts";
export { type GridOptions, gridPaths, runGrid } from "../sweep/grid.ts";
export { countText, intervalText, numberText } from "../sweep/interval-text.ts";
export {
  type ConditionPair,
  comparisonsOf,
  exportedSamples,
  type MeasuredCondition,
  type MeasuredRun,
  readMeasured,
  twinsOf,
} from "../sweep/measured.ts";
export { type WrittenOutcome, writeOutcome } from "../sweep/outcome.ts";
export { ownKeyProblem } from "../sweep/own-keys.ts";
export type { Extras } from "../sweep/run-trial.ts";
export type { Condition, Measured, ReportSection, ResultRow } from "../sweep/section.ts";
export { promptsOf } from "../sweep/shared-pairs.ts";
export { StudyStoppedError } from "../sweep/stopped.ts";
export { drawValue, type SearchRange } from "../sweep/sweep-file.ts";
export type { ConfigValues, Trial, TrialOutcome } from "../sweep/trial.ts";
export {
  chosenChanges,
  estimate,
  estimateDifference,
  PAIR_METRICS,
  TRIAL_METRICS,
  type TrialMetricName,
  tableOf,
} from "../sweep/trial-metrics.ts";
export { checkTrials, lockFolder, trialsOf } from "../sweep/trials.ts";
export type { ProgressStream } from "../terminal/status-line.ts";
