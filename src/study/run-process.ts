/** Starts a run of a grid in a process of its own: its memory is its own, and a crash is only its own too. */
import { fork } from "node:child_process";
import { extname, join } from "node:path";
import { TrainingError } from "../base/errors.ts";
import { RunLockedError } from "../runs/run-lock.ts";
import type { RunMessage, RunTask } from "./run-cell.ts";

/** Characters of a child's standard error that are told when it dies. */
const lastWords = 400;

/**
 * Runs `task` to its end.
 *
 * @throws {TrainingError} with the child's message when it fails or dies
 * @throws {RunLockedError} when another process writes the run
 */
export function runInProcess(task: RunTask): Promise<void> {
  // built or not, the child has this file's extension
  const program = join(import.meta.dirname, `run-child${extname(import.meta.filename)}`);
  const child = fork(program, [], { execArgv: [], serialization: "advanced", silent: true });
  let stderr = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    stderr = `${stderr}${chunk.toString()}`.slice(-lastWords);
  });
  child.stdout?.resume();
  return new Promise((resolve, reject) => {
    let outcome: RunMessage | null = null;
    child.on("message", (message) => {
      outcome = message as RunMessage;
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      const how = signal === null ? `with status ${code}` : `by ${signal}`;
      if (outcome === null) reject(new TrainingError(`its process ended ${how}. ${stderr.trim()}`.trim()));
      else if (outcome.failure !== null) {
        const { failure, isLocked } = outcome;
        reject(isLocked ? new RunLockedError(failure) : new TrainingError(failure));
      } else resolve();
    });
    child.send(task);
  });
}
