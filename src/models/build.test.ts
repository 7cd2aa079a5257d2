/** Whole models: logits against transformers on patterned weights, and parameter counts of the published sizes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { float32, golden } from "../../test/support/goldens.ts";
import { pattern } from "../../test/support/patterned.ts";
import { gemma4b, llama32 } from "../../test/support/sample-configs.ts";
import {
  type ConfigJson,
  logitsOf,
  type TinyName,
  tinyModel,
  tinyNames,
} from "../../test/support/tiny-models.ts";
import { parseModelConfig } from "../formats/hf-config.ts";
import { ops, tensor } from "../torch/index.ts";
import { modelParameters } from "../train/parameters.ts";
import { buildModel } from "./build.ts";
import { metaWeights, randomWeights } from "./weights.ts";

interface Goldens {
  pattern: number[];
  logits: Record<TinyName, { ids: number[]; logits: number[] }>;
}

const goldens = golden<Goldens>("models");

test("the pattern is the same here as in the golden script", () => {
  assert.deepEqual([...pattern("check", 8, 0.5)], float32(goldens.pattern));
});

for (const name of tinyNames) {
  const { ids, logits } = goldens.logits[name];

  test(`${name}: logits are transformers'`, () => {
    withoutLeaks(() => assertClose(logitsOf(tinyModel(name), ids), logits, { atol: 2e-5 }));
  });

  test(`${name}: bfloat16 activations come near, the embedding in its own type`, () => {
    withoutLeaks(() => {
      const got = logitsOf(tinyModel(name), ids, "bfloat16");
      const size = Math.sqrt(logits.reduce((sum, x) => sum + x * x, 0) / logits.length);
      assertClose(got, logits, { atol: 0.12 * size });
    });
  });
}

test("a sliding layer sees no further than its window", () => {
  withoutLeaks(() => {
    const { ids } = goldens.logits.gemma3;
    const sliding = { layer_types: ["sliding_attention", "sliding_attention"], sliding_window: 3 };
    const changed = [...ids];
    changed[0] = ((ids[0] as number) + 1) % 32;
    const model = tinyModel("gemma3", sliding);
    const [before, after] = [logitsOf(model, ids), logitsOf(model, changed)];
    const rowChanges = ids.map((_, t) =>
      before.slice(t * 32, t * 32 + 32).some((x, i) => x !== after[t * 32 + i]),
    );
    // two layers of window 3 reach four tokens back
    assert.deepEqual(
      rowChanges,
      ids.map((_, t) => t <= 4),
    );
  });
});

const qwen4b: ConfigJson = {
  architectures: ["Qwen3ForCausalLM"],
  model_type: "qwen3",
  vocab_size: 151936,
  hidden_size: 2560,
  intermediate_size: 9728,
  num_hidden_layers: 36,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  head_dim: 128,
  max_position_embeddings: 40960,
  rms_norm_eps: 1e-6,
  rope_theta: 1000000,
  tie_word_embeddings: true,
  torch_dtype: "bfloat16",
};

// Gemma's published 4,300,079,472 less the vision tower (416,866,032) and the projector (2,950,272)
const published: Record<string, [ConfigJson, number]> = {
  "Llama-3.2-3B": [llama32, 3_212_749_824],
  "Qwen3-4B": [qwen4b, 4_022_468_096],
  "Gemma-3-4B, text": [gemma4b, 4_300_079_472 - 416_866_032 - 2_950_272],
};

for (const [name, [json, parameters]] of Object.entries(published)) {
  test(`${name} has ${parameters} parameters`, () => {
    withoutLeaks(() => {
      const model = buildModel(parseModelConfig(json, "config.json"), metaWeights());
      const count = modelParameters(model).reduce((sum, p) => sum + p.tensor.numel, 0);
      assert.equal(count, parameters);
      assert.equal(model.device, "meta");
    });
  });
}

test("random weights: matrices have the deviation asked for, norms are neutral, biases zero", () => {
  withoutLeaks(() => {
    for (const neutral of [0, 1] as const) {
      const weights = randomWeights(0.05, neutral);
      const matrix = weights("model.layers.0.mlp.up_proj.weight", [100, 100]);
      const deviation = Math.sqrt(matrix.toNumbers().reduce((sum, x) => sum + x * x, 0) / 10_000);
      assertClose(deviation, 0.05, { rtol: 0.05 });
      for (const name of ["model.norm.weight", "x.input_layernorm.weight", "x.self_attn.q_norm.weight"]) {
        assert.deepEqual(weights(name, [3]).toNumbers(), [neutral, neutral, neutral], name);
      }
      assert.deepEqual(weights("x.q_proj.bias", [2]).toNumbers(), [0, 0]);
    }
  });
});

test("a tied head is the embedding's own tensor", () => {
  withoutLeaks(() => {
    const tied = tinyModel("llama_tied");
    assert.equal(tied.lm_head.weight, tied.model.embed_tokens.weight);
    const untied = tinyModel("llama_untied");
    assert.notEqual(untied.lm_head.weight, untied.model.embed_tokens.weight);
    const names = modelParameters(tied).map((p) => p.name);
    assert.equal(names.includes("lm_head.weight"), false);
    assert.equal(names[0], "model.embed_tokens.weight");
  });
});

test("embeddings are scaled by √D for Gemma alone", () => {
  withoutLeaks(() => {
    const ids = tensor([3], [1], { dtype: "int64" });
    for (const [name, factor] of [
      ["gemma3", 4],
      ["qwen3", 1],
    ] as const) {
      const model = tinyModel(name);
      const row = ops.mul(model.model.embed_tokens.forward(ids), factor);
      assertClose(model.embed(ids, "float32"), row.toNumbers(), {});
    }
  });
});
