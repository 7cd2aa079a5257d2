/** What `preftune study` and `preftune sweep` print at their end. */
import { TrainingError } from "../base/errors.ts";
import type { WrittenOutcome } from "../sweep/outcome.ts";

/**
 * Prints the summary and where the files are. Failed runs are part of it.
 *
 * @throws {TrainingError} if no run finished
 */
export function showOutcome({ summary, report, results, runs, finished }: WrittenOutcome): void {
  process.stdout.write(`\n${summary}\n\n  ${report}\n  ${results}\n  ${runs}\n`);
  if (finished === 0) {
    throw new TrainingError(
      "no run finished: the reasons are above. Fix what they name and run the same command again.",
    );
  }
}
