/** The results of a study's runs, read from their directories: held-out pairs, evaluations, sampled answers, by condition and seed. */

import { join } from "node:path";
import { at } from "../base/at.ts";
import { FormatError } from "../base/errors.ts";
import { readJsonFile } from "../base/files.ts";
import type { MethodSettings } from "../methods/index.ts";
import type { EvaluationRecord } from "../runs/evaluation-records.ts";
import { readJsonLines } from "../runs/json-lines.ts";
import type { MetricRow } from "../runs/metrics.ts";
import { openRun } from "../runs/run-directory.ts";
import {
  type Cell,
  type CellOutcome,
  extraName,
  type GridPlaces,
  type HeldOutPair,
  heldOutName,
} from "./cell.ts";

/** A run that came to its end. */
export interface MeasuredRun {
  cell: Cell;
  /** What it was trained with, presets filled in. */
  settings: MethodSettings;
  before: readonly HeldOutPair[];
  after: readonly HeldOutPair[];
  metrics: readonly MetricRow[];
  evaluations: readonly EvaluationRecord[];
  /** What was measured beside, for cells that ask for it; else null. */
  extra: unknown;
}

/** The runs of one condition. */
export interface MeasuredCondition {
  name: string;
  /** Finished ones, by seed. */
  runs: readonly MeasuredRun[];
  failed: readonly { seed: number; reason: string }[];
}

/**
 * What the grid measured, conditions in the order of the cells.
 *
 * @throws {FormatError} if the runs were not measured on the same pairs
 */
export function readMeasured(
  places: GridPlaces,
  outcomes: readonly CellOutcome[],
): Map<string, MeasuredCondition> {
  const conditions = new Map<string, { runs: MeasuredRun[]; failed: { seed: number; reason: string }[] }>();
  for (const { cell, reason } of outcomes) {
    const condition = conditions.get(cell.condition) ?? { runs: [], failed: [] };
    conditions.set(cell.condition, condition);
    if (reason === null) condition.runs.push(readRun(places, cell));
    else condition.failed.push({ seed: cell.seed, reason });
  }
  return new Map([...conditions].map(([name, condition]) => [name, { name, ...condition }]));
}

/** A condition and the one it is compared with. */
export interface Comparison {
  one: MeasuredCondition;
  base: MeasuredCondition;
}

/** Each of `conditions` that is compared with another. */
export function comparisonsOf(
  conditions: Iterable<MeasuredCondition>,
  measured: ReadonlyMap<string, MeasuredCondition>,
  referenceOf: (condition: string) => string | null,
): Comparison[] {
  return [...conditions].flatMap((one) => {
    const base = measured.get(referenceOf(one.name) ?? "");
    return base === undefined || base === one ? [] : [{ one, base }];
  });
}

/** The runs of `one` and `base` of the same seed, side by side; a seed that only one of them has is left out. */
export function twinsOf({ one, base }: Comparison): { run: MeasuredRun; twin: MeasuredRun }[] {
  return one.runs.flatMap((run) => {
    const twin = base.runs.find(({ cell }) => cell.seed === run.cell.seed);
    return twin === undefined ? [] : [{ run, twin }];
  });
}

/** What the run's watch sampled at its last evaluation that sampled anything. */
export function lastSamples({ evaluations }: MeasuredRun): EvaluationRecord["samples"] {
  return evaluations.findLast((record) => record.samples.length > 0)?.samples ?? [];
}

function readRun(places: GridPlaces, cell: Cell): MeasuredRun {
  const { paths, config, metrics, evaluations } = openRun(places.run(cell.id));
  const before = readPairs(places.before(cell));
  const after = readPairs(join(paths.dir, heldOutName));
  const name = ({ file, line }: HeldOutPair): string => `${file}:${line}`;
  const isSame =
    before.length === after.length && before.every((pair, i) => name(pair) === name(at(after, i)));
  if (!isSame) {
    throw new FormatError(
      `${paths.dir}: expected the held-out pairs of ${places.before(cell)}, got others. The data changed since: start anew in another --output.`,
    );
  }
  return {
    cell,
    settings: config.method,
    before,
    after,
    metrics,
    evaluations,
    extra: cell.extra === null ? null : readJsonFile(join(paths.dir, extraName(cell.extra))),
  };
}

function readPairs(path: string): HeldOutPair[] {
  return readJsonLines(path).map(({ value, line }) => {
    const { file, line: row, chosen, rejected } = (value ?? {}) as Partial<HeldOutPair>;
    const isPair = typeof file === "string" && typeof row === "number";
    if (isPair && isNumbers(chosen) && isNumbers(rejected)) return { file, line: row, chosen, rejected };
    throw new FormatError(
      `${path}:${line}: expected a scored pair, got another value. The file was changed or damaged.`,
    );
  });
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((one) => typeof one === "number");
}
