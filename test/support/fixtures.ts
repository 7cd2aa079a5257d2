/** The golden fixtures of `../shared/fixtures`: random-init models with numbers from PyTorch's libraries. */
import { readFileSync } from "node:fs";
import type { Example } from "../../src/data/example.ts";
import { packExamples } from "../../src/data/packing.ts";
import { readAdapter } from "../../src/formats/adapter.ts";
import type { Adapter } from "../../src/models/adapt.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import { loadModel } from "../../src/models/load.ts";
import { installAdapter } from "../../src/models/load-adapter.ts";
import type { MicroBatch } from "../../src/train/step.ts";
import { requireShared } from "./shared.ts";

/** Families with fixtures. */
export const families = ["llama_tied", "llama_untied", "qwen3", "gemma3_text"] as const;

/** One of them. */
export type FixtureFamily = (typeof families)[number];

/** Parsed JSON of a fixture file. */
export function fixtureJson<T>(family: FixtureFamily, ...parts: string[]): T {
  return JSON.parse(readFileSync(requireShared("fixtures", family, ...parts), "utf8")) as T;
}

/** Path of a fixture. */
export function fixturePath(family: FixtureFamily, ...parts: string[]): string {
  return requireShared("fixtures", family, ...parts);
}

interface Row {
  prompt_ids: number[];
  chosen_ids: number[];
  rejected_ids: number[];
  ref_chosen_logp: number;
  ref_rejected_logp: number;
}

/** The four rows of a fixture's batch. */
export function fixtureExamples(family: FixtureFamily): Example[] {
  const { rows } = fixtureJson<{ rows: Row[] }>(family, "batch.json");
  return rows.map((row, i) => ({
    origin: { file: `${family}/batch.json`, line: i + 1 },
    promptIds: row.prompt_ids,
    completions: [{ ids: row.chosen_ids }, { ids: row.rejected_ids }],
    referenceLogps: [row.ref_chosen_logp, row.ref_rejected_logp],
  }));
}

/** Examples as one micro-batch. */
export function microBatch(examples: Example[], sharePrompt = true, first = 0): MicroBatch {
  return { packed: packExamples(examples, { sharePrompt }), indices: examples.map((_, i) => first + i) };
}

/** The fixture's model; trainable tensors have memory of their own. */
export function fixtureModel(family: FixtureFamily): CausalLM {
  return loadModel(fixturePath(family, "model"), { copy: true });
}

/** The fixture's model with its PEFT adapter. */
export function fixtureAdapted(family: FixtureFamily): { model: CausalLM; adapter: Adapter } {
  const model = fixtureModel(family);
  return { model, adapter: installAdapter(model, readAdapter(fixturePath(family, "lora"))) };
}
