/** The process that sends a run's rows beside training. It reads metrics.jsonl; the trainer tells it the end and nothing else. */
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { listenToStopSignals } from "../base/stop-signals.ts";
import { RunLock, untilFree } from "../runs/run-lock.ts";
import { RunSender, type SendJob } from "./sender.ts";
import type { RunEnd, TrackerReport } from "./tracker.ts";

/** What the trainer says. */
export type SenderOrder = { type: "start"; job: SendJob } | { type: "end"; end: RunEnd; ms: number };

/** What it is told: a tracker's first failure, and at the end what each has. */
export type SenderMessage = { type: "trouble"; text: string } | { type: "done"; reports: TrackerReport[] };

/** Time for the rest when the trainer is gone without a word, and for an earlier process of this run to do the same. */
const leftMs = 30_000;

// a terminal's Ctrl-C reaches every process of the group; the trainer goes on to the end of its step, and its rows are sent
listenToStopSignals(() => {});

let end: RunEnd | null = null;
let deadline = Number.POSITIVE_INFINITY;
const told = Promise.withResolvers<void>();

function endWith(how: RunEnd, ms: number): void {
  if (end !== null) return;
  end = how;
  deadline = performance.now() + ms;
  told.resolve();
}

function say(message: SenderMessage): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve();
    else process.send(message, undefined, undefined, () => resolve());
  });
}

function pauseFor(ms: number): Promise<void> {
  const hasEnded = end !== null;
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    if (hasEnded) return;
    void told.promise.then(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

async function serve(job: SendJob): Promise<void> {
  const path = join(job.runDir, "trackers.lock");
  await untilFree(path, leftMs + 5000);
  const lock = new RunLock(path);
  try {
    const sender = new RunSender(job, {
      end: () => end,
      deadline: () => deadline,
      pause: pauseFor,
      onTrouble: (tracker, why) => void say({ type: "trouble", text: `${tracker}: ${why}` }),
    });
    const outOfTime = told.promise.then(
      () => new Promise<void>((resolve) => setTimeout(resolve, deadline - performance.now())),
    );
    await Promise.race([sender.run(), outOfTime]);
    await say({ type: "done", reports: sender.reports() });
  } finally {
    lock.release();
  }
}

process.on("disconnect", () => endWith("left", leftMs));
process.on("message", (message) => {
  const order = message as SenderOrder;
  if (order.type === "end") return endWith(order.end, order.ms);
  serve(order.job).then(
    () => process.exit(0),
    async (error: unknown) => {
      await say({ type: "trouble", text: messageOf(error) });
      process.exit(1);
    },
  );
});
