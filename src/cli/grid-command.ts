/** What `preftune study` and `preftune sweep` share: Ctrl-C, and what is printed at the end. */

import { TrainingError } from "../base/errors.ts";
import { onStopSignals } from "../base/stop-signals.ts";
import type { WrittenOutcome } from "../sweep/outcome.ts";
import { StudyStoppedError } from "../sweep/stopped.ts";
import { sameCommand } from "./called-as.ts";

/** What is under way: runs, which stop after their step, or questions to a judge, whose answers are kept as they come. */
export type GridPart = "runs" | "judging";

/**
 * Does `work` with a signal that the first Ctrl-C aborts; the second leaves at once, and so does the first while judging.
 * A stopped study prints the command that resumes it.
 *
 * @param options - `part`: what is running; `stoppedStatus`: exit status after a stop
 */
export async function stoppable(
  work: (signal: AbortSignal) => Promise<void>,
  {
    part = () => "runs",
    stoppedStatus = 0,
  }: { part?: () => GridPart; stoppedStatus?: number | undefined } = {},
): Promise<void> {
  const controller = new AbortController();
  using _ = onStopSignals((count, status) => {
    if (count > 1) process.exit(status);
    if (part() === "judging") {
      process.stderr.write(`\nstopped; the judgments so far are kept. Resume with:\n  ${sameCommand()}\n`);
      process.exit(status);
    }
    process.stderr.write(
      "\nstopping: runs under way end after their step, with a checkpoint; again to leave at once\n",
    );
    controller.abort();
  });
  try {
    await work(controller.signal);
  } catch (error) {
    if (!(error instanceof StudyStoppedError)) throw error;
    process.exitCode = stoppedStatus;
    process.stdout.write(`${error.message}; resume with:\n  ${sameCommand()}\n`);
  }
}

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
