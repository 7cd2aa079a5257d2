/** What a person has said of runs: tags, put away, the baseline. One file in the dashboard's own folder, beside the runs. */
import { join, relative } from "node:path";
import { z } from "zod";
import { ConfigError, type FormatError } from "../base/errors.ts";
import { readJsonFile, writeFileAtomic } from "../base/files.ts";
import { statsOf } from "../base/open-file.ts";

/** What was said of a run. */
export interface RunMarks {
  tags: readonly string[];
  /** The list shows it only where that is asked for; its files are untouched. */
  isArchived: boolean;
  /** Others are compared with it; one run is at most. */
  isBaseline: boolean;
}

/** Most tags of a run, and the longest one. */
export const tagLimits = { count: 10, length: 30 } as const;

const fileForm = z.strictObject({
  version: z.literal(1),
  /** Runs by their folders as they lie from the first given one. */
  baseline: z.string().nullable(),
  runs: z.array(z.strictObject({ folder: z.string(), tags: z.array(z.string()), isArchived: z.boolean() })),
});
type Saved = z.infer<typeof fileForm>;

const none: Saved = { version: 1, baseline: null, runs: [] };

/** The marks of the runs of a dashboard. */
export class MarksFile {
  readonly path: string;
  readonly #root: string;
  #known: { stamp: string; saved: Saved; problem: string } = { stamp: "", saved: none, problem: "" };

  /** @param root - real path of the first given directory */
  constructor(stateDir: string, root: string) {
    this.path = join(stateDir, "marks.json");
    this.#root = root;
  }

  /** The marks of the run at `dir`; none where the file is damaged, which {@link change} says. */
  of(dir: string): RunMarks {
    const { runs, baseline } = this.#read().saved;
    const key = this.#keyOf(dir);
    const own = runs.find(({ folder }) => folder === key);
    return {
      tags: own?.tags ?? [],
      isArchived: own?.isArchived ?? false,
      isBaseline: baseline === key,
    };
  }

  /**
   * Changes what is given of the marks of the run at `dir`. One that is put away is the baseline no longer.
   *
   * @throws {ConfigError} when the file is damaged: it is left as it is
   */
  change(dir: string, change: Partial<RunMarks>): RunMarks {
    const { saved, problem } = this.#read();
    if (problem !== "") throw new ConfigError(problem);
    const before = this.of(dir);
    const { tags, isArchived } = { ...before, ...change };
    const isBaseline = change.isArchived !== true && (change.isBaseline ?? before.isBaseline);
    const key = this.#keyOf(dir);
    const others = saved.runs.filter(({ folder }) => folder !== key);
    const own = tags.length === 0 && !isArchived ? [] : [{ folder: key, tags: [...tags], isArchived }];
    const left = saved.baseline === key ? null : saved.baseline;
    const next: Saved = { version: 1, baseline: isBaseline ? key : left, runs: [...others, ...own] };
    writeFileAtomic(this.path, `${JSON.stringify(next, null, 2)}\n`);
    return this.of(dir);
  }

  #keyOf(dir: string): string {
    return relative(this.#root, dir);
  }

  /** What is in the file, read again when it is another: a second dashboard sees what the first one writes. */
  #read(): { saved: Saved; problem: string } {
    const stats = statsOf(this.path);
    const stamp = stats === null ? "" : `${stats.ino} ${stats.size} ${stats.mtimeMs}`;
    if (stamp !== this.#known.stamp) this.#known = { stamp, ...this.#tried(stats !== null) };
    return this.#known;
  }

  #tried(isThere: boolean): { saved: Saved; problem: string } {
    try {
      return { saved: isThere ? fileForm.parse(readJsonFile(this.path)) : none, problem: "" };
    } catch (error) {
      const why =
        error instanceof z.ZodError ? z.prettifyError(error) : String((error as FormatError).message);
      const remedy =
        "Tags, what was put away and the baseline are in it: correct it, or delete it to begin again.";
      return { saved: none, problem: `marks.json of the dashboard cannot be read (${why}). ${remedy}` };
    }
  }
}
