/** Standard output and error that nobody reads any more: their terminal was closed, or the program behind a pipe has ended. */
import { errorCode } from "./file-io.ts";

/**
 * Lets the program continue when what it writes is lost: what it computes is in files, and the way out has locks to give back.
 * Other errors of the two streams end it as before.
 */
export function goOnWithoutOutput(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error) => {
      if (!["EPIPE", "EIO"].includes(errorCode(error) ?? "")) throw error;
    });
  }
}
