/** What a run's page shows of its rollouts, kept up to date: each rollout is unpacked once, whatever the file has grown to. */
import { readRange, statsOf } from "../base/open-file.ts";
import { TrainedOn } from "../report/rollouts-section.ts";
import { rolloutsAt } from "../runs/rollouts.ts";
import { FileCursor, rememberedBytes } from "./file-cursor.ts";

/** A cursor into the file at `path`, which need not exist yet. A resumed run cuts it: then it is read again from its beginning. */
export class RolloutsTail {
  readonly #path: string;
  #shown = new TrainedOn();
  #cursor = new FileCursor();

  constructor(path: string) {
    this.#path = path;
  }

  /** The section of the page; "" where nothing was sampled. @throws {FormatError} where the file is damaged */
  async html(): Promise<string> {
    const size = statsOf(this.#path)?.size ?? 0;
    if (!this.#cursor.isIn(size, (from, to) => readRange(this.#path, from, to))) {
      this.#shown = new TrainedOn();
      this.#cursor = new FileCursor();
    }
    while (this.#next()) await new Promise(setImmediate);
    return this.#shown.html().text;
  }

  /** Takes one rollout. @returns false where there is no more */
  #next(): boolean {
    const read = statsOf(this.#path) === null ? null : rolloutsAt(this.#path, this.#cursor.offset);
    if (read === null) return false;
    for (const row of read.rows) this.#shown.add(row);
    this.#cursor.moveTo(read.end, readRange(this.#path, Math.max(0, read.end - rememberedBytes), read.end));
    return true;
  }
}
