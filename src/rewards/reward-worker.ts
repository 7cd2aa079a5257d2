/** A worker process that holds all reward functions of a run and answers one call at a time. */
import { type Child, forkChild, programBeside } from "../process/child.ts";
import { RewardError } from "./reward-error.ts";
import type { RewardInput } from "./reward-function.ts";
import type { FunctionToLoad, RewardCommand, RewardFile, RewardMessage } from "./reward-messages.ts";

/** A module that loads for longer than this is given up. */
const loadSeconds = 60;

/** A call of one function. */
export interface RewardCall {
  /** The function's place among those of the run. */
  index: number;
  input: RewardInput;
}

/** How a call ended. After `timeout` and `ended` the process is gone. */
export type CallEnd = (
  | { type: "values"; values: readonly (number | null)[] }
  | { type: "invalid"; problem: string; at: number | null }
  | { type: "threw"; message: string }
  | { type: "timeout" }
  | { type: "ended"; how: string }
) & { seconds: number };

/** Calls `onLimit` when the time of a call is over, unless the returned function is called before: from when it is given to its process, and anew from its beginning. */
export type CallTimer = (call: RewardCall, onLimit: () => void) => () => void;

/** What a worker is started with. */
export interface WorkerOptions {
  functions: readonly FunctionToLoad[];
  timer: CallTimer;
  /** What the functions write, whole lines in general. */
  onOutput: (text: string) => void;
}

type Heard = Exclude<RewardMessage, { type: "output" }> | { type: "ended"; how: string };

/** One process. It is good for calls until {@link isGone}. */
export class RewardWorker {
  isGone = false;
  readonly #child: Child;
  readonly #options: WorkerOptions;
  #onHeard: (message: Heard) => void = () => {};
  /** What the functions wrote last. */
  #written = "";

  constructor(options: WorkerOptions) {
    this.#options = options;
    const { onOutput } = options;
    this.#child = forkChild(
      programBeside(import.meta, "reward-child"),
      {
        onMessage: (message) => this.#hear(message as RewardMessage),
        // what does not pass through the process's own streams: a crash of Node, what a child of it writes
        onStderr: onOutput,
        onEnd: (how) => {
          this.isGone = true;
          this.#onHeard({ type: "ended", how });
        },
      },
      { silent: true },
    );
    this.#child.process.stdout?.setEncoding("utf8").on("data", onOutput);
  }

  /**
   * Loads the functions: the files of each.
   *
   * @throws {RewardError} if one cannot be loaded
   * @throws `signal.reason` when that is aborted; the process is gone then
   */
  async load(signal: AbortSignal | undefined): Promise<readonly (readonly RewardFile[])[]> {
    const { functions } = this.#options;
    const timeout = AbortSignal.timeout(1000 * loadSeconds);
    const files = names(functions);
    try {
      const heard = await this.#ask(
        { type: "load", functions },
        signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
        ({ type }) => type !== "began",
      );
      if (heard.type === "loaded") return heard.files;
      if (heard.type === "refused") throw new RewardError(heard.message);
      const how = heard.type === "ended" ? heard.how : heard.type;
      throw new RewardError(
        `${files}: the process that loads the reward functions ended ${how}.${lastLine(this.#written || this.#child.written)} Loading a file must not end the process.`,
      );
    } catch (error) {
      await this.kill();
      if (signal?.aborted !== true && timeout.aborted) {
        throw new RewardError(
          `${files}: loading took longer than ${loadSeconds} s. Move what takes so long into the function.`,
        );
      }
      throw error;
    }
  }

  /**
   * Calls a function. One call at a time.
   *
   * @throws `signal.reason` when that is aborted; the process is gone then
   */
  async call(call: RewardCall, signal: AbortSignal | undefined): Promise<CallEnd> {
    let beganAt = performance.now();
    const limit = new AbortController();
    const start = () => this.#options.timer(call, () => limit.abort());
    // what an earlier call left running may keep this one from beginning
    let cancel = start();
    const signals = signal === undefined ? limit.signal : AbortSignal.any([signal, limit.signal]);
    try {
      const heard = await this.#ask({ type: "call", ...call }, signals, ({ type }) => {
        if (type !== "began") return true;
        beganAt = performance.now();
        cancel();
        cancel = start();
        return false;
      });
      return { ...(heard as Extract<Heard, { type: CallEnd["type"] }>), seconds: secondsSince(beganAt) };
    } catch (error) {
      if (!limit.signal.aborted || signal?.aborted === true) throw error;
      return { type: "timeout", seconds: secondsSince(beganAt) };
    } finally {
      cancel();
    }
  }

  /** Ends the process. */
  async kill(): Promise<void> {
    this.isGone = true;
    await this.#child.kill();
  }

  #hear(message: RewardMessage): void {
    if (message.type !== "output") this.#onHeard(message);
    else {
      this.#written = message.text;
      this.#options.onOutput(message.text);
    }
  }

  /** The first message after `command` that `isAnswer`; an abort kills the process. */
  #ask(command: RewardCommand, signal: AbortSignal, isAnswer: (heard: Heard) => boolean): Promise<Heard> {
    const { promise, resolve, reject } = Promise.withResolvers<Heard>();
    const onAbort = (): void => {
      void this.kill();
      reject(signal.reason);
    };
    this.#onHeard = (heard) => {
      if (isAnswer(heard)) resolve(heard);
    };
    // an idle process keeps nothing alive
    this.#child.holdEventLoop(true);
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    else if (this.isGone) resolve({ type: "ended", how: "before the call" });
    else this.#child.send(command);
    return promise.finally(() => {
      signal.removeEventListener("abort", onAbort);
      this.#onHeard = () => {};
      if (!this.isGone) this.#child.holdEventLoop(false);
    });
  }
}

function names(functions: readonly FunctionToLoad[]): string {
  return functions.map(({ name }) => name).join(", ");
}

/** What a process wrote last, as a sentence. */
function lastLine(written: string): string {
  const line = written.trim().split("\n").at(-1) ?? "";
  return line === "" ? "" : ` It wrote: ${line.slice(0, 300)}`;
}

function secondsSince(start: number): number {
  return (performance.now() - start) / 1000;
}
