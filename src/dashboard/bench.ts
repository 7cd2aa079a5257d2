/** The workbench that a dashboard shows: its labels are opened when somebody first asks for them. */
import { join } from "node:path";
import { statsOf } from "../base/open-file.ts";
import type { LabelStore } from "../workbench/label-store.ts";
import { isWorkbench, makeWorkbench } from "../workbench/workbench-dir.ts";
import { PageError } from "./page-error.ts";

/** Folder of the workbench in the first directory, unless another is given. */
const usualFolder = "workbench";

/** Labels that are open, and the file that they are in. */
interface OpenLabels {
  store: LabelStore;
  file: string | null;
}

/**
 * A workbench's directory with its labels. SQLite continues to write into a file that was deleted or moved, where nobody will find
 * what it holds: each use looks whether the file is still the one at its path.
 */
export class Bench {
  readonly dir: string;
  #open: OpenLabels | null = null;
  /** Whether labels were open and are gone: none are made in their place. */
  #isLost = false;

  constructor(dir: string) {
    this.dir = dir;
  }

  /** The one in `root`. */
  static in(root: string): Bench {
    return new Bench(join(root, usualFolder));
  }

  /** Whether there is anything to read. */
  get exists(): boolean {
    return isWorkbench(this.dir);
  }

  /** The labels, made where there never were any. @throws {PageError} where they were moved or deleted while they were open */
  get store(): LabelStore {
    if (this.#open !== null && fileAt(this.#open.store.path) !== this.#open.file) {
      this.close();
      this.#isLost = true;
    }
    if (this.#isLost && !this.exists)
      throw new PageError(
        409,
        "The workbench was moved or deleted while the dashboard had it open: nothing is kept. Put it back or import other pairs (preftune labels import), then reload the page; for an empty one restart the dashboard.",
      );
    this.#open ??= opened(this.dir);
    return this.#open.store;
  }

  close(): void {
    this.#open?.store.close();
    this.#open = null;
  }
}

function opened(dir: string): OpenLabels {
  const store = makeWorkbench(dir);
  return { store, file: fileAt(store.path) };
}

/** Which file is at `path`; null: none. */
function fileAt(path: string): string | null {
  const stats = statsOf(path);
  return stats === null ? null : `${stats.dev} ${stats.ino}`;
}
