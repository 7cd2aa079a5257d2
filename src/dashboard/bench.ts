/** The workbench that a dashboard shows: its labels are opened when somebody first asks for them. */
import { join } from "node:path";
import type { LabelStore } from "../workbench/label-store.ts";
import { isWorkbench, makeWorkbench } from "../workbench/workbench-dir.ts";

/** Folder of the workbench in the first directory, unless another is given. */
const usualFolder = "workbench";

/** A workbench's directory with its labels. */
export class Bench {
  readonly dir: string;
  #store: LabelStore | null = null;

  constructor(dir: string) {
    this.dir = dir;
  }

  /** The one in `root`. */
  static in(root: string): Bench {
    return new Bench(join(root, usualFolder));
  }

  /** Whether there is anything to read. */
  get exists(): boolean {
    return this.#store !== null || isWorkbench(this.dir);
  }

  /** The labels, made where there are none. */
  get store(): LabelStore {
    this.#store ??= makeWorkbench(this.dir);
    return this.#store;
  }

  close(): void {
    this.#store?.close();
    this.#store = null;
  }
}
