/**
 * A run is a directory. This file knows its layout, makes new ones, and opens existing ones to read or to resume.
 *
 *   run.json           marks the directory as a run; configuration and origins as data
 *   config.yaml        the same configuration for people; it can be run again
 *   fingerprints.json  what the run was computed from
 *   preflight.json     summary of the data check
 *   metrics.jsonl      metrics, a row a line
 *   tensorboard/       the same for TensorBoard, where report_to asks for it
 *   trackers.json      which rows other trackers have; trackers.lock: held by the process that sends them
 *   evaluations.jsonl  what evaluations give besides metrics: histograms, sampled answers
 *   pair-tokens.json   log-probs of single tokens of some held-out pairs, at the first evaluation and at the last one
 *   log.jsonl          events: start, resume, skipped step, checkpoint, end
 *   checkpoints/       checkpoint-<step>/, each with a manifest
 *   reference/         sums of reference log-probs
 *   adapter/, model/   the export
 *   whole/             of an export at another scale than 1: the adapter or model as it was trained
 *   value_model/       the value model of a PPO run, exported
 *   export.json        result of the export's parity check
 *   report.html        the report
 *   restarts.jsonl     ends of the trainer before its time under `train --max-restarts`
 *   run.lock           held by the process that writes the run
 */
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { ConfigError, FormatError } from "../base/errors.ts";
import { fileFailure } from "../base/file-io.ts";
import { makeDirectory, readJsonFile, remove, removeLeftOvers, writeFileAtomic } from "../base/files.ts";
import { readSealed, sealed } from "../base/sealed.ts";
import type { ResolvedConfig } from "../config/load-config.ts";
import { provenanceText, resolvedToYaml } from "../config/print-config.ts";
import type { ConfigKey, RunConfig } from "../config/run-config.ts";
import { settleRows } from "../config/settle-rows.ts";
import { type Checkpoint, hasCheckpoints, listCheckpoints } from "./checkpoints.ts";
import { type EvaluationRecord, readEvaluations } from "./evaluation-records.ts";
import { JsonLinesWriter, readJsonLines } from "./json-lines.ts";
import { type MetricRow, readMetrics } from "./metrics.ts";
import { readRestarts } from "./restart-log.ts";
import { readRunJson, saveRunJson } from "./run-json.ts";
import { RunLock, type StartedJob } from "./run-lock.ts";

/** What may lie in a directory that still counts as empty. */
const IGNORED_ENTRIES =
  /^((run|trackers)\.lock(\.taking)?|log\.jsonl|\.DS_Store|\.gitkeep|\.run\.json\.tmp-\d+-[0-9a-f]{8})$/;
/** What a run that never took a step leaves behind, and its next start must not take for its own. */
const PRE_STEP_FILES = [
  "metrics.jsonl",
  "evaluations.jsonl",
  "pair-tokens.json",
  "fingerprints.json",
  "preflight.json",
  "evaluation-start.json",
  "template-date.json",
  "models.json",
  "restarts.jsonl",
  "rollouts.jsonl.gz",
  "trackers.json",
];

/** What else may be there before the first checkpoint. */
const ALONGSIDE = [
  ...["config.yaml", "checkpoints", "reference", "tensorboard", "report.html", "sampler"],
  ...["judgments.sqlite", "judgments.sqlite-shm", "judgments.sqlite-wal"],
];
/** A file that was being written. */
const UNDER_WAY = /^\.(.+)\.tmp-\d+-[0-9a-f]{8}$/;

/** Paths inside a run directory. */
export interface RunPaths {
  dir: string;
  runJson: string;
  configYaml: string;
  fingerprints: string;
  preflight: string;
  metrics: string;
  /** Folder of TensorBoard's event files. */
  tensorboard: string;
  evaluations: string;
  /** What later evaluations are compared with. */
  evaluationStart: string;
  /** Tokens of held-out pairs, for people to look at. */
  pairTokens: string;
  log: string;
  /** Completions of an on-policy run, with their rewards. */
  rollouts: string;
  checkpoints: string;
  /** Sums of reference log-probs, unless `reference_cache_dir` says otherwise. */
  reference: string;
  adapter: string;
  model: string;
  /** Folder of what was trained where the export takes a part of it, `adapter` and `model` in it. */
  whole: string;
  valueModel: string;
  exportJson: string;
  report: string;
  lock: string;
}

