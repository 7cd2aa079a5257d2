import assert from "node:assert/strict";
import { test } from "node:test";
import { fixturePath } from "../../test/support/fixture-files.ts";
import { heldQuantisation, isQuantised, ownSkipModules } from "./held-quantisation.ts";
import { readModelConfig } from "./hf-config.ts";
import type { ModelConfig } from "./model-config.ts";

const config = readModelConfig(fixturePath("llama_tied", "model"));
const asked = (...skipModules: string[]) => ({ bits: 8, skipModules }) as const;
const held = (of: ModelConfig, ...names: string[]) => heldQuantisation("dir", of, asked(...names));

test("a name that no linear has is refused with the nearest, as one that skips nothing would be used without a word", () => {
  for (const name of ["down_porj", "mlp", "model.layers.99", "vision_tower"])
    assert.throws(
      () => held(config, "o_proj", name),
      new RegExp(`^ConfigError: dir: llm_int8_skip_modules: expected names of its linears .*got "${name}"`),
      name,
    );
  assert.throws(() => held(config, "down_porj"), /Did you mean "down_proj"\?$/);
  const known = [
    "down_proj",
    "model.layers.0",
    "model.layers.0.mlp",
    "lm_head",
    "model.embed_tokens",
    "proj",
  ];
  assert.deepEqual(held(config, ...known), asked(...known));
});

test("a multimodal model's names are those of its text, and of parts that are not loaded", () => {
  const multimodal = { ...config, isMultimodalText: true };
  const names = [
    "model.language_model.layers.0",
    "language_model.model.layers.1.mlp",
    "vision_tower",
    "model.visual.blocks",
  ];
  assert.deepEqual(held(multimodal, ...names), asked(...names));
  const inBits = [0, 1].map((layer) => isQuantised(asked(...names), `model.layers.${layer}.mlp.up_proj`));
  assert.deepEqual(inBits, [false, false]);
  assert.equal(isQuantised(asked(...names), "model.layers.1.self_attn.q_proj"), true);
});

test("of the policy's names another model takes those that it has", () => {
  const names = ["o_proj", "model.layers.1", "vision_tower", "lm_head"];
  assert.deepEqual(ownSkipModules({ ...config, isMultimodalText: true }, names), names);
  const layerKinds = config.layerKinds.slice(0, 1);
  assert.deepEqual(ownSkipModules({ ...config, layerKinds }, names), ["o_proj", "lm_head"]);
});
