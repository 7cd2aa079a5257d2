/**
 * The runs below the given directories. A run's id is made of where it lies, so that links to it last; the folders are looked
 * through again when somebody asks. What the list knows of each is kept in a file that can be deleted at any time.
 */
import { createHash } from "node:crypto";
import { readdirSync, realpathSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { isRun } from "../runs/run-directory.ts";
import { LiveRun } from "./live-run.ts";
import { PageError } from "./page-error.ts";
import { RunSummary, type Summary } from "./run-summary.ts";
import type { SummaryFile } from "./summary-file.ts";

/** Folders below a given one that are looked into. */
const deepest = 6;
/** Folders that hold no runs, however many they are. */
const passedOver = /^(\.|node_modules$|checkpoints$|checkpoint-)/;
/** Ms in which the folders are not looked through again. */
const freshMs = 2000;
/** Runs whose figures are held in memory. */
const mostLive = 12;

/** The runs of one dashboard. */
export class RunStore {
  /** Real paths. */
  readonly roots: readonly string[];
  readonly #file: SummaryFile | null;
  readonly #summaries: Map<string, RunSummary> = new Map();
  readonly #live: Map<string, LiveRun> = new Map();
  #lookedAt = Number.NEGATIVE_INFINITY;
  #refreshing: Promise<void> | null = null;

  constructor(roots: readonly string[], file: SummaryFile | null) {
    this.roots = roots.map((root) => realpathSync(root));
    this.#file = file;
  }

  /** All runs, brought up to date. */
  async list(): Promise<Summary[]> {
    await this.refresh();
    return [...this.#summaries.values()].map(({ summary }) => summary);
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
    return run.summary;
  }

  /** The figures of one run. @throws {PageError} when there is none of this id */
  live(id: string): LiveRun {
    const dir = this.dirOf(id);
    const run = this.#live.get(id) ?? new LiveRun(dir);
    this.#live.delete(id);
    this.#live.set(id, run);
    const [oldest] = this.#live.keys();
    if (this.#live.size > mostLive && oldest !== undefined) this.#live.delete(oldest);
    return run;
  }

  /** Says that runs have come or gone: the folders are looked through at the next question. */
  expectChange(): void {
    this.#lookedAt = Number.NEGATIVE_INFINITY;
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
      if (isChanged) this.#file?.save(run.paths.dir, run.saved);
    }
    this.#lookedAt = performance.now();
  }

  /** Makes the runs those that are on disk. */
  #find(): void {
    const found = new Map<string, { dir: string; folder: string }>();
    for (const root of this.roots) {
      for (const dir of runsBelow(root)) {
        // two given directories may have runs in folders of one name
        const below = relative(root, dir);
        const folder = this.roots.length === 1 ? below : join(basename(root), below);
        found.set(idOf(dir), { dir, folder });
      }
    }
    for (const id of this.#summaries.keys()) if (!found.has(id)) this.#summaries.delete(id);
    for (const [id, place] of found) {
      if (this.#summaries.has(id)) continue;
      this.#summaries.set(id, new RunSummary({ id, ...place }, this.#file?.saved(place.dir) ?? null));
    }
  }
}

/** A name for the run at `dir` that tells nothing of the path. */
export function idOf(dir: string): string {
  return createHash("sha256").update(dir).digest("base64url").slice(0, 12);
}

/** The runs at and below `dir`. Links are not followed: what lies elsewhere is given by itself. */
function runsBelow(dir: string, depth = 0): string[] {
  if (isRun(dir)) return [dir];
  if (depth >= deepest) return [];
  return foldersIn(dir).flatMap((name) => runsBelow(join(dir, name), depth + 1));
}

function foldersIn(dir: string): string[] {
  try {
    return readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !passedOver.test(entry.name))
      .map(({ name }) => name);
  } catch {
    // one that may not be read, or has gone since
    return [];
  }
}
