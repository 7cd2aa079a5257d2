/**
 * The runs below the given directories. A run's id is made of where it lies, so that links to it last; the folders are looked
 * through again when somebody asks. What the list knows of each is kept in a file that can be deleted at any time.
 */
import { createHash } from "node:crypto";
import { type Dirent, existsSync, readdirSync, realpathSync } from "node:fs";
import { basename, join, relative, sep } from "node:path";
import { messageOf } from "../base/errors.ts";
import { isRun, runPaths } from "../runs/run-directory.ts";
import { readRunJson } from "../runs/run-json.ts";
import { LiveRun } from "./live-run.ts";
import { PageError } from "./page-error.ts";
import type { MarksFile, RunMarks } from "./run-marks.ts";
import { RunSummary, type Study, type Summary } from "./run-summary.ts";
import type { SummaryFile } from "./summary-file.ts";

/** Folders below a given one that are looked into. */
const deepest = 6;
/** Folders that hold no runs, however many they are. */
const passedOver = /^(\.|node_modules$|checkpoints$|checkpoint-)/;
/** What a study or a sweep has in its folder. */
const studyFiles = { mark: "study.json", report: "report.html" } as const;
/** Ms in which the folders are not looked through again. */
const freshMs = 2000;
/** Runs whose figures stay in memory though no page shows them. */
const mostIdle = 12;

/** What a store keeps the list in, and what hears of faults. */
export interface StoreOptions {
  /** Null: nothing is kept. */
  file: SummaryFile | null;
  /** What people have said of runs. */
  marks: MarksFile;
  /** Called when the list cannot be kept. */
  onFault: (error: unknown) => void;
}

/** The runs of one dashboard. */
export class RunStore {
  /** Real paths. */
  readonly roots: readonly string[];
  readonly #options: StoreOptions;
  readonly #summaries: Map<string, RunSummary> = new Map();
  /** Those that were asked for last come last. */
  readonly #live: Map<string, LiveRun> = new Map();
  /** Folders of studies and sweeps, by id. */
  readonly #studies: Map<string, string> = new Map();
  /** How many pages show a run. */
  readonly #shown: Map<string, number> = new Map();
  #isKept = true;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #refreshing: Promise<void> | null = null;

  constructor(roots: readonly string[], options: StoreOptions) {
    this.roots = roots.map((root) => realpathSync(root));
    this.#options = options;
  }

