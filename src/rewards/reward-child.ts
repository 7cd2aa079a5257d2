/** Program of a worker process of reward functions. Started by reward-worker.ts. */
import { Worker } from "node:worker_threads";
import { messageOf } from "../base/errors.ts";
import { rawJson } from "../text/json-number.ts";
import { checkedValues } from "./checked-values.ts";
import { LoadFailure } from "./load-failure.ts";
import { filesOf, loadFunction, noteImports } from "./load-functions.ts";
import type { RewardFunction, RewardInput } from "./reward-function.ts";
import type { FunctionToLoad, RewardCommand, RewardMessage } from "./reward-messages.ts";
import { redirectOutput } from "./worker-output.ts";

// with the answers, in order: a pipe may still hold what was written when the answer is there
const attributeOutput = redirectOutput((text) => send({ type: "output", text }));
const functions: { name: string; call: RewardFunction }[] = [];

function send(message: RewardMessage, onSent?: () => void): void {
  process.send?.(message, undefined, undefined, () => onSent?.());
}

async function load(wanted: readonly FunctionToLoad[]): Promise<RewardMessage> {
  try {
    for (const each of wanted) {
      attributeOutput(each.name);
      functions.push({ name: each.name, call: await loadFunction(each) });
    }
    return { type: "loaded", files: wanted.map(filesOf) };
  } catch (error) {
    if (!(error instanceof LoadFailure)) throw error;
    return { type: "refused", message: error.message };
  }
}

async function call(index: number, input: RewardInput): Promise<RewardMessage> {
  const wanted = functions[index];
  if (wanted === undefined) throw new RangeError(`no reward function ${index}`);
  attributeOutput(wanted.name);
  try {
    const values = checkedValues(await wanted.call(input), input.completions.length);
    return Array.isArray(values) ? { type: "values", values } : { type: "invalid", ...values };
  } catch (error) {
    return { type: "threw", message: messageOf(error).slice(0, 500) };
  } finally {
    // a line that has no end is written now
    attributeOutput(wanted.name);
  }
}

// a function that hands its rows on, to Python for one, writes them as JSON
Object.defineProperty(BigInt.prototype, "toJSON", {
  value(this: bigint): unknown {
    return rawJson(String(this));
  },
  configurable: true,
  writable: true,
});
noteImports();
process.removeAllListeners("warning");
process.on("warning", (warning) => {
  // a folder without a package.json that says "module" is no mistake, and reading TypeScript no experiment to the user
  const { code } = Object(warning) as { code?: unknown };
  if (code === "MODULE_TYPELESS_PACKAGE_JSON" || warning.name === "ExperimentalWarning") return;
  process.stderr.write(`${String(warning)}\n`);
});
// Ctrl-C on a terminal reaches every process of the group; this one ends when its parent does, or says so
process.on("SIGINT", () => {});
process.on("disconnect", () => process.exit());
// a function that never ends hears of no disconnection: a thread sees that the parent was killed
const watch = `const parent = require("node:worker_threads").workerData;
setInterval(() => process.ppid === parent || process.kill(process.pid, "SIGKILL"), 500);`;
new Worker(watch, { eval: true, workerData: process.ppid }).unref();
process.on("message", (command: RewardCommand) => {
  if (command.type === "load") void load(command.functions).then((message) => send(message));
  // its time counts from here, not from where it was queued
  else
    send({ type: "began" }, () => void call(command.index, command.input).then((message) => send(message)));
});
