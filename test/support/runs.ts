/** Whole training runs in tests: start, collect their events, copy and cut them back as a kill would, compare. */
import assert from "node:assert/strict";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { sha256File } from "../../src/base/files.ts";
import { stringifyNumbers } from "../../src/base/json-numbers.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { readSafetensorsHeader } from "../../src/formats/safetensors.ts";
import { type TrainOptions, train } from "../../src/recipes/train.ts";
import { cutAfterStep } from "../../src/runs/json-lines.ts";
import { isMeasurement, type MetricRow, readMetrics } from "../../src/runs/metrics.ts";
import type { TrainEvent, TrainSummary } from "../../src/runs/train-events.ts";
import { scratch } from "./scratch.ts";
import { makeTinyModel, pairRows, type TinyModelOptions, writeRows } from "./tiny-model.ts";

/** Configuration values as in YAML. */
export type Values = Record<string, unknown>;

/** The events and the summary of a finished run. */
export interface RunRecord {
  events: TrainEvent[];
  summary: TrainSummary;
}

/** A temporary directory with a tiny model and data, removed when `using` ends. */
export interface RunFixture extends Disposable {
  dir: string;
  /** Values every run of the fixture needs; `output_dir` is not among them. */
  values: Values;
  /** Path of something in the directory. */
  path(...parts: string[]): string;
}

/** Makes a tiny model, `rows` preference rows to train on and `held` held-out ones. */
export function runFixture(options: TinyModelOptions & { rows?: number; held?: number } = {}): RunFixture {
  const dir = mkdtempSync(join(scratch(), "preftune-run-"));
  const path = (...parts: string[]) => join(dir, ...parts);
  const { rows = 20, held = 4 } = options;
  const all = pairRows(rows + held);
  const values: Values = {
    model_name_or_path: makeTinyModel(path("base"), options),
    train_data: writeRows(path("train.jsonl"), all.slice(0, rows)),
    ...(held > 0 ? { eval_data: writeRows(path("held.jsonl"), all.slice(rows)) } : {}),
    // tests that are about sampled answers ask for them
    watch_prompts: null,
    device: "cpu",
    dtype: "float32",
    threads: 1,
  };
  return { dir, values, path, [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }) };
}

/** Runs a training to its end. `onEvent` is called with each event as it comes, and waited for. */
export async function runTraining(
  values: Values,
  options: TrainOptions & { onEvent?: (event: TrainEvent) => unknown } = {},
): Promise<RunRecord> {
  const events: TrainEvent[] = [];
  const { onEvent, ...rest } = options;
  for await (const event of train(loadConfig({ values }), rest)) {
    events.push(event);
    await onEvent?.(event);
  }
  const end = events.at(-1);
  assert.equal(end?.type, "end");
  return { events, summary: (end as Extract<TrainEvent, { type: "end" }>).summary };
}

/** A run and where it is. */
export interface WholeRun {
  dir: string;
  record: RunRecord;
}

/** What trains each recipe to its end in a directory of the fixture, once, when it is first asked for. */
export function wholeRuns(fixture: RunFixture): (recipe: Values) => Promise<WholeRun> {
  const runs = new Map<Values, Promise<WholeRun>>();
  return (recipe) => {
    const known = runs.get(recipe);
    if (known !== undefined) return known;
    const dir = fixture.path(`whole-${runs.size}`);
    const run = runTraining({ ...recipe, output_dir: dir }).then((record) => ({ dir, record }));
    runs.set(recipe, run);
    return run;
  };
}

/** Loss of every step, in order. */
export function losses({ events }: RunRecord): number[] {
  return events.flatMap((event) => (event.type === "step" ? [event.loss] : []));
}

/** The evaluation rows, in order. */
export function evaluationsOf({ events }: RunRecord): MetricRow[] {
  return events.flatMap((event) => (event.type === "evaluation" ? [event.row] : []));
}

/** The notes of the run, in order. */
export function notesOf({ events }: Pick<RunRecord, "events">): string[] {
  return events.flatMap((event) => (event.type === "note" ? [event.text] : []));
}

