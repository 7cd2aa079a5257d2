/**
 * A worker thread that trains: configured by `workerData`, it posts each step and, at the end, how many tensors are left. See
 * `trainInWorker`.
 */
import { once } from "node:events";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { hostBytes, liveTensorCount } from "../../src/torch/index.ts";
import { losses, runTraining, type Values } from "./runs.ts";

/** What a worker says. */
type Word = { type: "step"; step: number } | { type: "end"; losses: number[]; live: number; bytes: number };

/** A training in a worker thread, which is ended by force when `await using` ends. */
export interface TrainingWorker extends AsyncDisposable {
  worker: Worker;
  /** Resolves when the worker has done so many steps. */
  reached(step: number): Promise<void>;
  /** Resolves when it has ended by itself; fails with what it failed with. */
  ended: Promise<Extract<Word, { type: "end" }>>;
}

/** Trains with `values` in a worker thread. */
export function trainInWorker(values: Values): TrainingWorker {
  const worker = new Worker(new URL(import.meta.url), { workerData: values });
  const words: Word[] = [];
  worker.on("message", (word: Word) => words.push(word));
  const ended = once(worker, "exit").then(() => {
    const last = words.at(-1);
    if (last?.type !== "end") throw new Error(`the worker ended after ${words.length} steps`);
    return last;
  });
  ended.catch(() => {});
  return {
    worker,
    reached: async (step) => {
      while (!words.some((word) => word.type === "step" && word.step >= step)) await once(worker, "message");
    },
    ended,
    [Symbol.asyncDispose]: async () => {
      await worker.terminate();
    },
  };
}

if (!isMainThread && parentPort !== null) {
  const port = parentPort;
  const record = await runTraining(workerData as Values, {
    onEvent: (event) => {
      if (event.type === "step") port.postMessage({ type: "step", step: event.step });
    },
  });
  const word: Word = { type: "end", losses: losses(record), live: liveTensorCount(), bytes: hostBytes() };
  port.postMessage(word);
}
