/**
 * A grid of training runs in one folder. Each run is a directory as `preftune train` makes it; a finished one is known by
 * its mark and kept, a failed one is tried again at the next start, and what fails does not stop the others.
 */
import { join } from "node:path";
import { ConfigError, messageOf } from "../base/errors.ts";
import { makeDirectory, remove, sha256, sha256File } from "../base/files.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import { formatDuration } from "../base/number-text.ts";
import { shellWord } from "../base/shell-word.ts";
import { loadConfig } from "../config/load-config.ts";
import { listCheckpoints } from "../runs/checkpoints.ts";
import { isRun, runPaths } from "../runs/run-directory.ts";
import { untilFree } from "../runs/run-lock.ts";
import type { ProgressStream } from "../terminal/status-line.ts";
import { changedContents, contentKey, contentsOf, startKey, startKeys } from "./content.ts";
import { finishedRuns, markName, readMark, takeRun } from "./reuse.ts";
import { runInProcess } from "./run-process.ts";
import type { RunTask } from "./run-trial.ts";
import { isTaken, RunStoppedError, StudyStoppedError } from "./stopped.ts";
import { type ConfigValues, type GridPaths, reasonLine, type Trial, type TrialOutcome } from "./trial.ts";

/** How the grid is run. */
export interface GridOptions {
  /** Runs at a time. */
  jobs: number;
  out: ProgressStream;
  /** Folders of other studies: their finished runs are taken where they ran the same. */
  reuse?: readonly string[];
  /** Ends the runs under way after their step, and begins no other. */
  signal?: AbortSignal | undefined;
  /** Whether runs fail, before they train, whose held-out rows make no pair. Default: no. */
  needsPairs?: boolean;
  /** Runs a task to its end. Default: in a separate process. */
  runTask?: (task: RunTask, signal?: AbortSignal) => Promise<void>;
}

/**
 * The layout of the folder `dir`.
 *
 * @param extras - URL of the module that measures the trials' `extra`, see {@link Extras}; needed only where some have one
 */
export function gridPaths(dir: string, extras = ""): GridPaths {
  return {
    dir,
    extras,
    run: (id) => join(dir, "runs", id),
    before: (trial) => join(dir, "before", `${digest(startValues(trial)).slice(0, 16)}.jsonl`),
  };
}

/**
 * A name that can stand in a path; with a part of a hash where the readable part could be another condition's too.
 *
 * @param isShared - there is another condition whose readable part is the same
 */
export function trialId(condition: string, seed: number, isShared = false): string {
  const plain = condition
    .toLowerCase()
    .replace(/['’]/g, "")
    .replace(/[^a-z0-9.]+/g, "-")
    .replace(/^-+|-+$/g, "");
  const isClear = !isShared && plain.length <= 60 && !/[-−]\d/.test(condition);
  return `${isClear ? plain : `${plain.slice(0, 50)}-${sha256(condition).slice(0, 8)}`}-s${seed}`;
}

/**
 * Runs all trials that are not finished, and gives the outcome of each in the trials' order.
 *
 * @throws {ConfigError} if two trials have one name, or a directory holds a finished run with other values
 * @throws {StudyStoppedError} if it was stopped before every run had ended
 */
export async function runGrid(
  trials: readonly Trial[],
  paths: GridPaths,
  { jobs, out, reuse = [], signal, needsPairs = false, runTask = runInProcess }: GridOptions,
): Promise<TrialOutcome[]> {
  const byId = Map.groupBy(trials, ({ id }) => id);
  const twice = [...byId.values()].find((own) => own.length > 1)?.[0];
  if (twice !== undefined) {
    throw new ConfigError(
      `expected runs with different names, got ${twice.id} twice (${twice.condition}): give one of them another.`,
    );
  }
  const outcomes = new Map<string, TrialOutcome>();
  for (const trial of trials) {
    const changed = changedSince(trial, paths);
    if (changed?.length === 0) outcomes.set(trial.id, { trial, reason: null });
    else if (changed !== null)
      out.write(`${trial.id} is trained again: ${changed.join(", ")} changed since\n`);
  }
  makeDirectory(join(paths.dir, "runs"));
  makeDirectory(join(paths.dir, "before"));
  const open = trials.filter(({ id }) => !outcomes.has(id));
  for (const trial of await takeFinished(open, { paths, reuse, out }))
    outcomes.set(trial.id, { trial, reason: null });
  const waiting = open.filter(({ id }) => !outcomes.has(id));
  const progress = new GridProgress(waiting.length, trials.length, out);
  const worker = async (): Promise<void> => {
    while (signal?.aborted !== true) {
      const trial = waiting.shift();
      if (trial === undefined) return;
      const began = performance.now();
      const reason = await reasonOf(trial, paths, (task) => runTask({ ...task, needsPairs }, signal));
      if (reason === stopped) return;
      outcomes.set(trial.id, { trial, reason });
      progress.done(trial, reason, (performance.now() - began) / 1000);
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, Math.min(jobs, waiting.length)) }, worker));
  if (outcomes.size < trials.length)
    throw new StudyStoppedError(`stopped: ${finishedText(outcomes, trials)}`);
  return trials.map((trial) => outcomes.get(trial.id) as TrialOutcome);
}

