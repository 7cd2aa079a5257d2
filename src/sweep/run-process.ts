/** Starts a run of a grid in a process of its own: its memory is its own, and a crash is only its own too. */
import { type ChildProcess, fork } from "node:child_process";
import { extname, join } from "node:path";
import { TrainingError } from "../base/errors.ts";
import { RunLockedError } from "../runs/run-lock.ts";
import type { RunMessage, RunTask } from "./run-cell.ts";
import { RunStoppedError } from "./stopped.ts";

/** Characters of a child's standard error that are told when it dies. */
const lastWords = 400;

/** Runs under way: they end with this process, at once, when it leaves them. */
const underWay = new Set<ChildProcess>();
const killAll = (): void => {
  for (const child of underWay) child.kill("SIGKILL");
};

/**
 * Runs `task` to its end.
 *
 * @param signal - asks the run to stop after its step, with a checkpoint
 * @throws {TrainingError} with the child's message when it fails or dies
 * @throws {RunLockedError} when another process writes the run
 * @throws {RunStoppedError} when it stopped as asked
 */
export function runInProcess(task: RunTask, signal?: AbortSignal): Promise<void> {
  // built or not, the child has this file's extension
  const program = join(import.meta.dirname, `run-child${extname(import.meta.filename)}`);
  // the addon is found by now; a module of extra measurements finds the package as this process does
  const execArgv = process.execArgv.filter((flag) => flag.startsWith("--conditions="));
  const child = fork(program, [], { execArgv, serialization: "advanced", silent: true });
  let stderr = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    stderr = `${stderr}${chunk.toString()}`.slice(-lastWords);
  });
  child.stdout?.resume();
  const stop = (): void => void (child.connected && child.send("stop"));
  if (underWay.size === 0) process.on("exit", killAll);
  underWay.add(child);
  const forget = (): void => {
    signal?.removeEventListener("abort", stop);
    underWay.delete(child);
    if (underWay.size === 0) process.off("exit", killAll);
  };
  return new Promise((resolve, reject) => {
    let outcome: RunMessage | null = null;
    child.on("message", (message) => {
      outcome = message as RunMessage;
    });
    child.on("error", reject);
    child.on("close", (code, by) => {
      forget();
      const how = by === null ? `with status ${code}` : `by ${by}`;
      if (outcome === null) reject(new TrainingError(`its process ended ${how}. ${stderr.trim()}`.trim()));
      else if (outcome.failure !== null) reject(errorOf(outcome, outcome.failure));
      else resolve();
    });
    child.send(task);
    if (signal?.aborted === true) stop();
    else signal?.addEventListener("abort", stop);
  });
}

function errorOf({ isLocked, isStopped }: RunMessage, message: string): Error {
  if (isLocked) return new RunLockedError(message);
  return isStopped ? new RunStoppedError(message) : new TrainingError(message);
}
