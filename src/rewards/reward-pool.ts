/** Worker processes that share the calls of reward functions. */
import type { RewardFile } from "./reward-messages.ts";
import { type CallEnd, type RewardCall, RewardWorker, type WorkerOptions } from "./reward-worker.ts";

interface Waiting {
  signal: AbortSignal | undefined;
  resolve: (worker: RewardWorker | null) => void;
}

/** At most `size` worker processes, started as they are needed; one that a call ended is replaced. */
export class RewardPool {
  readonly #options: WorkerOptions;
  /** Workers without a call; null: a process that may be started. */
  readonly #free: (RewardWorker | null)[];
  readonly #all: Set<RewardWorker> = new Set();
  readonly #closed: AbortController = new AbortController();
  #waiting: Waiting[] = [];

  constructor(size: number, options: WorkerOptions) {
    this.#options = options;
    this.#free = Array.from({ length: size }, () => null);
  }

  /**
   * Starts the first process: the files of each function.
   *
   * @throws {RewardError} if a function cannot be loaded
   */
  async load(signal?: AbortSignal): Promise<readonly (readonly RewardFile[])[]> {
    const worker = this.#worker();
    const files = await worker.load(this.#signalOf(signal));
    this.#free.splice(this.#free.indexOf(null), 1, worker);
    return files;
  }

  /**
   * How a call ended, in whichever process is free first; calls begin in the order in which they come.
   *
   * @throws {RewardError} if a process that has to be started cannot load the functions
   * @throws `signal.reason` when that is aborted: what runs for it is killed at once
   */
  async call(call: RewardCall, signal?: AbortSignal): Promise<CallEnd> {
    const whole = this.#signalOf(signal);
    let worker = await this.#take(whole);
    try {
      whole.throwIfAborted();
      if (worker === null || worker.isGone) {
        worker = this.#worker();
        await worker.load(whole);
      }
      return await worker.call(call, whole);
    } finally {
      this.#give(worker);
    }
  }

  /** Ends all processes; calls under way fail. */
  async close(): Promise<void> {
    this.#closed.abort(new Error("the reward functions were closed"));
    await Promise.all([...this.#all].map((worker) => worker.kill()));
    this.#all.clear();
  }

  #worker(): RewardWorker {
    for (const each of this.#all) if (each.isGone) this.#all.delete(each);
    const worker = new RewardWorker(this.#options);
    this.#all.add(worker);
    return worker;
  }

  #signalOf(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined ? this.#closed.signal : AbortSignal.any([signal, this.#closed.signal]);
  }

  #take(signal: AbortSignal): Promise<RewardWorker | null> {
    if (this.#free.length > 0) {
      // a process that runs comes before one that would have to be started
      const running = this.#free.findIndex((worker) => worker !== null && !worker.isGone);
      const [worker = null] = this.#free.splice(Math.max(0, running), 1);
      return Promise.resolve(worker);
    }
    const { promise, resolve, reject } = Promise.withResolvers<RewardWorker | null>();
    const waiting: Waiting = { signal, resolve };
    const onAbort = (): void => {
      this.#waiting = this.#waiting.filter((each) => each !== waiting);
      reject(signal.reason);
    };
    if (signal.aborted) return Promise.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#waiting.push(waiting);
    return promise.finally(() => signal.removeEventListener("abort", onAbort));
  }

  #give(worker: RewardWorker | null): void {
    const next = this.#waiting.shift();
    if (next !== undefined) next.resolve(worker);
    else this.#free.push(worker);
  }
}