  /** All runs, brought up to date. */
  async list(): Promise<Summary[]> {
    await this.refresh();
    return [...this.#summaries.values()].map((run) => this.#marked(run));
  }

  /** Looks for runs and reads what is new of each; not again within two seconds. */
  async refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = null;
    });
    await this.#refreshing;
  }

  /** Where each run lies, by its id. */
  dirs(): ReadonlyMap<string, string> {
    this.#find();
    return new Map([...this.#summaries].map(([id, run]) => [id, run.paths.dir]));
  }

  /** The directory of a run. @throws {PageError} when there is none of this id */
  dirOf(id: string): string {
    return this.#summaryOf(id).paths.dir;
  }

  /** The summary of one run, brought up to date. @throws {PageError} when there is none of this id */
  summary(id: string): Summary {
    const run = this.#summaryOf(id);
    run.refresh();
    return this.#marked(run);
  }

  /** Says something of a run. @returns it as it is now @throws {PageError} when there is none of this id */
  mark(id: string, change: Partial<RunMarks>): Summary {
    const run = this.#summaryOf(id);
    this.#options.marks.change(run.paths.dir, change);
    return this.#marked(run);
  }

  /** Where the report of a study would lie; null for no study. */
  studyReport(id: string): string | null {
    this.#find();
    const dir = this.#studies.get(id);
    return dir === undefined ? null : join(dir, studyFiles.report);
  }

  /** The figures of one run, brought up to date. @throws {PageError} when there is none of this id, or it cannot be read */
  async live(id: string): Promise<LiveRun> {
    const dir = this.dirOf(id);
    const run = this.#live.get(id) ?? new LiveRun(dir);
    this.#live.delete(id);
    this.#live.set(id, run);
    this.#forgetIdle();
    try {
      await run.refresh();
    } catch (error) {
      throw new PageError(422, `The run cannot be read: ${messageOf(error).replaceAll(dir, basename(dir))}`);
    }
    return run;
  }

  /** Says that a page shows these runs, whose figures then stay in memory. @returns says that it does no longer */
  show(ids: readonly string[]): () => void {
    for (const id of ids) this.#shown.set(id, (this.#shown.get(id) ?? 0) + 1);
    return () => {
      for (const id of ids) {
        const others = (this.#shown.get(id) ?? 1) - 1;
        if (others > 0) this.#shown.set(id, others);
        else this.#shown.delete(id);
      }
      this.#forgetIdle();
    };
  }

  /** Devices of the runs that run, by directory. A run that says nothing of its device may be on any. */
  async devices(): Promise<ReadonlyMap<string, string>> {
    await this.refresh();
    const running = [...this.#summaries.values()].filter(({ figures }) => figures.state === "running");
    return new Map(running.map(({ paths }) => [paths.dir, deviceOf(paths.dir)]));
  }

  /** Says that runs have come or gone: the folders are looked through at the next question. */
  expectChange(): void {
    this.#lookedAt = Number.NEGATIVE_INFINITY;
  }

  #marked(run: RunSummary): Summary {
    const { dir } = run.paths;
    return { ...run.figures, ...this.#options.marks.of(dir), study: this.#studyOf(dir, run.folder) };
  }

  #studyOf(dir: string, folder: string): Study | null {
    const study = [...this.#studies].find(([, at]) => dir.startsWith(at + sep));
    if (study === undefined) return null;
    const [id, at] = study;
    const below = folder.split(sep).slice(0, -relative(at, dir).split(sep).length).join(sep);
    return {
      id,
      folder: below === "" ? basename(at) : below,
      hasReport: existsSync(join(at, studyFiles.report)),
    };
  }

  #summaryOf(id: string): RunSummary {
    if (!this.#summaries.has(id)) this.#find();
    const run = this.#summaries.get(id);
    if (run !== undefined && isRun(run.paths.dir)) return run;
    throw new PageError(
      404,
      "There is no such run: its folder was moved or deleted. The list of runs has those that are there.",
    );
  }

  async #refresh(): Promise<void> {
    if (performance.now() - this.#lookedAt < freshMs) return;
    this.#find();
    for (const run of this.#summaries.values()) {
      let isChanged = false;
      for (let isMore = true; isMore; ) {
        const read = run.refresh();
        isMore = read.isMore;
        isChanged ||= read.isChanged;
        // a long file is read between other work
        if (isMore) await new Promise(setImmediate);
      }
      if (isChanged) this.#keep(run);
    }
    this.#lookedAt = performance.now();
  }

  /** A list that cannot be kept, on a full disk say, is read again from the runs at the next start. */
  #keep(run: RunSummary): void {
    try {
      this.#options.file?.save(run.paths.dir, run.saved);
      this.#isKept = true;
    } catch (error) {
      if (this.#isKept) this.#options.onFault(error);
      this.#isKept = false;
    }
  }

  #forgetIdle(): void {
    const idle = [...this.#live.keys()].filter((id) => !this.#shown.has(id));
    for (const id of idle.slice(0, -mostIdle)) this.#live.delete(id);
  }

  /** The runs at and below `dir`. Links are not followed: what lies elsewhere is given by itself. */
  #runsBelow(dir: string, depth = 0): string[] {
    if (isRun(dir)) return [dir];
    if (existsSync(join(dir, studyFiles.mark))) this.#studies.set(idOf(dir), dir);
    if (depth >= deepest) return [];
    return foldersIn(dir).flatMap((name) => this.#runsBelow(join(dir, name), depth + 1));
  }

  /** Makes the runs those that are on disk. */
  #find(): void {
    const found = new Map<string, { dir: string; folder: string }>();
    this.#studies.clear();
    for (const root of this.roots) {
      for (const dir of this.#runsBelow(root)) {
        // two given directories may have runs in folders of one name
        const below = relative(root, dir);
        const folder = this.roots.length === 1 ? below : join(basename(root), below);
        found.set(idOf(dir), { dir, folder });
      }
    }
    for (const id of this.#summaries.keys()) if (!found.has(id)) this.#summaries.delete(id);
    for (const [id, place] of found) {
      if (this.#summaries.has(id)) continue;
      this.#summaries.set(id, new RunSummary({ id, ...place }, this.#options.file?.saved(place.dir) ?? null));
    }
  }
}

function deviceOf(dir: string): string {
  try {
    return readRunJson(runPaths(dir).runJson).config.device;
  } catch {
    return "auto";
  }
}

/** A name for the run at `dir` that tells nothing of the path. */
export function idOf(dir: string): string {
  return createHash("sha256").update(dir).digest("base64url").slice(0, 12);
}

function foldersIn(dir: string): string[] {
  return entriesIn(dir)
    .filter((entry) => entry.isDirectory() && !passedOver.test(entry.name))
    .map(({ name }) => name);
}

/** Folders with a file `name`: `dir` and those up to `depth` below it; links are not followed. */
export function foldersWith(name: string, dir: string, depth: number): string[] {
  const entries = entriesIn(dir);
  const own = entries.some((entry) => entry.isFile() && entry.name === name);
  const folders =
    depth > 0 ? entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith(".")) : [];
  return [
    ...(own ? [dir] : []),
    ...folders.flatMap((folder) => foldersWith(name, join(dir, folder.name), depth - 1)),
  ];
}

/** What is in a folder; nothing where it cannot be read. */
function entriesIn(dir: string): Dirent[] {
  try {
    return readdirSync(dir, { withFileTypes: true });
  } catch {
    // one that may not be read, or has gone since
    return [];
  }
}
