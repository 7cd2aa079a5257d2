/** One run of the list: what it is, its state and its last figures, from new lines of its files alone. */
import { basename } from "node:path";
import { messageOf } from "../base/errors.ts";
import { readJsonFile, sha256 } from "../base/files.ts";
import { parseNumbers, stringifyNumbers } from "../base/json-numbers.ts";
import { statsOf } from "../base/open-file.ts";
import { flatConfig } from "../config/keys.ts";
import { lengthOnly } from "../report/facts-section.ts";
import { stateWord } from "../report/state-text.ts";
import type { MetricRow } from "../runs/metrics.ts";
import { type RunEvent, type RunPaths, readFingerprints, runPaths } from "../runs/run-directory.ts";
import { readRunJson } from "../runs/run-json.ts";
import { type RunState, stateOf } from "../runs/run-state.ts";
import type { CursorPlace } from "./file-cursor.ts";
import { LineTail } from "./line-tail.ts";
import type { RunMarks } from "./run-marks.ts";
import { type SavedSparkline, Sparkline } from "./sparkline.ts";
import { type WireNumber, wireNumber } from "./wire-number.ts";

/** A folder of many runs that belong together: a study or a sweep. */
export interface Study {
  id: string;
  /** Below the directory that was given. */
  folder: string;
  hasReport: boolean;
}

/** A run as the list shows it. */
export interface Summary extends RunFigures, RunMarks {
  /** Null where it is of none. */
  study: Study | null;
}

/** What its files say of a run. */
export interface RunFigures {
  id: string;
  /** Its folder below the directory that was given, "" for that itself. */
  folder: string;
  name: string;
  state: RunState["kind"];
  stateText: string;
  /** Why it failed, or why it cannot be read; "" otherwise. */
  message: string;
  objective: string;
  model: string;
  /** Of all that was configured but seed, name and folder: equal for seeds of one configuration. "" where it is not known. */
  setting: string;
  /** The first eight digits of the digest of its training rows; "" where it is not known yet. */
  data: string;
  step: number;
  totalSteps: number | null;
  /** Change of the mean log-prob per token of held-out answers since the start, nats. */
  chosen: WireNumber | null;
  rejected: WireNumber | null;
  accuracy: WireNumber | null;
  /** What always choosing the longer, or shorter, answer gets. */
  baseline: number | null;
  loss: WireNumber | null;
  /** What the small curve shows, and its points. */
  curve: CurveName | null;
  points: readonly number[];
  /** Of its first event, and of the last change of its files: ms since 1970. */
  startedAt: number | null;
  changedAt: number;
}

/** What the list keeps of a run between two starts of the dashboard. */
export interface SavedSummary {
  version: number;
  metrics: CursorPlace;
  log: CursorPlace;
  rows: Omit<RowFigures, "curves"> & { curves: Record<CurveName, SavedSparkline> };
  events: EventFigures;
  facts: {
    run: KnownFact<Facts> | null;
    data: KnownFact<string> | null;
    baseline: KnownFact<number | null> | null;
  };
}

/** Raised when the figures below mean something else. */
const savedVersion = 5;

/** What rows of metrics have said so far. */
interface RowFigures {
  step: number;
  last: Readonly<Partial<Record<FigureKey, number>>>;
  curves: Readonly<Record<CurveName, Sparkline>>;
}

/** The metric of each small curve; a run shows the first that it has. */
const curveKeys = { reward: "reward", chosen: "eval_logps/chosen_delta_init", loss: "loss" } as const;
const curveNames = ["reward", "chosen", "loss"] as const satisfies readonly (keyof typeof curveKeys)[];
type CurveName = keyof typeof curveKeys;

function eachCurve<Made>(make: (name: CurveName) => Made): Record<CurveName, Made> {
  return { reward: make("reward"), chosen: make("chosen"), loss: make("loss") };
}

/** Figures of the events so far. */
interface EventFigures {
  /** What the last one that names a step says. */
  step: number;
  totalSteps: number | null;
  startedAt: number | null;
  last: RunEvent | null;
}

const figureKeys = [
  "loss",
  "eval_logps/chosen_delta_init",
  "eval_logps/rejected_delta_init",
  "eval_logps/accuracies",
  "eval_accuracy",
] as const;
type FigureKey = (typeof figureKeys)[number];

const noRows = (): RowFigures => ({ step: 0, last: {}, curves: eachCurve(() => new Sparkline()) });
const noEvents: EventFigures = { step: 0, totalSteps: null, startedAt: null, last: null };

