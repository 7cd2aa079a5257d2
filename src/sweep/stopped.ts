/** Ends of runs and grids that are no faults: stopped on request, or written by another process. */
import { PreftuneError } from "../base/errors.ts";
import { RunExistsError } from "../runs/run-directory.ts";
import { RunLockedError } from "../runs/run-lock.ts";

/** A run of a grid that stopped as it was asked to: with a checkpoint, or before its training began. */
export class RunStoppedError extends PreftuneError {}

/** A study or sweep that stopped before its end, as it was asked to. The message says how far it came. */
export class StudyStoppedError extends PreftuneError {
  override readonly exitCode: number = 0;
}

/** Whether a run failed as another process, which a killed study left alone, writes it or has just done so. */
export function isTaken(error: unknown): boolean {
  return error instanceof RunLockedError || error instanceof RunExistsError;
}
