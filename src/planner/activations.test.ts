import assert from "node:assert/strict";
import { test } from "node:test";
import { fixturePath } from "../../test/support/fixture-files.ts";
import { readModelConfig } from "../formats/hf-config.ts";
import { headsOf, type ModelConfig } from "../formats/model-config.ts";
import {
  blockTensors,
  completionAttentionBytes,
  keptBytesPerToken,
  type PlannedNumerics,
  passingBytesPerToken,
} from "./activations.ts";
import { everything } from "./trained-parts.ts";

const gemma4 = readModelConfig(fixturePath("gemma4_dense", "model"));

/** Gemma 4 with wide heads in its full layers, which torch's flash attention does not take. */
const wide: ModelConfig = { ...gemma4, fullHeads: { headDim: 512, numKeyValueHeads: 1 } };
/** The same with its full layers alone. */
const onlyWide: ModelConfig = { ...wide, layerKinds: wide.layerKinds.filter((kind) => kind === "full") };
const withoutWide: ModelConfig = { ...wide, layerKinds: wide.layerKinds.filter((kind) => kind !== "full") };

const gpu = { dtype: "bfloat16", onGpu: true } as const;
/** Where torch attends part by part, in numbers of twice the size. */
const parts = { dtype: "float32", onGpu: true } as const;
const cpu = { dtype: "bfloat16", onGpu: false } as const;
const pairs = [{ prompt: 100, chosen: 50, rejected: 70 }];
const bytes = (config: ModelConfig, where: PlannedNumerics) =>
  completionAttentionBytes(config, pairs, where, true);

test("heads too wide for flash attention are planned as torch attends to them: part by part, with masks", () => {
  assert.equal(headsOf(wide, "full").headDim, 512);
  assert.equal(bytes(onlyWide, gpu), bytes(onlyWide, parts) / 2);
  assert.equal(bytes(wide, gpu), bytes(onlyWide, gpu) + bytes(withoutWide, gpu));
  assert.ok(bytes(withoutWide, gpu) < bytes(withoutWide, parts) / 2);
  assert.ok(passingBytesPerToken(wide, gpu) >= passingBytesPerToken(onlyWide, parts) / 2);
  assert.equal(bytes(wide, cpu), 0);
});

test("norms that add 1 to their weight keep their inputs in float32, not beside them in half precision", () => {
  const gemma = readModelConfig(fixturePath("gemma3_text", "model"));
  const plain: ModelConfig = { ...gemma, design: { ...gemma.design, normOffset: 0 } };
  const kept = (config: ModelConfig, where: PlannedNumerics) =>
    keptBytesPerToken(blockTensors(config, everything, 0, where));
  const heads = (gemma.numHeads + gemma.numKeyValueHeads) * gemma.headDim;
  // four norms of the stream and those of q and k; the first one's own input is not in the table
  const float32 = 4 * (4 * gemma.hiddenSize + heads);
  const half = 2 * (3 * gemma.hiddenSize + heads);
  assert.equal(kept(gemma, gpu) - kept(plain, gpu), float32 - half);
  assert.equal(kept(gemma, { ...gpu, dtype: "float32" }), kept(plain, { ...gpu, dtype: "float32" }));
});
