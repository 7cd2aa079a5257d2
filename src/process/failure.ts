/** Why a process or thread of ours could not do what it was asked to: the one form in which it says so. */
import { PreftuneError } from "../base/errors.ts";

/** An error on its way to another process. Plain data. */
export interface Failure {
  /** Name of the error's class, such as "RunLockedError". */
  name: string;
  /** What a user should read; for an error that is a bug, with its stack. */
  message: string;
  exitCode: number;
}

/** `error` as plain data. */
export function failureOf(error: unknown): Failure {
  if (error instanceof PreftuneError) {
    const { name, message, exitCode } = error;
    return { name, message, exitCode };
  }
  return error instanceof Error
    ? { name: error.name, message: error.stack ?? error.message, exitCode: 1 }
    : { name: "Error", message: String(error), exitCode: 1 };
}

/** A child failed, or ended without a result. Its exit status is that of the error in the child. */
export class ChildFailure extends PreftuneError {
  override readonly exitCode: number;
  /** Name of the error's class in the child; null: it said nothing, it ended. */
  readonly kind: string | null;

  constructor(message: string, exitCode: number, kind: string | null = null) {
    super(message);
    this.exitCode = exitCode;
    this.kind = kind;
  }
}