function finishedText(outcomes: ReadonlyMap<string, TrialOutcome>, trials: readonly Trial[]): string {
  const finished = [...outcomes.values()].filter(({ reason }) => reason === null).length;
  return `${finished} of ${trials.length} runs are finished`;
}

/** The reason of a run that was stopped as it was asked to. */
const stopped = Symbol("stopped");

/** Takes over what other studies have run already of `trials`, none of which is finished; gives the trials of it. */
async function takeFinished(
  trials: readonly Trial[],
  { paths, reuse, out }: { paths: GridPaths; reuse: readonly string[]; out: ProgressStream },
): Promise<Trial[]> {
  const known = finishedRuns(reuse);
  if (known.size === 0) return [];
  const taken: Trial[] = [];
  for (const trial of trials) {
    const task = taskOf(trial, paths);
    const { config } = loadConfig(task.config);
    const from = known.get(contentKey(config, trial.extra));
    if (
      from !== undefined &&
      (await takeRun(from, task, { key: startKey(config), read: contentsOf(config) }))
    )
      taken.push(trial);
  }
  out.write(`${taken.length} runs taken from ${reuse.join(", ")}\n`);
  return taken;
}

/**
 * Values as overrides of a command line: they then outrank a file's, and keys of the file that they make useless are no
 * mistake of it.
 */
export function overridesOf(values: ConfigValues): [string, string][] {
  return Object.entries(values).map(([key, value]) => [
    key,
    typeof value === "object" ? JSON.stringify(value) : String(value),
  ]);
}

function taskOf(trial: Trial, paths: GridPaths): RunTask {
  const dir = paths.run(trial.id);
  return {
    config: {
      ...(trial.file === null ? {} : { file: trial.file }),
      values: {
        ...trial.values,
        seed: trial.seed,
        output_dir: dir,
        // an interrupted run resumes from its checkpoint; without one it starts over
        ...(hasCheckpoint(dir) ? { resume_from_checkpoint: "latest" } : {}),
      },
      overrides: [...trial.overrides, ...overridesOf(trial.changes)],
    },
    dir,
    before: paths.before(trial),
    mark: join(dir, markName),
    digest: trialDigest(trial),
    extra: trial.extra === null ? null : { name: trial.extra, module: paths.extras },
  };
}

/** How long a run that was left alone is waited for, in milliseconds: a step of a large model on a CPU. */
const longestStep = 300_000;

/**
 * Null, or why the run failed. A study that was killed leaves runs alone, which end as soon as they see it: after a step
 * they are at, or after their start, when this one may have found the run locked already.
 */
