/** Ctrl-C during `preftune study` and `preftune sweep`. */
import { onStopSignals } from "../base/stop-signals.ts";
import { StudyStoppedError } from "../sweep/stopped.ts";
import { sameCommand } from "./called-as.ts";

/** What is under way: runs, which stop after their step, or questions to a judge, whose answers are kept as they come. */
export type GridPart = "runs" | "judging";

/** How a study stops. */
interface Stopping {
  /** What is under way. */
  part?: () => GridPart;
  /** Exit status once it has stopped as it was asked to. */
  stoppedStatus?: number | undefined;
}

/**
 * Does `work` with a signal that the first Ctrl-C gives; the second leaves at once, and so does the first while judging.
 * A study that was stopped prints the command that resumes it.
 */
export async function stoppable(
  work: (signal: AbortSignal) => Promise<void>,
  { part = () => "runs", stoppedStatus = 0 }: Stopping = {},
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
