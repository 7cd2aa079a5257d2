/** Program of a server that another program of ours keeps for itself. Started by serve-process.ts; it ends when that is gone. */
import { messageOf } from "../base/errors.ts";
import { listenToStopSignals } from "../base/stop-signals.ts";
import { printWarnings, warn } from "../base/warn.ts";
import { failureOf } from "../process/failure.ts";
import { serve } from "./serve.ts";
import type { ServeEvent } from "./serve-options.ts";
import { endOrder, type ServeNews, type ServeOrder } from "./serve-process.ts";

printWarnings();
// a terminal's Ctrl-C reaches every process of the group; the parent ends this one
listenToStopSignals(() => {});
// an engine that computes hears nothing: it is killed as this process ends
process.on("disconnect", () => process.exit(0));
process.on("message", (message) => {
  if (message === endOrder) process.exit(0);
});
process.once("message", async (first) => {
  const { settings, key } = first as ServeOrder;
  try {
    await serve({ ...settings, key, port: 0, drainMs: 0, onEvent: tell });
  } catch (error) {
    await say({ type: "failed", failure: failureOf(error) });
    process.exit(1);
  }
});

function tell(event: ServeEvent): void {
  if (event.type === "listening") void say({ type: "listening", url: event.url });
  else if (event.type === "engine" && event.news.type === "crashed") warn(event.news.reason);
  else if (event.type === "fault") warn(messageOf(event.error));
}

/** Resolves when the message is on its way, or cannot be sent any more. */
function say(news: ServeNews): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send?.(news, () => resolve());
    else resolve();
  });
}
