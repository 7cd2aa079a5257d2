/** A run or a grid that was stopped on request: nothing is wrong, and the same command goes on with it. */
import { PreftuneError } from "../base/errors.ts";

/** A run of a grid that stopped with a checkpoint, as it was asked to. */
export class RunStoppedError extends PreftuneError {}

/** A study or sweep that stopped before its end, as it was asked to. The message says how far it came. */
export class StudyStoppedError extends PreftuneError {
  override readonly exitCode: number = 0;
}
