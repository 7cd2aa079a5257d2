/**
 * `npm run bench:generate [-- --model bench|bigvocab|llama-1b --dir DIR --batches 1,8,32 --prompt-tokens N --new-tokens N --threads N
 * --rounds N]`: greedy decoding here, by transformers' `generate` and, where `npm run peers -- --gguf` has been run, by llama.cpp, in
 * turn, on the same float32 weights and prompts.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
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
import { limitsText, sequenceFlops } from "./generation-limits.ts";
import { heldLlama } from "./held-sets.ts";
import { benchFolder, measureHere, measurePeer, modelNamed, peersPython, runHere } from "./processes.ts";
import { machineText, runProgram, whole } from "./program.ts";
import { shapes } from "./shapes.ts";

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
  if (values.dir === undefined && shapes[values.model] === undefined) {
    const known = Object.keys(shapes).join(", ");
    throw new ConfigError(`--model: expected one of ${known}, got "${values.model}"; --dir takes any model`);
  }
  mkdirSync(benchFolder, { recursive: true });
  const modelDir = values.dir === undefined ? modelNamed(values.model) : resolve(values.dir);
  const plan = {
    modelDir,
    vocabulary: readModelConfig(modelDir).vocabSize,
    batches: values.batches.split(",").map((text) => whole("batches", text, 1)),
    promptTokens: whole("prompt-tokens", values["prompt-tokens"], 1),
    newTokens: whole("new-tokens", values["new-tokens"], 1),
    threads: whole("threads", values.threads, 1),
    limits: true,
  };
  return { plan, rounds: whole("rounds", values.rounds, 1) };
}

/** Where llama.cpp is, and the model as its file; null where it is not installed. */
function llamaFiles(modelDir: string): { folder: string; file: string } | null {
  const folder = join(stateFolder(), "peers-gguf");
  if (!existsSync(join(folder, "node_modules", "node-llama-cpp"))) return null;
  const file = join(benchFolder, `${basename(modelDir)}.gguf`);
  const cli = join(import.meta.dirname, "../../src/cli/main.ts");
  runHere(cli, ["export", "gguf", modelDir, "--type", "f32", "--output", file, "--replace"], 1);
  return { folder: heldLlama(folder, benchFolder), file };
}

/** What llama.cpp says of itself, which chooses by the processor alone and heeds no variable. */
function llamaLine([record]: readonly GenerationRecord[]): string {
  const present = [...(record?.features ?? "").matchAll(/(\w+) = 1/g)].map(([, name]) => name);
  return `llama.cpp computes with: ${present.join(", ") || "it does not say"}`;
}

function main(): void {
  const { plan, rounds } = readPlan();
  const python = peersPython();
  if (python === null) {
    throw new PreftuneError(
      "no Python with transformers: run npm run bench:peers, or set PREFTUNE_PEERS_PYTHON",
    );
  }
  const prompts = join(benchFolder, "generate-prompts.json");
  writeFileSync(prompts, JSON.stringify(plan.batches.map((batch) => promptsOf(plan, batch))));
  const llama = llamaFiles(plan.modelDir);
  const ours: GenerationRecord[] = [];
  const theirs: Record<string, GenerationRecord[]> = { transformers: [], "llama.cpp": [] };
  for (let round = 0; round < rounds; round++) {
    ours.push(measureHere("generate-child.ts", plan));
    theirs["transformers"]?.push(measurePeer(python, "generate-peer.py", plan, prompts));
    if (llama === null) continue;
    const { folder, file } = llama;
    theirs["llama.cpp"]?.push(
      measurePeer(process.execPath, "generate-llama.mjs", plan, prompts, folder, file),
    );
  }
  process.stdout.write(
    `${machineText()}\n${plan.promptTokens} prompt tokens, ${plan.newTokens} new ones, greedy, float32, ` +
      `${plan.threads} threads\n${limitsText(ours, sequenceFlops(readModelConfig(plan.modelDir), plan))}\n`,
  );
  if (llama !== null) process.stdout.write(`${llamaLine(theirs["llama.cpp"] ?? [])}\n`);
  for (const [peer, records] of Object.entries(theirs)) {
    const hint = "not installed: npm run peers -- --gguf";
    process.stdout.write(
      records.length === 0
        ? `${peer}: ${hint}\n`
        : `${generationTable(generationFigures(ours, records), peer)}\n`,
    );
  }
}

runProgram(main);
