/** Ctrl-C during commands that leave at once: no file stays half-written. */
import { setImmediate } from "node:timers/promises";
import { PreftuneError } from "../base/errors.ts";
import { io } from "../base/file-io.ts";
import { onStopSignals, statusAfter } from "../base/stop-signals.ts";
import type { StopSignals } from "../torch/index.ts";

let finishesFirst = false;

/** From here on a signal waits until the files that are about to be written together are complete. */
export function finishFirst(): void {
  if (finishesFirst) return;
  finishesFirst = true;
  onStopSignals((_, status) => process.exit(status));
}

/** Work was interrupted by a signal. What it had half-written is removed as after any other error. */
class CutOffError extends PreftuneError {}

/**
 * Does `work`, which calls `check`: as a long writing begins, and before what was written is put in place. A
 * signal before it leaves at once; one after it ends the writing within a tensor, and what was written is removed.
 */
export async function leavingNothing<T>(
  stop: StopSignals,
  work: (check: () => void) => Promise<T>,
): Promise<T> {
  const { writeSync } = io;
  const check = (): void => {
    stop.say("stopping: what is half-written is removed; again to leave at once");
    if (stop.signal.aborted) throw new CutOffError("stopped; nothing is left of what was being written.");
    io.writeSync = (...args) => {
      io.writeSync = writeSync;
      check();
      return writeSync(...args);
    };
  };
  stop.leave("stopped: nothing was written");
  try {
    return await work(check);
  } catch (error) {
    if (!(error instanceof CutOffError)) throw error;
    process.stderr.write(`preftune: ${error.message}\n`);
    // Node tells which signal it was once the event loop turns
    while (stop.heard === null) await setImmediate();
    return process.exit(statusAfter(stop.heard));
  } finally {
    io.writeSync = writeSync;
  }
}
