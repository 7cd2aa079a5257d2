/** The results of a study's runs, read from their directories: held-out pairs, evaluations, sampled answers, by condition and seed. */

import { join } from "node:path";
import { at } from "../base/at.ts";
import { FormatError } from "../base/errors.ts";
import { readJsonFile } from "../base/files.ts";
import type { MethodSettings } from "../methods/index.ts";
import { type ExportedEvaluation, exportedEvaluation } from "../report/exported-evaluation.ts";
import { type ExportedOtherText, exportedOtherText } from "../report/exported-other-text.ts";
import type { EvaluationRecord } from "../runs/evaluation-records.ts";
import { readJsonLines } from "../runs/json-lines.ts";
import type { MetricRow } from "../runs/metrics.ts";
import { openRun } from "../runs/run-directory.ts";
import { onSharedPairs } from "./shared-pairs.ts";
import {
  extraName,
  type GridPaths,
  type HeldOutPair,
  heldOutName,
  pairName,
  type Trial,
  type TrialOutcome,
} from "./trial.ts";

/** A run that came to its end. */
export interface MeasuredRun extends ExportedEvaluation, ExportedOtherText {
  trial: Trial;
  /** What it was trained with, presets filled in. */
  settings: MethodSettings;
  before: readonly HeldOutPair[];
  after: readonly HeldOutPair[];
  metrics: readonly MetricRow[];
  evaluations: readonly EvaluationRecord[];
  /** What was measured beside, for trials that ask for it; else null. */
  extra: unknown;
}

/** The runs of one condition. */
export interface MeasuredCondition {
  name: string;
  /** Finished ones, by seed, with the held-out pairs that all of them have. */
  runs: readonly MeasuredRun[];
  /** How many held-out pairs only some of the runs have; none where left out. */
  unshared?: number;
  failed: readonly { seed: number; reason: string }[];
}

/**
 * What the grid measured, conditions in the order of the trials.
 *
 * @throws {FormatError} if a run was not measured on the pairs of its start
 */
export function readMeasured(
  paths: GridPaths,
  outcomes: readonly TrialOutcome[],
): Map<string, MeasuredCondition> {
  const conditions = new Map<string, { runs: MeasuredRun[]; failed: { seed: number; reason: string }[] }>();
  for (const { trial, reason } of outcomes) {
    const condition = conditions.get(trial.condition) ?? { runs: [], failed: [] };
    conditions.set(trial.condition, condition);
    if (reason === null) condition.runs.push(readRun(paths, trial));
    else condition.failed.push({ seed: trial.seed, reason });
  }
  return new Map([...conditions].map(([name, { runs, failed }]) => [name, conditionOf(name, runs, failed)]));
}

function conditionOf(
  name: string,
  measured: readonly MeasuredRun[],
  failed: MeasuredCondition["failed"],
): MeasuredCondition {
  const runs = onSharedPairs(measured);
  const all = new Set(measured.flatMap(({ after }) => after.map(pairName))).size;
  return { name, runs, failed, unshared: all - (runs[0]?.after.length ?? 0) };
}

/** A condition and the one it is compared with. */
export interface ConditionPair {
  condition: MeasuredCondition;
  base: MeasuredCondition;
}

/** Each of `conditions` that is compared with another. */
export function comparisonsOf(
  conditions: Iterable<MeasuredCondition>,
  measured: ReadonlyMap<string, MeasuredCondition>,
  referenceOf: (condition: string) => string | null,
): ConditionPair[] {
  return [...conditions].flatMap((condition) => {
    const base = measured.get(referenceOf(condition.name) ?? "");
    return base === undefined || base === condition ? [] : [{ condition, base }];
  });
}

/** The runs of `condition` and `base` of the same seed, side by side; a seed that only one of them has is left out. */
export function twinsOf({ condition, base }: ConditionPair): { run: MeasuredRun; twin: MeasuredRun }[] {
  return condition.runs.flatMap((run) => {
    const twin = base.runs.find(({ trial }) => trial.seed === run.trial.seed);
    return twin === undefined ? [] : [{ run, twin }];
  });
}

/** What the run's watch sampled of the model that the run exported; nothing where that was not measured. */
export function exportedSamples({ exported }: MeasuredRun): EvaluationRecord["samples"] {
  return exported?.samples ?? [];
}

function readRun(grid: GridPaths, trial: Trial): MeasuredRun {
  const run = openRun(grid.run(trial.id));
  const { paths, config, metrics, evaluations } = run;
  const before = readPairs(grid.before(trial));
  const after = readPairs(join(paths.dir, heldOutName));
  const isSame =
    before.length === after.length && before.every((pair, i) => pairName(pair) === pairName(at(after, i)));
  if (!isSame) {
    throw new FormatError(
      `${paths.dir}: expected the held-out pairs of ${grid.before(trial)}, got others. The data changed since: start over in another --output.`,
    );
  }
  return {
    trial,
    settings: config.method,
    before,
    after,
    metrics,
    evaluations,
    ...exportedEvaluation(run),
    ...exportedOtherText(run),
    extra: trial.extra === null ? null : readJsonFile(join(paths.dir, extraName(trial.extra))),
  };
}

function readPairs(path: string): HeldOutPair[] {
  return readJsonLines(path).map(({ value, line }) => {
    const { file, line: row, other, prompt, chosen, rejected } = (value ?? {}) as Partial<HeldOutPair>;
    const isPair = typeof file === "string" && typeof row === "number";
    if (isPair && isNumbers(chosen) && isNumbers(rejected)) {
      const known = {
        ...(other === undefined ? {} : { other }),
        ...(typeof prompt === "number" ? { prompt } : {}),
      };
      return { file, line: row, ...known, chosen, rejected };
    }
    throw new FormatError(
      `${path}:${line}: expected a scored pair, got another value. The file was changed or damaged.`,
    );
  });
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => typeof item === "number");
}
