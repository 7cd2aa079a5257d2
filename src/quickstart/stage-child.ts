/**
 * Runs a stage in a process of its own, so that its peak memory is its own. Started by `stage-process.ts` with an IPC
 * channel: the task comes in, events and the result go out.
 */
import { PreftuneError } from "../base/errors.ts";
import { runStage, type StageEvent, type StageResult, type StageTask } from "./stage.ts";

/** What the child sends. */
export type StageMessage =
  | StageEvent
  | { type: "result"; result: StageResult }
  | { type: "failed"; message: string; exitCode: number };

/** Resolves when the message is on its way: the process must not end before. */
function send(message: StageMessage): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined) throw new Error("stage-child.ts is started by the quick start only");
    process.send(message, () => resolve());
  });
}

function failure(error: unknown): StageMessage {
  if (error instanceof PreftuneError)
    return { type: "failed", message: error.message, exitCode: error.exitCode };
  return {
    type: "failed",
    message: error instanceof Error ? (error.stack ?? error.message) : String(error),
    exitCode: 1,
  };
}

const leave = (): never => process.exit(1);
process.on("disconnect", leave);
process.once("message", async (task) => {
  let message: StageMessage;
  try {
    const result = await runStage(task as StageTask, (event) => void send(event));
    message = { type: "result", result };
  } catch (error) {
    message = failure(error);
  }
  await send(message);
  process.off("disconnect", leave);
  process.disconnect();
});
