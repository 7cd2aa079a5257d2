/** Child program of src/online/sampler-process.test.ts: a sampling process that does as many tasks as it is asked to, then dies. */
import type { SamplerCommand, SamplerMessage } from "../../src/online/sampler-messages.ts";

let left = 0;
process.on("message", (message) => {
  const command = message as SamplerCommand;
  if (command.type === "start") left = command.settings.config.max_steps;
  if (command.type === "stop") process.exit();
  if (command.type !== "task") return;
  if (left === 0) process.kill(process.pid, "SIGKILL");
  left -= 1;
  process.send?.({ type: "done", id: command.id, result: command.id } satisfies SamplerMessage);
});
