/** Loading checkpoints: layouts and types that must give the same model, and broken ones that must be refused by name. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { mappedBytes, memory, resetPeak } from "../../test/support/memory.ts";
import {
  type ConfigJson,
  checkpointTensors,
  logitsOf,
  temporaryDirectory,
  tinyConfig,
  tinyModel,
  tinyNames,
  writeCheckpoint,
} from "../../test/support/tiny-models.ts";
import { listenToWarnings } from "../../test/support/warnings.ts";
import { FormatError } from "../base/errors.ts";
import type { TensorSource } from "../formats/safetensors-write.ts";
import { writeWeights } from "../formats/weight-shards.ts";
import { type DType, noGrad, scope, tensor } from "../torch/index.ts";
import { modelParameters } from "../train/parameters.ts";
import { loadModel } from "./load.ts";

const ids = [1, 9, 30, 4, 4, 17, 22, 0, 11];

const zeros = (name: string, shape: number[]): TensorSource => ({
  name,
  dtype: "F32",
  shape,
  bytes: () => new Uint8Array(4 * shape.reduce((product, size) => product * size, 1)),
});

for (const name of tinyNames) {
  test(`${name}: written and loaded, the logits are the same to the bit, on the map and copied`, () => {
    withoutLeaks(() => {
      using dir = temporaryDirectory();
      const model = tinyModel(name);
      writeCheckpoint(dir.path, tinyConfig(name), checkpointTensors(model));
      const want = logitsOf(model, ids);
      assert.deepEqual(logitsOf(loadModel(dir.path), ids), want);
      assert.deepEqual(logitsOf(loadModel(dir.path, { copy: true }), ids), want);
    });
  });
}

test("what is copied while loading is in memory once, not mapped beside it", {
  skip: process.platform !== "linux",
}, () => {
  withoutLeaks(() => {
    using dir = temporaryDirectory();
    // an embedding of 256 MiB, more than is read at once
    const vocabulary = 2 ** 22;
    const tensors = checkpointTensors(tinyModel("llama_tied")).map((t) =>
      t.name === "model.embed_tokens.weight" ? zeros(t.name, [vocabulary, 16]) : t,
    );
    writeCheckpoint(dir.path, { ...tinyConfig("llama_tied"), vocab_size: vocabulary }, tensors);
    const before = resetPeak();
    loadModel(dir.path, { copy: true });
    const added = (memory("VmHWM") - before) / 2 ** 20;
    assert.ok(added > 200 && added < 256 + 128, `${added} MiB`);
  });
});

test("weights of the type that is wanted stay in the file, in use too; those of another type leave it", {
  skip: process.platform !== "linux",
}, () => {
  withoutLeaks(() => {
    using dir = temporaryDirectory();
    // an embedding of 32 MiB
    const vocabulary = 2 ** 19;
    const tensors = checkpointTensors(tinyModel("llama_tied")).map((t) =>
      t.name === "model.embed_tokens.weight" ? zeros(t.name, [vocabulary, 16]) : t,
    );
    writeCheckpoint(dir.path, { ...tinyConfig("llama_tied"), vocab_size: vocabulary }, tensors);
    const file = join(dir.path, "model.safetensors");
    {
      using _ = scope();
      const model = loadModel(dir.path, { dtype: "float32" });
      const stream = {
        ids: tensor(ids, [ids.length], { dtype: "int64" }),
        positions: tensor(ids, [ids.length], { dtype: "int64" }),
      };
      noGrad(() =>
        model.hiddenStates({ ...stream, segments: [{ start: 0, end: ids.length, parent: -1 }] }, "float32"),
      );
      const { resident, anonymous } = mappedBytes(file);
      assert.ok(resident >= 2 ** 25, `${resident} bytes of the file in memory`);
      assert.equal(anonymous, 0, "bytes of the map that were copied");
    }
    using _ = scope();
    loadModel(dir.path, { dtype: "bfloat16" });
    assert.deepEqual(mappedBytes(file), { resident: 0, anonymous: 0 });
  });
});

test("shards give the same model as one file", () => {
  withoutLeaks(() => {
    using dir = temporaryDirectory();
    const model = tinyModel("qwen3");
    writeFileSync(join(dir.path, "config.json"), JSON.stringify(tinyConfig("qwen3")));
    writeWeights(dir.path, checkpointTensors(model), { maxShardBytes: 4000 });
    assert.deepEqual(logitsOf(loadModel(dir.path), ids), logitsOf(model, ids));
  });
});

for (const dtype of ["float16", "bfloat16"] as const satisfies DType[]) {
  test(`${dtype} weights: kept as stored, or widened exactly`, () => {
    withoutLeaks(() => {
      using dir = temporaryDirectory();
      const model = tinyModel("gemma3");
      writeCheckpoint(
        dir.path,
        { ...tinyConfig("gemma3"), torch_dtype: dtype },
        checkpointTensors(model, dtype),
      );
      const loaded = loadModel(dir.path);
      assert.ok(modelParameters(loaded).every((p) => p.tensor.dtype === dtype));
      assert.equal(loaded.config.dtype, dtype);
      const wide = loadModel(dir.path, { dtype: "float32" });
      assert.ok(modelParameters(wide).every((p) => p.tensor.dtype === "float32"));
      const want = logitsOf(model, ids);
      const got = logitsOf(wide, ids);
      assert.notDeepEqual(got, want);
      assertClose(got, want, { atol: dtype === "float16" ? 0.02 : 0.15 });
      // half-precision weights under float32 activations are widened at each use
      assertClose(logitsOf(loaded, ids), got, { atol: 1e-5 });
    });
  });
}

const multimodal: ConfigJson = {
  architectures: ["Gemma3ForConditionalGeneration"],
  model_type: "gemma3",
  text_config: tinyConfig("gemma3"),
  vision_config: { model_type: "siglip_vision_model" },
};

test("multimodal Gemma 3: what is neither text nor vision is refused, and so is a tensor given twice", () => {
  withoutLeaks(() => {
    const text = checkpointTensors(tinyModel("gemma3")).map((t) => ({
      ...t,
      name: `language_model.${t.name}`,
    }));
    const twice = zeros("model.language_model.norm.weight", [16]);
    for (const [more, message] of [
      [
        zeros("other_tower.x.weight", [3]),
        /1 tensors do not belong to a gemma3_text model.*other_tower\.x\.weight/,
      ],
      [twice, /"language_model\.model\.norm\.weight" and "model\.language_model\.norm\.weight" are both/],
    ] as const) {
      using dir = temporaryDirectory();
      writeCheckpoint(dir.path, multimodal, [...text, more]);
      assert.throws(() => loadModel(dir.path), message);
    }
  });
});

const layouts: Record<string, (name: string) => string> = {
  "language_model.model.": (name) => `language_model.${name}`,
  "model.language_model.": (name) => name.replace(/^model\./, "model.language_model."),
};

for (const [prefix, rename] of Object.entries(layouts)) {
  test(`multimodal Gemma 3 with "${prefix}": the text part alone, vision tensors passed over`, async (t) => {
    const warnings = listenToWarnings(t);
    using dir = temporaryDirectory();
    withoutLeaks(() => {
      const model = tinyModel("gemma3");
      const text = checkpointTensors(model).map((t) => ({ ...t, name: rename(t.name) }));
      const vision = ["vision_tower.vision_model.embeddings.weight", "model.vision_tower.x.weight"];
      const others = [...vision, "multi_modal_projector.mm_input_projection_weight"].map((n) =>
        zeros(n, [3, 2]),
      );
      writeCheckpoint(dir.path, multimodal, [...text, ...others]);
      const loaded = loadModel(dir.path);
      assert.equal(loaded.config.isMultimodalText, true);
      assert.deepEqual(logitsOf(loaded, ids), logitsOf(model, ids));
    });
    assert.deepEqual(await warnings(dir.path), [
      `${dir.path}: the text part of a multimodal model is used; 3 tensors of its other parts are passed over.`,
    ]);
  });
}

test("rotary buffers of older checkpoints are passed over", () => {
  withoutLeaks(() => {
    using dir = temporaryDirectory();
    const model = tinyModel("llama_tied");
    const more = [zeros("model.layers.0.self_attn.rotary_emb.inv_freq", [4])];
    writeCheckpoint(dir.path, tinyConfig("llama_tied"), [...checkpointTensors(model), ...more]);
    assert.deepEqual(logitsOf(loadModel(dir.path), ids), logitsOf(model, ids));
  });
});

interface Broken {
  what: string;
  config?: ConfigJson;
  name?: "llama_tied" | "llama_untied";
  change: (tensors: TensorSource[]) => TensorSource[];
  message: RegExp;
}

const broken: Broken[] = [
  {
    what: "a missing tensor",
    change: (tensors) => tensors.filter((t) => t.name !== "model.layers.1.mlp.up_proj.weight"),
    message:
      /"model\.layers\.1\.mlp\.up_proj\.weight" is missing; a llama model of 2 layers.*hold \d+ tensors/,
  },
  {
    what: "a missing head",
    name: "llama_untied",
    change: (tensors) => tensors.filter((t) => t.name !== "lm_head.weight"),
    message: /"lm_head\.weight" is missing.*tie_word_embeddings is false: set it to true/,
  },
  {
    what: "a wrong shape",
    change: (tensors) => tensors.map((t) => (t.name === "model.norm.weight" ? zeros(t.name, [17]) : t)),
    message:
      /model\.safetensors: tensor "model\.norm\.weight" has shape \[17\], config\.json asks for \[16\]/,
  },
  {
    what: "the right number of elements in another shape",
    change: (tensors) =>
      tensors.map((t) => (t.name.endsWith("0.self_attn.k_proj.weight") ? zeros(t.name, [256]) : t)),
    message: /k_proj\.weight" has shape \[256\], config\.json asks for \[16,16\]/,
  },
  {
    what: "a fused projection without the values' rows",
    config: { model_type: "phi3", architectures: ["Phi3ForCausalLM"], rope_scaling: null },
    change: (tensors) => [
      ...tensors.filter((t) => !/[qkv]_proj|gate_proj|up_proj/.test(t.name)),
      ...[0, 1].flatMap((layer) => [
        zeros(`model.layers.${layer}.self_attn.qkv_proj.weight`, [32 + 16 * layer, 16]),
        zeros(`model.layers.${layer}.mlp.gate_up_proj.weight`, [48, 16]),
      ]),
    ],
    message: /layers\.0\.self_attn\.qkv_proj\.weight" has shape \[32,16\], config\.json asks for \[\d+,16\]/,
  },
  {
    what: "more layers than the config says",
    config: { num_hidden_layers: 1 },
    change: (tensors) => tensors,
    message:
      /9 tensors do not belong to a llama model of 1 layers: model\.layers\.1.*, …\. .*num_hidden_layers/,
  },
  {
    what: "fewer layers than the config says",
    config: { num_hidden_layers: 3 },
    change: (tensors) => tensors,
    message: /"model\.layers\.2\.\S+" is missing; a llama model of 3 layers/,
  },
  {
    what: "q norms in a model without them",
    change: (tensors) => [...tensors, zeros("model.layers.0.self_attn.q_norm.weight", [8])],
    message: /1 tensors do not belong to a llama model.*q_norm\.weight\. .*another architecture/,
  },
  {
    what: "a bias of the head",
    change: (tensors) => [...tensors, zeros("lm_head.bias", [32])],
    message: /1 tensors do not belong to a llama model.*lm_head\.bias/,
  },
  {
    what: "weights of a type no model has",
    change: (tensors) =>
      tensors.map((t) =>
        t.name === "model.norm.weight" ? { ...t, dtype: "F8_E4M3", bytes: () => new Uint8Array(16) } : t,
      ),
    message: /"model\.norm\.weight": expected floats .*, got F8_E4M3\. Use the float checkpoint/,
  },
];

for (const { what, config = {}, name = "llama_tied", change, message } of broken) {
  test(`refused: ${what}`, () => {
    withoutLeaks(() => {
      using dir = temporaryDirectory();
      const tensors = change(checkpointTensors(tinyModel(name)));
      writeCheckpoint(dir.path, { ...tinyConfig(name), ...config }, tensors);
      assert.throws(
        () => loadModel(dir.path),
        (error: unknown) => {
          assert.ok(error instanceof FormatError, String(error));
          assert.match(error.message, message);
          assert.ok(error.message.includes(dir.path), "the message names the directory");
          return true;
        },
      );
    });
  });
}
