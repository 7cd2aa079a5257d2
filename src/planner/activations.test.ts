import assert from "node:assert/strict";
import { test } from "node:test";
import { fixturePath } from "../../test/support/fixture-files.ts";
import { readModelConfig } from "../formats/hf-config.ts";
import { headsOf, type ModelConfig } from "../formats/model-config.ts";
import { completionAttentionBytes, passingBytesPerToken } from "./activations.ts";

const gemma4 = readModelConfig(fixturePath("gemma4_dense", "model"));

/** Gemma 4 with wide heads in its full layers, which torch's flash attention does not take. */
const wide: ModelConfig = { ...gemma4, fullHeads: { headDim: 512, numKeyValueHeads: 1 } };
/** The same with its full layers alone. */
const onlyWide: ModelConfig = { ...wide, layerKinds: wide.layerKinds.filter((kind) => kind === "full") };
const withoutWide: ModelConfig = { ...wide, layerKinds: wide.layerKinds.filter((kind) => kind !== "full") };

const gpu = { dtype: "bfloat16", onGpu: true } as const;
const cpu = { dtype: "bfloat16", onGpu: false } as const;
const pairs = [{ prompt: 100, chosen: 50, rejected: 70 }];
const bytes = (config: ModelConfig, where: typeof gpu | typeof cpu) =>
  completionAttentionBytes(config, pairs, where, true);

test("heads too wide for flash attention are planned as torch attends to them: part by part, with masks", () => {
  assert.equal(headsOf(wide, "full").headDim, 512);
  assert.equal(bytes(onlyWide, gpu), bytes(onlyWide, cpu));
  assert.equal(bytes(wide, gpu), bytes(onlyWide, cpu) + bytes(withoutWide, gpu));
  assert.ok(bytes(withoutWide, gpu) < bytes(withoutWide, cpu));
  assert.ok(passingBytesPerToken(wide, gpu) >= passingBytesPerToken(onlyWide, cpu));
});
