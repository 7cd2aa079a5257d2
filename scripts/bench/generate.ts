/**
 * `npm run bench:generate [-- --model bench|bigvocab --dir DIR --batches 1,8,32 --prompt-tokens N --new-tokens N --threads N
 * --rounds N]`: greedy decoding here and by transformers' `generate`, in turn, on the same float32 weights and prompts.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { ConfigError, PreftuneError } from "../../src/base/errors.ts";
import { readModelConfig } from "../../src/formats/hf-config.ts";
import { stateFolder } from "../../src/setup/places.ts";
import {
  type GenerationPlan,
  type GenerationRecord,
  generationFigures,
  generationTable,
  promptsOf,
} from "./generate-record.ts";
import { peersPython, runHere, runPython } from "./processes.ts";
import { shapes } from "./shapes.ts";

function whole(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new ConfigError(`--${name}: expected whole numbers of at least 1, got "${text}"`);
}

function readPlan(): { plan: GenerationPlan; rounds: number } {
  const { values } = parseArgs({
    options: {
      model: { type: "string", default: "bench" },
      dir: { type: "string" },
      batches: { type: "string", default: "1,8,32" },
      "prompt-tokens": { type: "string", default: "64" },
      "new-tokens": { type: "string", default: "64" },
      threads: { type: "string", default: "2" },
      rounds: { type: "string", default: "3" },
    },
  });
  const folder = join(stateFolder(), "bench");
  if (values.dir === undefined && shapes[values.model] === undefined) {
    const known = Object.keys(shapes).join(", ");
    throw new ConfigError(`--model: expected one of ${known}, got "${values.model}"; --dir takes any model`);
  }
  const modelDir = values.dir === undefined ? join(folder, values.model) : resolve(values.dir);
  mkdirSync(folder, { recursive: true });
  if (values.dir === undefined && !existsSync(modelDir))
    runHere("model-child.ts", [values.model, modelDir], 2);
  const plan = {
    modelDir,
    vocabulary: readModelConfig(modelDir).vocabSize,
    batches: values.batches.split(",").map((text) => whole("batches", text)),
    promptTokens: whole("prompt-tokens", values["prompt-tokens"]),
    newTokens: whole("new-tokens", values["new-tokens"]),
    threads: whole("threads", values.threads),
  };
  return { plan, rounds: whole("rounds", values.rounds) };
}

function lastLine(text: string): GenerationRecord {
  return JSON.parse(text.trim().split("\n").at(-1) ?? "");
}

const { plan, rounds } = readPlan();
const python = peersPython();
if (python === null) {
  throw new PreftuneError(
    "no Python with transformers: run npm run bench:peers, or set PREFTUNE_PEERS_PYTHON",
  );
}
const prompts = join(stateFolder(), "bench", "generate-prompts.json");
writeFileSync(prompts, JSON.stringify(plan.batches.map((batch) => promptsOf(plan, batch))));
const peer = join(import.meta.dirname, "generate-peer.py");
const ours: GenerationRecord[] = [];
const theirs: GenerationRecord[] = [];
for (let round = 0; round < rounds; round++) {
  ours.push(lastLine(runHere("generate-child.ts", [JSON.stringify(plan)], plan.threads)));
  theirs.push(lastLine(runPython(python, [peer, JSON.stringify(plan), prompts], plan.threads)));
}
process.stdout.write(
  `${plan.promptTokens} prompt tokens, ${plan.newTokens} new ones, greedy, float32, ${plan.threads} threads; ` +
    `load ${loadavg()[0]?.toFixed(1)}\n${generationTable(generationFigures(ours, theirs))}\n`,
);
