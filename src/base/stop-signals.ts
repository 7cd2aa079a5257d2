/**
 * SIGINT, SIGTERM and SIGHUP for programs that wait more than they compute. What computes has `src/torch/signal-watch.ts`.
 * SIGHUP comes when a terminal is closed or a connection breaks; under `nohup` it is ignored (`bin/nohup.mjs`).
 */
import { constants } from "node:os";

/** Signals of a shorter time than this count as one, in milliseconds: a terminal and a launcher both pass Ctrl-C on. */
export const sameSignalMs = 1000;

/** Exit status that a shell gives a program which `signal` ended. */
export function statusAfter(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}

/** True unless the program was started with SIGHUP ignored, as `nohup` does. */
export function hangsUp(): boolean {
  return process.env["PREFTUNE_NOHUP"] !== "1";
}

/** The signals that ask a program to stop. */
function stopSignals(): readonly NodeJS.Signals[] {
  return hangsUp() ? ["SIGINT", "SIGTERM", "SIGHUP"] : ["SIGINT", "SIGTERM"];
}

let hasHeard = false;

/** Says that a signal has come which Node has not reported yet: the program is about to end by it. */
export function noteStop(): void {
  hasHeard = true;
}

/**
 * Calls `listener` at every signal that asks to stop, until disposed. After a first one signals are listened to until the
 * program ends: what a launcher passes on late must not end it in another way than it is about to end.
 */
export function listenToStopSignals(listener: NodeJS.SignalsListener): Disposable {
  const signals = stopSignals();
  const hear: NodeJS.SignalsListener = (signal) => {
    hasHeard = true;
    listener(signal);
  };
  for (const signal of signals) process.on(signal, hear);
  return {
    [Symbol.dispose]() {
      if (hasHeard) return;
      for (const signal of signals) process.off(signal, hear);
    },
  };
}

/** Ends a program that was asked to stop and has: at once, since Node would first give signals their default back. */
export function endIfStopped(): void {
  if (hasHeard) process.exit();
}

/**
 * A listener that calls `handle` with 1, 2, … and the exit status of a program that such a signal ends. It takes signals that
 * come too soon for the one before; a SIGHUP after another signal adds nothing: a terminal that closes is not impatient.
 *
 * @param now - time in milliseconds
 */
export function countedSignals(
  handle: (count: number, status: number) => void,
  now: () => number = () => performance.now(),
): NodeJS.SignalsListener {
  let count = 0;
  let heard = Number.NEGATIVE_INFINITY;
  return (signal) => {
    if (now() - heard < sameSignalMs || (signal === "SIGHUP" && count > 0)) return;
    heard = now();
    count += 1;
    handle(count, statusAfter(signal));
  };
}

/** Calls `handle` as {@link countedSignals} says, until disposed. */
export function onStopSignals(handle: (count: number, status: number) => void): Disposable {
  return listenToStopSignals(countedSignals(handle));
}
