/** SIGINT and SIGTERM for programs that wait more than they compute. What computes has `src/torch/stop-signals.ts`. */

/** Signals of a shorter time than this count as one, in milliseconds: a terminal and a launcher both pass Ctrl-C on. */
export const sameSignalMs = 1000;

/**
 * A listener that calls `handle` with 1, 2, … and takes signals that come too soon for the one before.
 *
 * @param now - time in milliseconds
 */
export function countedSignals(
  handle: (count: number) => void,
  now: () => number = () => performance.now(),
): () => void {
  let count = 0;
  let heard = Number.NEGATIVE_INFINITY;
  return () => {
    if (now() - heard < sameSignalMs) return;
    heard = now();
    count += 1;
    handle(count);
  };
}

/** Calls `handle` with 1 at the first SIGINT or SIGTERM, with 2 at the second, until disposed. */
export function onStopSignals(handle: (count: number) => void): Disposable {
  const listener = countedSignals(handle);
  process.on("SIGINT", listener).on("SIGTERM", listener);
  return {
    [Symbol.dispose]() {
      process.off("SIGINT", listener).off("SIGTERM", listener);
    },
  };
}
