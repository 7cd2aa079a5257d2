/** A worker thread that draws random numbers without a seed until it is ended. See `drawInWorker`. */
import { once } from "node:events";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { ops, scope } from "../../src/torch/index.ts";

/** A worker that draws, ended by force when `await using` ends; it has begun. */
export async function drawInWorker(): Promise<AsyncDisposable> {
  const worker = new Worker(new URL(import.meta.url));
  await once(worker, "message");
  return {
    [Symbol.asyncDispose]: async () => {
      await worker.terminate();
    },
  };
}

if (!isMainThread && parentPort !== null) {
  using _ = scope();
  const drawn = ops.zeros([16], { dtype: "float32" });
  parentPort.postMessage("begun");
  for (;;) ops.uniform_(drawn, 0, 1);
}
