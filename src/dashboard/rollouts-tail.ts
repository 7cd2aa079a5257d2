/** What a run's page shows of its rollouts, kept up to date: each rollout is unpacked once, whatever the file has grown to. */
import { readRange, statsOf } from "../base/open-file.ts";
import { TrainedOn } from "../report/rollouts-section.ts";
import { rolloutsAt } from "../runs/rollouts.ts";

/** Bytes before the cursor that are looked at again. */
const rememberedBytes = 256;

/** A cursor into the file at `path`, which need not exist yet. A resumed run cuts it: then it is read again from its beginning. */
export class RolloutsTail {
  readonly #path: string;
  #shown = new TrainedOn();
  #offset = 0;
  #before: Buffer = Buffer.alloc(0);

  constructor(path: string) {
    this.#path = path;
  }

  /** The section of the page; "" where nothing was sampled. @throws {FormatError} where the file is damaged */
  async html(): Promise<string> {
    if (!this.#isWhereItWas()) this.#start();
    while (this.#next()) await new Promise(setImmediate);
    return this.#shown.html().text;
  }

  /** Takes one rollout. @returns false where there is no more */
  #next(): boolean {
    const read = statsOf(this.#path) === null ? null : rolloutsAt(this.#path, this.#offset);
    if (read === null) return false;
    for (const row of read.rows) this.#shown.add(row);
    this.#offset = read.end;
    this.#before = readRange(this.#path, Math.max(0, read.end - rememberedBytes), read.end);
    return true;
  }

  #isWhereItWas(): boolean {
    if (this.#offset === 0) return true;
    if ((statsOf(this.#path)?.size ?? 0) < this.#offset) return false;
    return readRange(this.#path, this.#offset - this.#before.length, this.#offset).equals(this.#before);
  }

  #start(): void {
    this.#shown = new TrainedOn();
    this.#offset = 0;
    this.#before = Buffer.alloc(0);
  }
}
