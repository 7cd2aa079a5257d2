/**
 * Runs one run of a grid in a process of its own. Started by `run-process.ts` with an IPC channel: the task comes in, and
 * "stop" where the run is to end early; how it ended goes out.
 */
import { messageOf, PreftuneError } from "../base/errors.ts";
import { goOnWithoutOutput } from "../base/lost-output.ts";
import { listenToStopSignals } from "../base/stop-signals.ts";
import { type RunMessage, type RunTask, runCell } from "./run-cell.ts";
import { isTaken, RunStoppedError } from "./stopped.ts";

const stop = new AbortController();
const onStop = (): void => stop.abort();
// a parent that was killed asks no more: the run ends after its step, with a checkpoint
process.on("disconnect", onStop);
// Ctrl-C on a terminal reaches this process too: it ends as its parent says, after its step
listenToStopSignals(onStop);
goOnWithoutOutput();

async function run(task: RunTask): Promise<RunMessage> {
  try {
    await runCell(task, stop.signal);
    return { failure: null, isLocked: false, isStopped: false };
  } catch (error) {
    const isBug = !(error instanceof PreftuneError) && error instanceof Error;
    return {
      failure: isBug ? (error.stack ?? error.message) : messageOf(error),
      isLocked: isTaken(error),
      isStopped: error instanceof RunStoppedError,
    };
  }
}

process.once("message", async (task) => {
  process.on("message", (word) => word === "stop" && stop.abort());
  const message = await run(task as RunTask);
  if (process.send === undefined) throw new Error("run-child.ts is started by a grid only");
  if (!process.connected) process.exit(1);
  process.send(message, () => process.exit());
});
