/** Starts a run of a grid in a separate process: it frees its memory when it ends, and a crash ends nothing else. */
import { TrainingError } from "../base/errors.ts";
import { programBeside } from "../process/child.ts";
import { ChildFailure } from "../process/failure.ts";
import { runTask } from "../process/task.ts";
import { RunExistsError } from "../runs/run-directory.ts";
import { RunLockedError } from "../runs/run-lock.ts";
import type { RunTask } from "./run-trial.ts";
import { RunStoppedError } from "./stopped.ts";

/**
 * Runs `task` to its end.
 *
 * @param signal - asks the run to stop after its step, with a checkpoint
 * @throws {TrainingError} with the child's message when it fails or dies
 * @throws {RunLockedError} when another process writes the run
 * @throws {RunStoppedError} when it stopped as asked
 */
export async function runInProcess(task: RunTask, signal?: AbortSignal): Promise<void> {
  const program = programBeside(import.meta, "run-child");
  await runTask<void>(task, { program, isSilent: true, signal, onAbort: "stop" }).catch((error: unknown) => {
    if (!(error instanceof ChildFailure)) throw error;
    const { kind, message } = error;
    if (kind === RunLockedError.name || kind === RunExistsError.name) throw new RunLockedError(message);
    throw kind === RunStoppedError.name ? new RunStoppedError(message) : new TrainingError(message);
  });
}
