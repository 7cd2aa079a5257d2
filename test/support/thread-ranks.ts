/**
 * Ranks as threads of one process, for tests of what ranks do together without tensors. Each has its own modules: a fault armed
 * in one is not there in the others.
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { LostRankError } from "../../src/base/errors.ts";
import type { Together } from "../../src/base/ranks.ts";

/** What a rank does: the export `onRank` of a module. */
export type RankWork<Data, Result> = (ranks: Together, data: Data) => Result | Promise<Result>;

const slotBytes = 65_536;
const headBytes = 8;
/** A rank that waits longer for the others fails. */
const patienceMs = 60_000;

interface Start {
  rank: number;
  size: number;
  memory: SharedArrayBuffer;
  module: string;
  data: unknown;
}

/** Runs `onRank` of `module`, a URL, on `size` ranks: what each gave. */
export function onThreads<Data, Result>(size: number, module: string, data: Data): Promise<Result[]> {
  const memory = new SharedArrayBuffer(headBytes + size * slotBytes);
  const ranks = Array.from({ length: size }, (_, rank) => {
    const worker = new Worker(new URL(import.meta.url), {
      workerData: { rank, size, memory, module, data } satisfies Start,
    });
    return new Promise<Result>((done, fail) => worker.once("message", done).once("error", fail));
  });
  return Promise.all(ranks);
}

class ThreadRanks implements Together {
  readonly rank: number;
  readonly size: number;
  readonly #counters: Int32Array;
  readonly #memory: SharedArrayBuffer;

  constructor({ rank, size, memory }: Start) {
    this.rank = rank;
    this.size = size;
    this.#memory = memory;
    this.#counters = new Int32Array(memory, 0, 2);
  }

  gather<T>(value: T): T[] {
    const text = Buffer.from(JSON.stringify(value));
    const own = this.#slot(this.rank);
    own.writeUInt32LE(text.length, 0);
    text.copy(own, 4);
    this.#wait();
    const all = Array.from({ length: this.size }, (_, rank) => {
      const slot = this.#slot(rank);
      return JSON.parse(slot.subarray(4, 4 + slot.readUInt32LE(0)).toString()) as T;
    });
    this.#wait();
    return all;
  }

  #slot(rank: number): Buffer {
    return Buffer.from(this.#memory, headBytes + rank * slotBytes, slotBytes);
  }

  /** Until all ranks are here. */
  #wait(): void {
    const round = Atomics.load(this.#counters, 1);
    if (Atomics.add(this.#counters, 0, 1) === this.size - 1) {
      Atomics.store(this.#counters, 0, 0);
      Atomics.add(this.#counters, 1, 1);
      Atomics.notify(this.#counters, 1);
    } else if (Atomics.wait(this.#counters, 1, round, patienceMs) === "timed-out") {
      throw new LostRankError("a thread did not come");
    }
  }
}

if (!isMainThread && (workerData as Partial<Start> | null)?.module !== undefined) {
  const start = workerData as Start;
  const { onRank } = (await import(start.module)) as { onRank: RankWork<unknown, unknown> };
  parentPort?.postMessage(await onRank(new ThreadRanks(start), start.data));
}
