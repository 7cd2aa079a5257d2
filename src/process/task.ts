/** Runs one task in a separate process: it frees its memory when it ends, and a crash ends nothing else. */
import { forkChild } from "./child.ts";
import { ChildFailure, type Failure, failureOf } from "./failure.ts";

/** What the process of a task sends: events, then how it ended. */
type TaskMessage =
  | { type: "event"; event: unknown }
  | { type: "result"; result: unknown }
  | { type: "failed"; failure: Failure };

/** How a task is run. */
export interface TaskOptions<E> {
  /** Program that calls {@link serveTask}. */
  program: string;
  onEvent?: (event: E) => void;
  /** What it writes is not shown; of standard error the last is in the message where it dies. Default: it is shown. */
  isSilent?: boolean;
  signal?: AbortSignal | undefined;
  /** What an abort does: the process is killed, or the signal of its task aborted. */
  onAbort: "kill" | "stop";
}

/** Characters of a silent process's standard error that the message has when it dies. */
const lastWords = 400;

/**
 * The result of `task`, which is plain data.
 *
 * @throws {ChildFailure} if the task fails, `kind` being the error's class; if the process dies, without `kind`
 */
export function runTask<R, E = never>(task: object, options: TaskOptions<E>): Promise<R> {
  const { program, onEvent, isSilent = false, signal, onAbort } = options;
  const { promise, resolve, reject } = Promise.withResolvers<R>();
  let outcome: (() => void) | null = null;
  const hear = (message: TaskMessage): void => {
    if (message.type === "event") onEvent?.(message.event as E);
    else if (message.type === "result") outcome = () => resolve(message.result as R);
    else {
      const { name, message: text, exitCode } = message.failure;
      outcome = () => reject(new ChildFailure(text, exitCode, name));
    }
  };
  const onEnd = (how: string): void => {
    signal?.removeEventListener("abort", stop);
    const output = child.written.slice(-lastWords).trim();
    if (outcome !== null) outcome();
    else reject(new ChildFailure(`its process ended ${how}${output === "" ? "" : `. ${output}`}`, 1));
  };
  const listener = { onMessage: (message: unknown) => hear(message as TaskMessage), onEnd };
  const child = forkChild(program, listener, { silent: isSilent });
  const stop = (): void => {
    if (onAbort === "stop") child.send("stop");
    else child.process.kill("SIGKILL");
  };
  child.process.stdout?.resume();
  child.send(task);
  if (signal?.aborted === true) stop();
  else signal?.addEventListener("abort", stop);
  return promise;
}

/**
 * The child's side: runs the task that comes first, tells the parent how it ended, and ends.
 *
 * @param run - its signal is aborted when the parent asks for that, or is gone
 */
export function serveTask<T, E = never>(
  run: (task: T, signal: AbortSignal, tell: (event: E) => void) => Promise<unknown>,
): void {
  const stop = new AbortController();
  const send = (message: TaskMessage, onSent = (): void => {}): void => {
    if (process.send === undefined) throw new Error("this program is started by another of preftune's only");
    process.send(message, undefined, undefined, onSent);
  };
  process.on("disconnect", () => stop.abort());
  process.once("message", async (task) => {
    process.on("message", (word) => word === "stop" && stop.abort());
    const tell = (event: E): void => send({ type: "event", event });
    const end = await run(task as T, stop.signal, tell).then(
      (result): TaskMessage => ({ type: "result", result }),
      (error: unknown): TaskMessage => ({ type: "failed", failure: failureOf(error) }),
    );
    if (!process.connected) process.exit(1);
    send(end, () => process.exit());
  });
}
