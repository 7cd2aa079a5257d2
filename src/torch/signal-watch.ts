/** SIGINT, SIGTERM and SIGHUP heard while a step computes, which Node itself hears only after it (native/interrupt.h). */
import { isMainThread } from "node:worker_threads";
import { hangsUp, listenToStopSignals, noteStop, sameSignalMs } from "../base/stop-signals.ts";
import { guarded, native } from "./native.ts";

/**
 * What the first signal does, said before it comes. A second SIGINT or SIGTERM always ends the process, with the status that a
 * shell gives a program that the signal ended.
 */
export interface StopSignals extends Disposable {
  /** Aborted by the first signal: once the event loop turns, or when the next text is set. */
  readonly signal: AbortSignal;
  /** The first signal, once the event loop has turned. */
  readonly heard: NodeJS.Signals | null;
  /**
   * The first signal writes `text` to standard error, at once (an empty one: nothing), and the work goes on until it sees {@link signal}. Set before
   * `signal` is looked at and the work that `text` tells of begins, no signal can say one thing and have another done.
   */
  say(text: string): void;
  /** The first signal writes `text` and ends the process, with the status of a program that the signal ended. */
  leave(text: string): void;
}

/**
 * Watches the signals that ask to stop, until disposed; in a worker thread it hears none.
 *
 * @param windowMs - signals that follow the first sooner than this are part of it
 */
export function watchStopSignals(windowMs: number = sameSignalMs): StopSignals {
  const controller = new AbortController();
  // signals are the main thread's
  if (!isMainThread) {
    return {
      signal: controller.signal,
      heard: null,
      say: () => {},
      leave: () => {},
      [Symbol.dispose]: () => {},
    };
  }
  let heard: NodeJS.Signals | null = null;
  const abort = (): void => {
    noteStop();
    controller.abort();
  };
  // Node's handler first: the addon's comes before it and passes the signal on
  const listening = listenToStopSignals((signal) => {
    heard ??= signal;
    abort();
  });
  guarded(() => native.watchSignals(windowMs, hangsUp()));
  const notice = (text: string, leaves: boolean): void => {
    // a signal since the event loop last turned: Node has not told of it yet
    if (native.setStopNotice(text === "" ? "" : `\n${text}\n`, leaves)) abort();
  };
  return {
    signal: controller.signal,
    get heard() {
      return heard;
    },
    say: (text) => notice(text, false),
    leave: (text) => notice(text, true),
    [Symbol.dispose]() {
      native.unwatchSignals();
      listening[Symbol.dispose]();
    },
  };
}