/** What does not change while a run runs, read again when its file does. */
interface Facts {
  name: string;
  objective: string;
  model: string;
  setting: string;
  problem: string;
}

/** Keys in which seeds of one configuration differ. */
const ofSeed: readonly string[] = ["seed", "run_name", "output_dir", "resume_from_checkpoint"];

/** A run of the list; {@link RunSummary.refresh} brings it up to date. */
export class RunSummary {
  readonly id: string;
  readonly folder: string;
  readonly paths: RunPaths;
  readonly #metrics: LineTail;
  readonly #log: LineTail;
  #rows: RowFigures;
  #events: EventFigures;
  readonly #facts: FileFact<Facts>;
  readonly #data: FileFact<string>;
  readonly #baseline: FileFact<number | null>;
  #figures: RunFigures | null = null;
  /** Why its files could not be read at the last look; "" otherwise. */
  #problem = "";

  constructor({ id, dir, folder }: { id: string; dir: string; folder: string }, saved: SavedSummary | null) {
    this.id = id;
    this.folder = folder;
    this.paths = runPaths(dir);
    const known = saved?.version === savedVersion ? saved : null;
    this.#metrics = new LineTail(this.paths.metrics, known?.metrics);
    this.#log = new LineTail(this.paths.log, known?.log);
    this.#rows =
      known === null
        ? noRows()
        : { ...known.rows, curves: eachCurve((name) => new Sparkline(known.rows.curves[name])) };
    this.#events = known?.events ?? noEvents;
    const unknown = { name: basename(dir), objective: "", model: "", setting: "", problem: "" };
    this.#facts = new FileFact(
      this.paths.runJson,
      (path) => factsOf(path, dir),
      (problem) => ({ ...unknown, problem }),
      known?.facts.run,
    );
    this.#data = new FileFact(this.paths.fingerprints, dataOf, () => "", known?.facts.data);
    this.#baseline = new FileFact(this.paths.preflight, baselineOf, () => null, known?.facts.baseline);
  }

  /** The figures as they were last read. */
  get figures(): RunFigures {
    this.#figures ??= this.#made();
    return this.#figures;
  }

  /** What to keep of it. */
  get saved(): SavedSummary {
    const { curves } = this.#rows;
    return {
      version: savedVersion,
      metrics: this.#metrics.place,
      log: this.#log.place,
      rows: { ...this.#rows, curves: eachCurve((name) => curves[name].saved) },
      events: this.#events,
      facts: { run: this.#facts.known, data: this.#data.known, baseline: this.#baseline.known },
    };
  }

  /** Reads what is new, a piece at a time. @returns whether the figures are others, and whether there is more to read */
  refresh(): { isChanged: boolean; isMore: boolean } {
    const before = this.#figures;
    const isMore = this.#tried();
    this.#figures = this.#made();
    return { isChanged: JSON.stringify(before) !== JSON.stringify(this.#figures), isMore };
  }

  /** One run whose files cannot be read keeps no other from being shown. */
  #tried(): boolean {
    try {
      this.#problem = "";
      return this.#read();
    } catch (error) {
      this.#problem = messageOf(error);
      return false;
    }
  }

  #read(): boolean {
    const rows = this.#metrics.read();
    if (rows.isRestart) this.#rows = noRows();
    for (const line of rows.lines) this.#row(line);
    const events = this.#log.read();
    if (events.isRestart) this.#events = noEvents;
    for (const line of events.lines) this.#event(line);
    return rows.isMore || events.isMore;
  }

  #row(line: string): void {
    const row = rowOf(line);
    if (row === null) return;
    const last = { ...this.#rows.last };
    for (const key of figureKeys) {
      const value = row[key];
      if (typeof value === "number") last[key] = value;
    }
    this.#rows = { ...this.#rows, last, step: row.global_step };
    for (const name of curveNames) {
      const value = row[curveKeys[name]];
      if (typeof value === "number") this.#rows.curves[name].add(value);
    }
  }

  #event(line: string): void {
    const event = parsed(line) as RunEvent | null;
    if (typeof event?.event !== "string") return;
    const { step, totalSteps, startedAt, last } = this.#events;
    const time = Date.parse(event.time);
    this.#events = {
      step: typeof event["step"] === "number" ? event["step"] : step,
      last: event.event === "no report" ? last : event,
      totalSteps: typeof event["total_steps"] === "number" ? event["total_steps"] : totalSteps,
      startedAt: startedAt ?? (Number.isNaN(time) ? null : time),
    };
  }

  #made(): RunFigures {
    const { last, curves } = this.#rows;
    const { totalSteps, startedAt, last: event } = this.#events;
    const step = Math.max(this.#rows.step, this.#events.step);
    const state = stateOf(this.paths, event === null ? [] : [event]);
    const { problem, ...facts } = this.#facts.value();
    const figure = (...keys: FigureKey[]): WireNumber | null => {
      const value = keys.map((key) => last[key]).find((one) => one !== undefined);
      return value === undefined ? null : wireNumber(value);
    };
    const { dir } = this.paths;
    const unread = [problem, this.#problem].find((one) => one !== "")?.replaceAll(dir, basename(dir));
    const curve = curveNames.find((name) => curves[name].points.length > 1) ?? null;
    return {
      ...{ id: this.id, folder: this.folder, ...facts, data: this.#data.value() },
      ...{
        state: state.kind,
        stateText: unread === undefined ? stateWord(state) : "cannot be read",
        message: unread ?? state.message,
      },
      ...{ step, totalSteps, startedAt, changedAt: changedAt(this.paths) },
      chosen: figure("eval_logps/chosen_delta_init"),
      rejected: figure("eval_logps/rejected_delta_init"),
      accuracy: figure("eval_logps/accuracies", "eval_accuracy"),
      baseline: this.#baseline.value(),
      loss: figure("loss"),
      curve,
      points: curve === null ? [] : curves[curve].points,
    };
  }
}

/** A line of metrics; null for one that is damaged. */
export function rowOf(line: string): MetricRow | null {
  const row = parsed(line) as Partial<MetricRow> | null;
  return typeof row?.global_step === "number" ? (row as MetricRow) : null;
}

/** A line of JSON; null for one that is damaged. */
export function parsed(line: string): unknown {
  try {
    return parseNumbers(line);
  } catch {
    return null;
  }
}

function factsOf(path: string, dir: string): Facts {
  const { config } = readRunJson(path);
  const { objective } = config.method;
  const preset = "preset" in config.method ? ` (${config.method.preset})` : "";
  const model = config.model_name_or_path.split("/").filter(Boolean).slice(-2).join("/");
  const values = Object.entries(flatConfig(config)).filter(([key]) => !ofSeed.includes(key));
  const setting = sha256(stringifyNumbers(values)).slice(0, 16);
  const name = config.run_name ?? basename(dir);
  return { name, objective: `${objective}${preset}`, model, setting, problem: "" };
}

function dataOf(path: string): string {
  return readFingerprints(path).data["rows"]?.slice(0, 8) ?? "";
}

function baselineOf(path: string): number | null {
  return lengthOnly(readJsonFile(path))?.heldOutAccuracy ?? null;
}

function changedAt({ metrics, log, runJson }: RunPaths): number {
  return Math.max(...[metrics, log, runJson].map((path) => statsOf(path)?.mtimeMs ?? 0));
}

/** What a file said when it was last changed at this time. */
interface KnownFact<T> {
  mtimeMs: number;
  value: T;
}

/** What a small file says, read again when the file changes. */
class FileFact<T> {
  readonly #path: string;
  readonly #read: (path: string) => T;
  /** Where there is no file, problem "", or it is damaged. */
  readonly #without: (problem: string) => T;
  #known: KnownFact<T> | null;
  /** What could not be read is tried again at the next start. */
  #isRead = true;

  constructor(
    path: string,
    read: (path: string) => T,
    without: (problem: string) => T,
    known: KnownFact<T> | null = null,
  ) {
    this.#path = path;
    this.#read = read;
    this.#without = without;
    this.#known = known;
  }

  /** What another start of the dashboard continues from. */
  get known(): KnownFact<T> | null {
    return this.#isRead ? this.#known : null;
  }

  value(): T {
    const stats = statsOf(this.#path);
    if (stats === null) return this.#without("");
    if (this.#known?.mtimeMs !== stats.mtimeMs)
      this.#known = { mtimeMs: stats.mtimeMs, value: this.#tried() };
    return this.#known.value;
  }

  #tried(): T {
    try {
      this.#isRead = true;
      return this.#read(this.#path);
    } catch (error) {
      this.#isRead = false;
      return this.#without(messageOf(error));
    }
  }
}
