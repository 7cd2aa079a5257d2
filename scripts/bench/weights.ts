/**
 * `npm run bench:weights [-- --model bench|bigvocab|llama-1b --dir DIR --forms float32,bfloat16,int8 --batches 1,8 --prompt-tokens N
 * --new-tokens N --threads N --rounds N]`: our greedy decoding with weights held in several forms, in turn, each round in a separate
 * process; and how far log-probs and greedy text are from those of the first form.
 */
import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { at } from "../../src/base/at.ts";
import { readModelConfig } from "../../src/formats/hf-config.ts";
import {
  type GenerationPlan,
  type GenerationRecord,
  type HeldForm,
  heldForms,
  promptsOf,
} from "./generate-record.ts";
import { benchFolder, measureHere, modelNamed } from "./processes.ts";
import { listOf, load, runProgram, whole } from "./program.ts";
import { formFigures, formTable } from "./weight-figures.ts";

function readPlan(): { plan: GenerationPlan; forms: HeldForm[]; rounds: number } {
  const { values } = parseArgs({
    options: {
      model: { type: "string", default: "bench" },
      dir: { type: "string" },
      forms: { type: "string", default: heldForms.join(",") },
      batches: { type: "string", default: "1,8" },
      "prompt-tokens": { type: "string", default: "16" },
      "new-tokens": { type: "string", default: "64" },
      threads: { type: "string", default: "1" },
      rounds: { type: "string", default: "5" },
    },
  });
  mkdirSync(benchFolder, { recursive: true });
  const modelDir = values.dir === undefined ? modelNamed(values.model) : resolve(values.dir);
  const forms = listOf("forms", values.forms, heldForms);
  const plan = {
    modelDir,
    vocabulary: readModelConfig(modelDir).vocabSize,
    batches: values.batches.split(",").map((text) => whole("batches", text, 1)),
    promptTokens: whole("prompt-tokens", values["prompt-tokens"], 1),
    newTokens: whole("new-tokens", values["new-tokens"], 1),
    threads: whole("threads", values.threads, 1),
  };
  return { plan, forms, rounds: whole("rounds", values.rounds, 1) };
}

function main(): void {
  const { plan, forms, rounds } = readPlan();
  const records = new Map<HeldForm, GenerationRecord[]>(forms.map((form) => [form, []]));
  // the text that all are asked about: what the first form says to the first prompt of the first batch
  let scored: number[] | null = null;
  for (let round = 0; round < rounds; round++) {
    for (const form of forms) {
      const asked: GenerationPlan = { ...plan, form, ...(scored && { scored }) };
      const record: GenerationRecord = measureHere("generate-child.ts", asked);
      const [prompt = []] = promptsOf(plan, at(plan.batches, 0));
      scored ??= [...prompt, ...(record.runs[0]?.ids[0] ?? [])];
      records.get(form)?.push(record);
    }
  }
  process.stdout.write(
    `${plan.promptTokens} prompt tokens, ${plan.newTokens} new ones, greedy, ${plan.threads} threads; load ${load().toFixed(1)}\n` +
      `${formTable(formFigures(plan, records))}\n`,
  );
}

runProgram(main);