async function reasonOf(
  trial: Trial,
  paths: GridPaths,
  runTask: (task: RunTask) => Promise<void>,
): Promise<string | null | typeof stopped> {
  for (let isSecond = false; ; isSecond = true) {
    await untilFree(runPaths(paths.run(trial.id)).lock, longestStep);
    try {
      if (changedSince(trial, paths)?.length === 0) return null;
      removeStale(paths.run(trial.id));
      await runTask(taskOf(trial, paths));
      return null;
    } catch (error) {
      if (error instanceof RunStoppedError) return stopped;
      if (isSecond || !isTaken(error)) return messageOf(error);
    }
  }
}

/** Removes a run that cannot be resumed: without a checkpoint, or finished with files that have changed since. */
function removeStale(dir: string): void {
  if (readMark(dir) !== null || (isRun(dir) && !hasCheckpoint(dir))) remove(dir);
}

function hasCheckpoint(dir: string): boolean {
  return listCheckpoints(runPaths(dir).checkpoints).length > 0;
}

/**
 * Names of what changed since the trial's run finished, models, adapters and the like besides its rows: none where the run stands;
 * null: it has not finished.
 *
 * @throws {ConfigError} where it was another run, or nobody knows what it read
 */
function changedSince(trial: Trial, paths: GridPaths): string[] | null {
  const dir = paths.run(trial.id);
  const mark = readMark(dir);
  if (mark === null) return null;
  if (mark.digest !== trialDigest(trial)) {
    throw new ConfigError(
      `${dir}: holds a finished run with other values than asked for now. Nothing was changed: give another --output.`,
    );
  }
  const { config } = loadConfig(taskOf(trial, paths).config);
  if (mark.read !== undefined) return changedContents(mark.read, contentsOf(config));
  if (mark.content === contentKey(config, trial.extra)) return [];
  throw new ConfigError(
    `${dir}: holds a finished run of an earlier version, which does not say what its files held, and they may have changed since. ` +
      `Nothing was changed: train it again (rm -r ${shellWord(dir)}), or give another --output.`,
  );
}

/** What decides how a trial's first model scores the held-out pairs. */
function startValues({ file, values, overrides, changes }: Trial): unknown {
  const all: ConfigValues = { ...values, ...Object.fromEntries(overrides), ...changes };
  const rated = all["rating_threshold"] ?? null;
  const keys = Object.fromEntries(startKeys.map((key) => [key, all[key] ?? null]));
  // left out where it says nothing: so files of earlier versions keep their names
  return [file, rated === null ? keys : { ...keys, rating_threshold: rated }];
}

/** Two trials with the same digest are the same run: its configuration's file counts by what it says. */
function trialDigest(trial: Trial): string {
  return digest([trial, trial.file === null ? null : sha256File(trial.file)]);
}

function digest(value: unknown): string {
  return sha256(stringifyNumbers(value));
}

/** A line for each run that ends, with the time that is left. */
class GridProgress {
  readonly #out: ProgressStream;
  readonly #todo: number;
  readonly #all: number;
  readonly #began: number = performance.now();
  #done = 0;

  constructor(todo: number, all: number, out: ProgressStream) {
    this.#out = out;
    this.#todo = todo;
    this.#all = all;
    const kept = all - todo;
    if (kept > 0) out.write(`${kept} of ${all} runs are finished already\n`);
  }

  done({ id }: Trial, reason: string | null, seconds: number): void {
    this.#done += 1;
    const left = ((performance.now() - this.#began) / 1000 / this.#done) * (this.#todo - this.#done);
    const at = this.#all - this.#todo + this.#done;
    const how = reason === null ? formatDuration(seconds) : `failed: ${reasonLine(reason)}`;
    const rest = this.#done < this.#todo ? `, ${formatDuration(left)} left` : "";
    this.#out.write(`[${at}/${this.#all}] ${id}: ${how}${rest}\n`);
  }
}
