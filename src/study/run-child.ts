/** Runs one run of a grid in a process of its own. Started by `run-process.ts` with an IPC channel: the task comes in, how it ended goes out. */
import { messageOf, PreftuneError } from "../base/errors.ts";
import { RunLockedError } from "../runs/run-lock.ts";
import { type RunMessage, type RunTask, runCell } from "./run-cell.ts";

const leave = (): never => process.exit(1);
process.on("disconnect", leave);
process.once("message", async (task) => {
  let failure: string | null = null;
  let isLocked = false;
  try {
    await runCell(task as RunTask);
  } catch (error) {
    isLocked = error instanceof RunLockedError;
    const isBug = !(error instanceof PreftuneError) && error instanceof Error;
    failure = isBug ? (error.stack ?? error.message) : messageOf(error);
  }
  if (process.send === undefined) throw new Error("run-child.ts is started by a grid only");
  process.send({ failure, isLocked } satisfies RunMessage, () => {
    process.off("disconnect", leave);
    process.disconnect();
  });
});
