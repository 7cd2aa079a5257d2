/** What torchrun shows of a rank that failed: it reads a file that the rank writes. */
import { LostRankError } from "../base/errors.ts";
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
  if (path === undefined || path === "" || error instanceof LostRankError) return;
  const timestamp = String(Math.floor(Date.now() / 1000));
  try {
    const message = { message: text, extraInfo: { py_callstack: text, timestamp } };
    writeFileAtomic(path, JSON.stringify({ message }));
  } catch {
    // the error itself is what counts, and has been printed
  }
}