/** SHA-256 of every file below `dir`, by relative path in order. Links and empty directories count too. */
export function filesOf(dir: string): Record<string, string> {
  const entries = readdirSync(dir, { recursive: true, withFileTypes: true }).map((entry) => {
    const path = join(entry.parentPath, entry.name);
    const kind = entry.isDirectory() ? "directory" : entry.isFile() ? sha256File(path) : "other";
    return [relative(dir, path), kind] as const;
  });
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The metrics of a run as text, a row a line, without the measurements of time and memory. */
export function metricsOf(runDir: string): string[] {
  return readMetrics(join(runDir, "metrics.jsonl")).map((row) =>
    stringifyNumbers(Object.fromEntries(Object.entries(row).filter(([key]) => !isMeasurement(key)))),
  );
}

/**
 * Largest difference of a number among the metrics of two runs, relative to it or to a hundredth; NaN where one is not a number.
 *
 * @param leftOut - names that are not compared: of differences that are 0 but for rounding, as in DPO's first step, accuracy has none of
 * the signs
 */
export function metricsApart(
  a: string,
  b: string,
  leftOut: RegExp = /accuracies$/,
): { name: string; by: number } {
  const [some, others] = [a, b].map((dir) => readMetrics(`${dir}/metrics.jsonl`));
  assert.equal(some?.length, others?.length);
  const worst = { name: "", by: 0 };
  for (const [i, row] of (others ?? []).entries()) {
    for (const [name, value] of Object.entries(row)) {
      if (isMeasurement(name) || leftOut.test(name) || typeof value !== "number") continue;
      const by = Math.abs(Number(some?.[i]?.[name]) - value) / Math.max(1e-2, Math.abs(value));
      if (!(by <= worst.by)) Object.assign(worst, { name: `${name} at ${row.global_step}`, by });
      if (Number.isNaN(by)) return worst;
    }
  }
  return worst;
}

/** The path of a run's checkpoint. */
export function checkpointOf(runDir: string, step: number): string {
  return join(runDir, "checkpoints", `checkpoint-${step}`);
}

/** Copies a finished run to `to` as a kill right after the checkpoint of `step` would have left it. */
export function cutBack(runDir: string, to: string, step: number): string {
  cpSync(runDir, to, { recursive: true });
  for (const name of readdirSync(join(to, "checkpoints"))) {
    if (Number(name.split("-")[1]) > step) rmSync(join(to, "checkpoints", name), { recursive: true });
  }
  cutAfterStep(join(to, "metrics.jsonl"), step);
  for (const name of ["adapter", "model", "value_model", "export.json", "report.html"]) {
    rmSync(join(to, name), { recursive: true, force: true });
  }
  return to;
}

/** SHA-256 of the files of a checkpoint; of the manifest and the copied records, which hold times, only that they are there. */
export function stateOf(checkpoint: string): Record<string, string> {
  const timed = /^(checkpoint|records)\.json$/;
  return Object.fromEntries(
    Object.entries(filesOf(checkpoint)).map(([name, digest]) => [name, timed.test(name) ? "there" : digest]),
  );
}

/**
 * Asserts that two runs came to the same: last checkpoint, exports, metrics and rollouts byte for byte.
 *
 * @param hasRollouts - false: rollouts of the first were lost, and nothing else is another
 */
export function assertSameRun(got: string, want: string, lastStep: number, hasRollouts = true): void {
  const [state, wanted] = [got, want].map((dir) => {
    const { "rollouts-length.json": noted, ...rest } = stateOf(checkpointOf(dir, lastStep));
    return hasRollouts ? { ...rest, noted } : rest;
  });
  assert.deepEqual(state, wanted, "last checkpoint");
  const rows = metricsOf(got);
  const expected = metricsOf(want);
  for (const [i, row] of expected.entries()) assert.equal(rows[i], row, `row ${i + 1} of metrics.jsonl`);
  assert.equal(rows.length, expected.length, "rows of metrics.jsonl");
  const present = readdirSync(want);
  for (const name of ["adapter", "model", "value_model"].filter((each) => present.includes(each))) {
    assert.deepEqual(filesOf(join(got, name)), filesOf(join(want, name)), name);
  }
  const rollouts = "rollouts.jsonl.gz";
  if (hasRollouts && present.includes(rollouts))
    assert.equal(sha256File(join(got, rollouts)), sha256File(join(want, rollouts)), rollouts);
}

/** The float32 tensors of a file. */
export function tensorsOf(path: string): Map<string, Float32Array> {
  const { tensors, dataStart } = readSafetensorsHeader(path);
  const bytes = readFileSync(path);
  return new Map(
    [...tensors.values()].map(({ name, dtype, begin, end }) => {
      assert.equal(dtype, "F32");
      return [
        name,
        new Float32Array(
          bytes.buffer.slice(bytes.byteOffset + dataStart + begin, bytes.byteOffset + dataStart + end),
        ),
      ];
    }),
  );
}

/** ‖a − b‖ / ‖b‖ over all tensors. */
export function distanceOf(a: Map<string, Float32Array>, b: Map<string, Float32Array>): number {
  assert.deepEqual([...a.keys()], [...b.keys()]);
  let [square, whole] = [0, 0];
  for (const [name, values] of b) {
    const other = a.get(name) ?? assert.fail();
    for (const [i, value] of values.entries()) {
      square += (value - (other[i] ?? Number.NaN)) ** 2;
      whole += value ** 2;
    }
  }
  return Math.sqrt(square / whole);
}

/** The rows of a run's event log. */
export function logOf(runDir: string): { event: string; [detail: string]: unknown }[] {
  const lines = readFileSync(join(runDir, "log.jsonl"), "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line));
}

/**
 * Starts a training in a separate process; it prints for each finished step a line: its number, the digest of the
 * generator's state after it, and its loss.
 */
export function trainInChild(values: Values): ChildProcessByStdio<null, Readable, Readable> {
  const args = [join(import.meta.dirname, "train-child.ts"), JSON.stringify(values)];
  return spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
}

/** How a child process ended. */
export interface ChildEnd {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** Waits for a child to end. */
export async function childEnd(child: ChildProcessByStdio<null, Readable, Readable>): Promise<ChildEnd> {
  const [[code, signal], stdout, stderr] = await Promise.all([
    once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>,
    text(child.stdout),
    text(child.stderr),
  ]);
  return { code, signal, stdout, stderr };
}
