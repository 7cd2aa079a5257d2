/** The models of `test/fixtures` and their rows as torch takes them. */
import type { Example } from "../../src/data/example.ts";
import { packExamples } from "../../src/data/packing.ts";
import { readAdapter } from "../../src/formats/adapter.ts";
import type { MicroBatch } from "../../src/forward/batch.ts";
import type { Adapter } from "../../src/models/adapt.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import { loadModel } from "../../src/models/load.ts";
import { installAdapter } from "../../src/models/load-adapter.ts";
import { type FixtureFamily, fixturePath } from "./fixture-files.ts";

/** Examples as one micro-batch. */
export function microBatch(examples: Example[], share_prompt = true, first = 0): MicroBatch {
  return { packed: packExamples(examples, { share_prompt }), indices: examples.map((_, i) => first + i) };
}

/** The fixture's model; trainable tensors have separate memory. */
export function fixtureModel(family: FixtureFamily): CausalLM {
  return loadModel(fixturePath(family, "model"), { copy: true });
}

/** The fixture's model with its PEFT adapter. */
export function fixtureAdapted(family: FixtureFamily): { model: CausalLM; adapter: Adapter } {
  const model = fixtureModel(family);
  return { model, adapter: installAdapter(model, readAdapter(fixturePath(family, "lora"))) };
}