/** The layout of the run directory `dir`. */
export function runPaths(dir: string): RunPaths {
  return {
    dir,
    runJson: join(dir, "run.json"),
    configYaml: join(dir, "config.yaml"),
    fingerprints: join(dir, "fingerprints.json"),
    preflight: join(dir, "preflight.json"),
    metrics: join(dir, "metrics.jsonl"),
    tensorboard: join(dir, "tensorboard"),
    evaluations: join(dir, "evaluations.jsonl"),
    evaluationStart: join(dir, "evaluation-start.json"),
    pairTokens: join(dir, "pair-tokens.json"),
    log: join(dir, "log.jsonl"),
    rollouts: join(dir, "rollouts.jsonl.gz"),
    checkpoints: join(dir, "checkpoints"),
    reference: join(dir, "reference"),
    adapter: join(dir, "adapter"),
    model: join(dir, "model"),
    whole: join(dir, "whole"),
    valueModel: join(dir, "value_model"),
    exportJson: join(dir, "export.json"),
    report: join(dir, "report.html"),
    lock: join(dir, "run.lock"),
  };
}

/** What a run was computed from. Digests are SHA-256, 64 hexadecimal digits. */
export interface Fingerprints {
  /** `rows`: of the tokenised rows. Besides it, of each file that was read, by the key that names it and its name. */
  data: Record<string, string>;
  /** Digest of each file of reward functions, by path; left out where a run has none. */
  reward_files?: Record<string, string>;
  template: string | null;
  tokenizer: string;
  model: string;
  /** Of the adapter that training began from; left out where it began from none, and in runs of earlier versions. */
  adapter?: string;
  /** Of the frozen weights below a value model's adapter, where they are not the model's; and of a reward model. */
  value_model?: string;
  reward_model?: string;
  code_version: string;
  torch_version: string;
  device: string;
  dtype: string;
  threads: number;
  /** The library of matrix products on the CPU, "torch" or "onednn". Not in runs of earlier versions. */
  matmul?: string;
}

/** One line of `log.jsonl`. */
export interface RunEvent {
  event: string;
  /** ISO 8601, UTC. */
  time: string;
  [detail: string]: unknown;
}

/** Who trains a run. */
export interface StartedBy {
  /** Processes that do it together. */
  ranks: number;
  /** What they were started for; null: by hand. */
  job: StartedJob | null;
}

/** One process that was started by hand. */
export const oneProcess: StartedBy = { ranks: 1, job: null };

/** A run that this process writes. */
export class OpenRun {
  /** What it trains by: as it was given, with the rows of a step settled. */
  resolved: ResolvedConfig;
  readonly paths: RunPaths;
  /** Things to tell the user, such as a lock that was taken over. */
  readonly notes: string[] = [];
  /** Where a resumed run continues; null: at its beginning. */
  checkpoint: Checkpoint | null = null;
  readonly #lock: RunLock;
  #log: JsonLinesWriter | null = null;

