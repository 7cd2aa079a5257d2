/**
 * The error hierarchy of preftune.
 *
 * Every message says what was expected, what came (file, row, value) and what to do about it.
 * The command line prints `message` alone for these classes and a stack trace for anything else.
 */

/** Process status that the command line ends with for each kind of error; 1 for any other. */
export const exitCodes = {
  ConfigError: 2,
  FormatError: 3,
  DataError: 4,
  FileError: 5,
  TrainingError: 6,
  EndpointError: 7,
  LostRankError: 8,
} as const;

/** Base of all errors a user can cause and fix. `exitCode` is the process status the command line ends with. */
export class PreftuneError extends Error {
  readonly exitCode: number = 1;

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A torch operator or the native bridge failed. The message carries the operator, its schema and the argument shapes. */
export class TorchError extends PreftuneError {}

/** Tensors do not have the shapes an operation asks for. */
export class ShapeError extends PreftuneError {}

/** A configuration value, command-line flag or combination of them is wrong. */
export class ConfigError extends PreftuneError {
  override readonly exitCode: number = exitCodes.ConfigError;
}

/** A model, adapter, checkpoint or tokenizer file is not what its format promises. */
export class FormatError extends PreftuneError {
  override readonly exitCode: number = exitCodes.FormatError;
}

/** Preference or chat data is wrong. The message names file and line. */
export class DataError extends PreftuneError {
  override readonly exitCode: number = exitCodes.DataError;
  /** Whether the message ends with a mapping of columns to set: where there is no place for one, a caller says where there is. */
  readonly proposesColumns: boolean;

  constructor(message: string, options: { cause?: unknown; proposesColumns?: boolean } = {}) {
    const { proposesColumns = false, ...rest } = options;
    super(message, rest);
    this.proposesColumns = proposesColumns;
  }
}

/** Reading or writing files failed: disk full, read-only, missing. The message names the path and what was kept. */
export class FileError extends PreftuneError {
  override readonly exitCode: number = exitCodes.FileError;
}

/** Training cannot continue: too many non-finite steps in a row, or a resumed run that does not match its checkpoint. */
export class TrainingError extends PreftuneError {
  override readonly exitCode: number = exitCodes.TrainingError;
}

/** An endpoint (a judge, a served model) refused a request or gave no usable answer. */
export class EndpointError extends PreftuneError {
  override readonly exitCode: number = exitCodes.EndpointError;
  /** HTTP status of the last answer; null when none came. */
  readonly status: number | null;

  constructor(message: string, status: number | null, options?: { cause?: unknown }) {
    super(message, options);
    this.status = status;
  }
}

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Another process of a run on several is gone: the run ends, and can be resumed from its last checkpoint. */
export class LostRankError extends PreftuneError {
  override readonly exitCode: number = exitCodes.LostRankError;
}

/** One process of a run on several could not do its part: every rank throws it, with the same message. */
export class RankFailure extends PreftuneError {
  /** That of the error on the rank at fault. */
  override readonly exitCode: number;
  /** The rank at fault. */
  readonly rank: number;

  /** @param at - the rank, the exit status of its error, and on that rank the error itself */
  constructor(
    message: string,
    { rank, exitCode, cause }: { rank: number; exitCode: number; cause?: unknown },
  ) {
    super(message, { cause });
    this.rank = rank;
    this.exitCode = exitCode;
  }
}
