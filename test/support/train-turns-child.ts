/**
 * Child program, `train-turns-child.ts JSON`: trains as the JSON says, a step for each line on standard input. It prints, when a step is done and
 * at the end, the processor seconds that this process took since the last time (all its threads, no other process).
 */
import { createInterface } from "node:readline";
import { loadConfig } from "../../src/config/load-config.ts";
import { train } from "../../src/recipes/train.ts";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Waits for a line; the process ends where nobody is left to write one. */
async function turn(): Promise<void> {
  if ((await lines.next()).done === true) process.exit(1);
}

await turn();
let before = process.cpuUsage();
const lap = (): void => {
  const { user, system } = process.cpuUsage(before);
  before = process.cpuUsage();
  process.stdout.write(`${(user + system) / 1e6}\n`);
};
for await (const event of train(loadConfig({ values: JSON.parse(process.argv[2] ?? "") }))) {
  if (event.type !== "step") continue;
  lap();
  await turn();
}
lap();
process.exit(0);
