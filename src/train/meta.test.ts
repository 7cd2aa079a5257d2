/**
 * A training step of every family without data, on device `meta`, which stands for a GPU: the walk forward, head and
 * backward, with flash attention (bfloat16) and with one call a segment (float32), activations kept (float32) or computed
 * again (bfloat16), and dropout's masks by torch's operators. Not checked there: the objective, some of whose operators torch has no shapes for outside Python;
 * and what reads a number back (the loss, clipping).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutLeaks } from "../../test/support/close.ts";
import { everyFamily, fixturePath } from "../../test/support/fixture-files.ts";
import { tinyAdapterConfig } from "../../test/support/tiny-models.ts";
import { packExamples } from "../data/packing.ts";
import { readModelConfig } from "../formats/hf-config.ts";
import { completionSlices, type DeviceBatch, toDevice } from "../forward/batch.ts";
import { tokenLogpsHead } from "../forward/head.ts";
import { walk } from "../forward/walk.ts";
import { addAdapter } from "../models/adapt.ts";
import { buildModel } from "../models/build.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { metaWeights } from "../models/weights.ts";
import type { ParameterSet } from "../nn/parameter-set.ts";
import { type DType, ops } from "../torch/index.ts";
import { adapterParameters, trainAll } from "./parameters.ts";

const origin = { file: "meta.test.ts", line: 1 };
const examples = [
  { origin, promptIds: [3, 7, 1, 9, 4, 4, 4], completions: [{ ids: [12, 5, 2] }, { ids: [6, 6, 8, 21, 2] }] },
  { origin, promptIds: [8], completions: [{ ids: [21] }, { ids: [17, 11, 0, 2] }] },
];
/** A micro-batch as `src/train/step.ts` takes it, with some gradient in the place of the objective's. */
function step(model: CausalLM, trained: ParameterSet, batch: DeviceBatch, dtype: DType): void {
  const lm = tokenLogpsHead(model, { logits_chunk_size: 8, entropies: true });
  const pass = walk(model, batch, lm, {
    dtype,
    trained,
    gradient_checkpointing: dtype === "bfloat16",
  });
  for (const group of completionSlices(batch, 10)) {
    const head = pass.head(group);
    assert.deepEqual([head.logps.shape, head.logps.dtype], [[group.end - group.start], "float32"]);
    assert.deepEqual(head.entropies?.shape, head.correct.shape);
    head.backward(ops.zerosLike(head.logps));
  }
  pass.backward();
}

const kinds: Record<string, (model: CausalLM) => ParameterSet> = {
  "full tuning": trainAll,
  LoRA: (model) => {
    const adapter = addAdapter(model, tinyAdapterConfig({ dropout: 0.1 }), "all-linear");
    adapter.switch.dropoutKeys = ops.zeros([2, packExamples(examples).ids.length], {
      dtype: "int32",
      device: "meta",
    });
    return adapterParameters(model);
  },
  DoRA: (model) => {
    addAdapter(model, tinyAdapterConfig({ useDora: true, modulesToSave: ["lm_head"] }));
    return adapterParameters(model);
  },
};

for (const name of everyFamily) {
  for (const [kind, train] of Object.entries(kinds)) {
    for (const dtype of ["bfloat16", "float32"] as const) {
      test(`${name}, ${kind}, ${dtype}: each parameter gets a gradient of its shape and type`, () => {
        withoutLeaks(() => {
          const config = readModelConfig(fixturePath(name, "model"));
          const weights = metaWeights();
          const held = kind === "full tuning" ? "float32" : dtype;
          const model = buildModel(config, (path, shape) => ops.to(weights(path, shape), held));
          const parameters = train(model);
          const batch = toDevice(packExamples(examples), "meta");
          const { full } = model.context(batch, dtype);
          // Gemma 2's caps on scores are not flash attention's
          const isFlash = dtype === "bfloat16" && config.design.scoreCap === null;
          assert.equal(full.plan.varlen !== null, isFlash, "the path that was meant");
          step(model, parameters, batch, dtype);
          assert.ok(parameters.shards.length > 0);
          for (const { name: path, tensor } of parameters) {
            const { grad } = tensor;
            assert.deepEqual([grad?.shape, grad?.dtype], [tensor.shape, "float32"], path);
            tensor.grad = null;
          }
        });
      });
    }
  }
}
