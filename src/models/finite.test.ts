/** NaN and infinite weights: refused when they are loaded, with file, tensor and place, in models and adapters. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutLeaks } from "../../test/support/close.ts";
import {
  adaptPatterned,
  checkpointTensors,
  temporaryDirectory,
  tinyAdapterConfig,
  tinyConfig,
  tinyModel,
  writeCheckpoint,
} from "../../test/support/tiny-models.ts";
import { FormatError } from "../base/errors.ts";
import { readAdapter } from "../formats/adapter.ts";
import type { DType } from "../torch/index.ts";
import { noGrad, ops, scope, tensor } from "../torch/index.ts";
import { adapterParameters, modelParameters } from "../train/parameters.ts";
import { loadModel } from "./load.ts";
import { installAdapter } from "./load-adapter.ts";
import { writeAdapter } from "./save.ts";

const bad: { what: string; name: string; value: number; says: RegExp }[] = [
  { what: "NaN", name: "model.layers.1.mlp.down_proj.weight", value: Number.NaN, says: /1 NaN of/ },
  {
    what: "infinity",
    name: "model.norm.weight",
    value: Infinity,
    says: /1 infinite of 16, the first at \[3\]/,
  },
  { what: "minus infinity", name: "model.embed_tokens.weight", value: -Infinity, says: /1 infinite of/ },
];

for (const { what, name, value, says } of bad) {
  for (const dtype of ["float32", "bfloat16", "float16"] as const satisfies DType[]) {
    test(`${what} in ${name}, ${dtype}`, () => {
      withoutLeaks(() => {
        using _ = scope();
        using dir = temporaryDirectory();
        const model = tinyModel("llama_tied");
        const spoilt = modelParameters(model).find((one) => one.name === name);
        assert.ok(spoilt);
        const flat = ops.view(ops.detach(spoilt.tensor), [-1]);
        noGrad(() => ops.copy_(ops.slice(flat, 0, 3, 4), tensor([value])));
        writeCheckpoint(dir.path, tinyConfig("llama_tied"), checkpointTensors(model, dtype));
        for (const options of [{}, { dtype: "float32", copy: true }] as const) {
          assert.throws(
            () => loadModel(dir.path, options),
            (error: unknown) => {
              assert.ok(error instanceof FormatError);
              assert.match(error.message, says);
              assert.ok(error.message.includes(`model.safetensors: tensor "${name}" holds numbers`));
              return true;
            },
          );
        }
      });
    });
  }
}

test("a float64 weight beyond float32 is infinite once it is float32", () => {
  withoutLeaks(() => {
    using _ = scope();
    using dir = temporaryDirectory();
    const tensors = checkpointTensors(tinyModel("llama_tied")).map((one) =>
      one.name !== "model.norm.weight"
        ? one
        : {
            ...one,
            dtype: "F64" as const,
            bytes: () => new Uint8Array(Float64Array.from({ length: 16 }, () => 1e300).buffer),
          },
    );
    writeCheckpoint(dir.path, tinyConfig("llama_tied"), tensors);
    assert.throws(
      () => loadModel(dir.path, { dtype: "float32" }),
      /"model\.norm\.weight" .* 16 infinite of 16/,
    );
  });
});

test("an adapter's NaN is refused with its file and PEFT's name of the tensor", () => {
  withoutLeaks(() => {
    using _ = scope();
    using dir = temporaryDirectory();
    const model = tinyModel("qwen3");
    const { config } = adaptPatterned(model, tinyAdapterConfig());
    const parameters = adapterParameters(model);
    const spoilt = parameters.shards.find((one) =>
      one.name.endsWith("layers.0.self_attn.v_proj.lora_B.weight"),
    );
    assert.ok(spoilt);
    noGrad(() => ops.copy_(ops.slice(ops.detach(spoilt.tensor), 0, 2, 3), tensor([Number.NaN])));
    writeAdapter(dir.path, config, parameters.tensors);
    assert.throws(
      () => installAdapter(tinyModel("qwen3"), readAdapter(dir.path)),
      /adapter_model\.safetensors: tensor "base_model\S+v_proj\.lora_B\.weight" .* 4 NaN of \d+, the first at \[2, 0\]/,
    );
  });
});
