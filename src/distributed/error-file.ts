/** What torchrun shows of a rank that failed: it reads a file that the rank writes. */
import { LostRankError, RankFailure } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";

/**
 * Writes `text` into torchrun's file of this rank's error, where there is one. Of several files torchrun shows the oldest, as
 * the cause of all: ranks that end because another one failed write none. Its table shows `py_callstack` alone.
 */
export function writeErrorFile(
  error: unknown,
  text: string,
  path: string | undefined = process.env["TORCHELASTIC_ERROR_FILE"],
): void {
  if (path === undefined || path === "" || isOfAnother(error)) return;
  const timestamp = String(Math.floor(Date.now() / 1000));
  try {
    const message = { message: text, extraInfo: { py_callstack: text, timestamp } };
    writeFileAtomic(path, JSON.stringify({ message }));
  } catch {
    // the error itself is what counts, and has been printed
  }
}

/** Whether another rank is at fault: of what several do in common, the one that failed has the cause. */
function isOfAnother(error: unknown): boolean {
  return error instanceof LostRankError || (error instanceof RankFailure && error.cause === undefined);
}
