/** `preftune replay`: steps of a run computed again from a checkpoint before them, and compared with what the run wrote down. */
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { copyTree } from "../base/copy-files.ts";
import { ConfigError } from "../base/errors.ts";
import { fileWork, ignoreErrors, io, makeDirectories, uniqueTag } from "../base/file-io.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import { loadConfig } from "../config/load-config.ts";
import { checkpointPath, listCheckpoints } from "../runs/checkpoints.ts";
import { isMeasurement, type MetricRow, readMetrics } from "../runs/metrics.ts";
import { rolloutsIn } from "../runs/rollouts.ts";
import { type RunPaths, runPaths } from "../runs/run-directory.ts";
import { readRunJson } from "../runs/run-json.ts";
import type { RolloutRow } from "../runs/train-events.ts";
import { train } from "./train.ts";

/** What is computed again. */
export interface ReplayOptions {
  /** The run's directory. */
  run: string;
  /** The last step to compute, from 1. */
  step: number;
  signal?: AbortSignal;
}

/** The result. */
export interface Replay {
  /** The checkpoint that it began with; 0: none, the run's beginning. */
  from: number;
  /** Rows of metrics, and sampled completions, that were compared. */
  rows: number;
  completions: number;
  /** What differs first, a sentence; null: all of it is the same to the bit. */
  difference: string | null;
}

/**
 * Trains again, in a temporary directory, from the last checkpoint before `step` up to it.
 *
 * @throws {ConfigError} if the run did not get to `step`, or has no row of metrics to compare with
 */
export async function replay({ run, step, signal }: ReplayOptions): Promise<Replay> {
  const paths = runPaths(run);
  const { config } = readRunJson(paths.runJson);
  const rows = readMetrics(paths.metrics);
  const last = rows.at(-1)?.global_step ?? 0;
  if (step > last) throw new ConfigError(`--step ${step}: ${run} has written down steps up to ${last}.`);
  const from = listCheckpoints(paths.checkpoints).findLast((checkpoint) => checkpoint.step < step)?.step ?? 0;
  const wanted = rows.filter((row) => row.global_step > from && row.global_step <= step);
  if (wanted.length === 0) {
    throw new ConfigError(
      `--step ${step}: ${run} has no row of metrics between step ${from}, the checkpoint before it, and that step ` +
        `(logging_steps ${config.logging_steps}). Give a step that has one.`,
    );
  }
  const directory = join(tmpdir(), `preftune-replay-${uniqueTag()}`);
  try {
    const copy = join(directory, "run");
    fileWork({ action: "copy the run to", path: copy }, () => copyRun(run, copy, from));
    await trainUntil(runPaths(copy), step, signal);
    const again = runPaths(copy);
    const sampled = compareRollouts(rolloutsIn(paths.rollouts), rolloutsIn(again.rollouts), { from, step });
    const difference = rowDifference(wanted, readMetrics(again.metrics)) ?? sampled.difference;
    return { from, rows: wanted.length, completions: sampled.completions, difference };
  } finally {
    ignoreErrors(() => io.rmSync(directory));
  }
}

/** The run's records and, of its checkpoints, that of step `from`. */
function copyRun(run: string, to: string, from: number): void {
  const exported = ["adapter", "model", "value_model", "whole"];
  // what says which run of a tracker's it is: that one is not the copy's
  const tracked = ["trackers.json", "trackers.lock", "tensorboard"];
  const left = new Set(["checkpoints", "run.lock", ...exported, ...tracked]);
  makeDirectories(to);
  for (const name of readdirSync(run)) if (!left.has(name)) copyTree(join(run, name), join(to, name));
  if (from === 0) return;
  const [source, target] = [run, to].map((dir) => checkpointPath(runPaths(dir).checkpoints, from)) as [
    string,
    string,
  ];
  makeDirectories(dirname(target));
  copyTree(source, target);
}

async function trainUntil(
  { dir, configYaml }: RunPaths,
  step: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const values = { output_dir: dir, resume_from_checkpoint: "latest" };
  const loaded = loadConfig({ file: configYaml, values });
  // nothing of the copy is the run's: trackers hear nothing of it
  const resolved = { ...loaded, config: { ...loaded.config, report_to: [] } };
  const how = { stopAfter: step, ...(signal === undefined ? {} : { signal }) };
  for await (const _event of train(resolved, how)) {
    // its rows are what counts
  }
  signal?.throwIfAborted();
}

function rowDifference(wanted: readonly MetricRow[], got: readonly MetricRow[]): string | null {
  for (const row of wanted) {
    const isEvaluation = Object.keys(row).some((key) => key.startsWith("eval_"));
    const same = got.find(
      (one) =>
        one.global_step === row.global_step &&
        Object.keys(one).some((key) => key.startsWith("eval_")) === isEvaluation,
    );
    const what = `step ${row.global_step}${isEvaluation ? ", evaluation" : ""}`;
    if (same === undefined) return `${what}: no row of metrics came of it again`;
    const key = Object.keys(row).find((name) => !isMeasurement(name) && !Object.is(row[name], same[name]));
    if (key !== undefined) return `${what}: ${key} was ${row[key]} and is ${same[key]}`;
  }
  return null;
}

/** One at a time: a run's completions may be more than memory holds. */
function compareRollouts(
  wanted: Generator<RolloutRow>,
  got: Iterable<RolloutRow>,
  { from, step }: { from: number; step: number },
): { completions: number; difference: string | null } {
  using others = wanted;
  let difference: string | null = null;
  let [completions, index] = [0, 0];
  for (const row of got) {
    index++;
    if (row.step > from && row.step <= step) completions++;
    if (difference !== null || isSame(others.next().value, row)) continue;
    difference = `step ${row.step}: completion ${index} of the run (${row.row}) is another, or was given another reward`;
  }
  return { completions, difference };
}

/** By what the run wrote down: earlier versions wrote less of a completion. */
function isSame(wanted: RolloutRow | undefined, got: RolloutRow): boolean {
  if (wanted === undefined) return false;
  const keys = Object.keys(wanted) as (keyof RolloutRow)[];
  return keys.every((key) => stringifyNumbers(got[key]) === stringifyNumbers(wanted[key]));
}