  /** Takes the lock of the run in `config.output_dir`. Use {@link createRun} or {@link resumeRun}. */
  constructor(resolved: ResolvedConfig, job: StartedJob | null) {
    this.resolved = resolved;
    this.paths = runPaths(resolved.config.output_dir);
    this.#lock = new RunLock(this.paths.lock, job);
    if (this.#lock.note !== null) this.notes.push(this.#lock.note);
  }

  /** Appends an event to `log.jsonl`. */
  log(event: string, details: Record<string, unknown> = {}): void {
    this.#log ??= new JsonLinesWriter(this.paths.log);
    this.#log.write({ time: new Date().toISOString(), event, ...details });
  }

  /** Writes `value` as JSON to one of the run's files, all of it or nothing. */
  saveJson(path: string, value: unknown): void {
    writeFileAtomic(path, `${JSON.stringify(value, null, 2)}\n`);
  }

  /** Writes an object as JSON with its digest: a file that a resumed run relies on. */
  saveSealed(path: string, value: object): void {
    writeFileAtomic(path, sealed(JSON.stringify(value, null, 2)));
  }

  /** Writes the configuration, as data and for people. */
  saveConfig(resolved: ResolvedConfig): void {
    const provenance = Object.fromEntries(
      Object.entries(resolved.provenance).map(([key, origin]) => [key, provenanceText(origin)]),
    );
    // run.json goes first: a kill between the two leaves a directory that is known for a run
    saveRunJson(this.paths.runJson, { config: resolved.config, provenance });
    writeFileAtomic(this.paths.configYaml, resolvedToYaml(resolved));
  }

  /** Closes the log and gives the lock back. Doing so twice is harmless. */
  release(): void {
    try {
      this.#log?.close();
    } finally {
      this.#lock.release();
    }
  }
}

/**
 * A new run in `config.output_dir`, which must be empty, not exist yet, or hold a run that took no step: one whose data or
 * model was not in order.
 *
 * @param by - who trains it: the rows of its steps follow from how many they are
 * @throws {ConfigError} when the directory holds another run or anything else
 * @throws {TrainingError} when another process is writing it
 */
export function createRun(resolved: ResolvedConfig, by: StartedBy = oneProcess): OpenRun {
  refuseOtherContent(resolved.config.output_dir);
  return begin(resolved, by);
}

/** @throws {ConfigError} when a new run cannot begin in `dir`: it holds another run or anything else */
export function refuseOtherContent(dir: string): void {
  const startsOver = isRun(dir);
  if (startsOver) refuseStepsTaken(dir);
  const others = entriesOf(dir).filter((name) => !IGNORED_ENTRIES.test(name));
  if (!startsOver && others.length > 0) {
    throw new ConfigError(
      `output_dir ${dir} is not empty and not a run (it holds ${others.slice(0, 3).join(", ")}${others.length > 3 ? ", …" : ""}). ` +
        "Choose another output_dir; nothing was changed.",
    );
  }
}

function begin(resolved: ResolvedConfig, { ranks, job }: StartedBy): OpenRun {
  const dir = resolved.config.output_dir;
  makeDirectory(dir);
  return prepared(settleRows(resolved, ranks, null), job, (run) => {
    for (const name of PRE_STEP_FILES) remove(join(dir, name));
    run.saveConfig(run.resolved);
  });
}

/** Begins the run of a directory that holds what a run writes before its first checkpoint, and has lost its run.json; null for any other. */
export function beginAgain(resolved: ResolvedConfig, by: StartedBy): OpenRun | null {
  const dir = resolved.config.output_dir;
  const names = entriesOf(dir);
  const isOurs = names.includes("log.jsonl") || names.every((name) => IGNORED_ENTRIES.test(name));
  const known = [...PRE_STEP_FILES, ...ALONGSIDE];
  const isKnown = (name: string): boolean =>
    IGNORED_ENTRIES.test(name) || known.includes(name.replace(UNDER_WAY, "$1"));
  return existsSync(dir) && isOurs && names.every(isKnown) ? begin(resolved, by) : null;
}

/** The directory of a new run holds one that has come to something. */
export class RunExistsError extends ConfigError {}

/** Refuses a directory whose run has come to anything. */
function refuseStepsTaken(dir: string): void {
  const paths = runPaths(dir);
  const results = [paths.adapter, paths.model, paths.exportJson].some((path) => existsSync(path));
  if (results || hasCheckpoints(paths.checkpoints)) {
    throw new RunExistsError(
      `output_dir ${dir} already holds a run. Continue it with --resume (resume_from_checkpoint: latest), or choose another output_dir.`,
    );
  }
  const last = readMetrics(paths.metrics).at(-1)?.global_step ?? 0;
  if (last > 0) {
    throw new RunExistsError(
      `output_dir ${dir} already holds a run, of ${last} steps and without a checkpoint to resume from. Begin it again with --resume (resume_from_checkpoint: latest), or choose another output_dir.`,
    );
  }
}

/** Opens the run in `config.output_dir`, clears away what a kill left half done, and lets `prepare` do the rest under its lock. */
export function prepared(
  resolved: ResolvedConfig,
  job: StartedJob | null,
  prepare: (run: OpenRun) => void,
): OpenRun {
  const run = new OpenRun(resolved, job);
  try {
    for (const each of [run.paths.dir, run.paths.checkpoints, run.paths.reference]) removeLeftOvers(each);
    prepare(run);
    return run;
  } catch (error) {
    run.release();
    throw error;
  }
}

function entriesOf(dir: string): string[] {
  if (!existsSync(dir)) return [];
  try {
    return readdirSync(dir);
  } catch (cause) {
    throw fileFailure({ action: "read directory", path: dir, cause });
  }
}

/** True when `dir` holds a run. */
export function isRun(dir: string): boolean {
  return existsSync(runPaths(dir).runJson);
}

/** The run that `place` lies in, as RUN/adapter, RUN/whole/adapter or RUN/checkpoints/checkpoint-8 does; undefined: none. */
export function runAround(place: string): string | undefined {
  return [dirname(place), dirname(dirname(place))].find(isRun);
}

/** A run as it is on disk. */
export interface RunView {
  paths: RunPaths;
  config: RunConfig;
  /** Where each value came from, in words. */
  provenance: Partial<Record<ConfigKey, string>>;
  /** Null until the model and data have been read. */
  fingerprints: Fingerprints | null;
  metrics: MetricRow[];
  evaluations: EvaluationRecord[];
  events: RunEvent[];
  /** The complete ones, oldest first. */
  checkpoints: Checkpoint[];
  /** Summary of the data check and result of the export's parity check, where they have been written. */
  preflight: unknown;
  exported: unknown;
}

/**
 * Reads a run; another process may be writing it meanwhile.
 *
 * @param metrics - its rows, where they are known: those of a long run take long to read. Default: they are read
 * @throws {ConfigError} when `dir` holds no run
 * @throws {FormatError} when one of its files is damaged
 */
export function openRun(dir: string, metrics: MetricRow[] | null = null): RunView {
  const paths = runPaths(dir);
  if (!isRun(dir)) throw new ConfigError(`${dir} is no run directory: it has no run.json.`);
  const optional = (path: string): unknown => (existsSync(path) ? readJsonFile(path) : null);
  return {
    paths,
    ...readRunJson(paths.runJson),
    fingerprints: existsSync(paths.fingerprints) ? readFingerprints(paths.fingerprints) : null,
    metrics: metrics ?? readMetrics(paths.metrics),
    evaluations: readEvaluations(paths.evaluations),
    events: readEvents(paths),
    checkpoints: listCheckpoints(paths.checkpoints),
    preflight: optional(paths.preflight),
    exported: optional(paths.exportJson),
  };
}

/** The log, and between its events the ends of the trainer in `restarts.jsonl`. */
function readEvents({ dir, log }: RunPaths): RunEvent[] {
  const events = readJsonLines(log).map(({ value }) => value as RunEvent);
  const restarts = readRestarts(dir).map((record): RunEvent => ({ event: "restart", ...record }));
  return restarts.length === 0
    ? events
    : [...events, ...restarts].sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
}

/**
 * The fingerprints in a file.
 *
 * @throws {FormatError} when it was changed, or holds none
 */
export function readFingerprints(path: string): Fingerprints {
  const value = readSealed(path) as unknown as Fingerprints;
  if (typeof value.data === "object" && value.data !== null && typeof value.model === "string") return value;
  throw new FormatError(
    `${path}: expected the fingerprints of a run (data, model, …), got other values. Delete it to continue without it.`,
  );
}

function changedFiles(
  what: string,
  saved: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
): string[] {
  const files = new Set([...Object.keys(saved), ...Object.keys(now)]);
  return [...files]
    .filter((file) => saved[file] !== now[file])
    .map((file) => `${what} ${file}: ${saved[file] ?? "not read"}, now ${now[file] ?? "not read"}`);
}

/** What versions of preftune began to keep at once: the digest of all rows, those of files, of `drift_data`, commits on the hub. */
function kindOfData(name: string): string {
  if (name === "rows") return name;
  return /^(drift_data|hub:)/.exec(name)?.[0] ?? "file";
}

/** The fingerprints that differ between a saved run and now, in words; a resumed run warns of each. */
export function changedFingerprints(saved: Fingerprints, now: Fingerprints): string[] {
  // what an older version did not keep is not known to have changed
  const kept = new Set(["rows", ...Object.keys(saved.data).map(kindOfData)]);
  const sameKind = Object.entries(now.data).filter(([name]) => kept.has(kindOfData(name)));
  const changes = [
    ...changedFiles("data", saved.data, Object.fromEntries(sameKind)),
    ...changedFiles("reward_funcs", saved.reward_files ?? {}, now.reward_files ?? {}),
  ];
  const keys = [
    "template",
    "tokenizer",
    "model",
    "adapter",
    "value_model",
    "reward_model",
    "code_version",
    "torch_version",
    "device",
    "dtype",
    "threads",
    "matmul",
  ] as const;
  for (const key of keys) {
    if (saved[key] !== undefined && saved[key] !== now[key])
      changes.push(`${key}: ${saved[key] ?? "none"}, now ${now[key] ?? "none"}`);
  }
  return changes;
}
