/** Tests of memory.ts: what weights, averages and an export's check take, where it follows from the shape. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { input, pair } from "../../test/support/plan-inputs.ts";
import { type ComputeType, gpuNamed } from "./devices.ts";
import { planMemory } from "./memory.ts";
import { memorySetup } from "./memory-setup.ts";
import { formatPlan } from "./plan-text.ts";
import { planRun } from "./run-plan.ts";

test("weights of 8B: bfloat16 under an adapter, float32 with two float32 averages in full tuning", () => {
  const lora = planRun(input({ lora: true }));
  const rank16 = lora.parameters.adapter;
  assert.equal(rank16, 41_943_040);
  // adapters are float32, with a bfloat16 copy
  assert.equal(lora.memory.components.weights, 2 * 8_030_261_248 + (4 + 2) * rank16);
  assert.equal(lora.memory.components.optimiser, 8 * rank16);
  const full = planRun(input());
  // and so are the matrices of full tuning: all but the norms and the embedding, which is looked up in float32
  const matrices = 8_030_261_248 - 65 * 4096 - 128_256 * 4096;
  assert.equal(full.memory.components.weights, 4 * 8_030_261_248 + 2 * matrices);
  assert.equal(full.memory.components.optimiser, 8 * 8_030_261_248);
  // every tensor has at least 4,096 numbers, and whole blocks of 256: two bytes and two 256ths of float32
  const in8Bits = planRun(input({ run: { optim: "adamw_8bit" } }));
  assert.equal(in8Bits.memory.components.optimiser, (2 + 8 / 256) * 8_030_261_248);
  const in16Bits = planRun(input({ run: { optim: "adamw_bf16" } }));
  assert.equal(in16Bits.memory.components.optimiser, 4 * 8_030_261_248);
  assert.equal(full.memory.fits, false);
});

test("an embedding in the computer's memory is not among a GPU's weights, and a plan that is too large names it", () => {
  const planned = (run: Record<string, unknown>) => planRun(input({ lora: true, run }));
  const [there, away] = [planned({}), planned({ offload_embedding: true })];
  const { weights } = there.memory.components;
  assert.equal(weights - away.memory.components.weights, 2 * 128_256 * 4096);
  assert.match(formatPlan(away), /^type +bfloat16.*, offload_embedding$/m);
  const device = { ...gpuNamed("h100"), memoryBytes: 1.12 * weights };
  const { advice } = planRun({ ...input({ lora: true, run: { gradient_checkpointing: true } }), device });
  assert.ok(advice.some(({ change }) => change.startsWith("offload_embedding: true")));
});

test("on a GPU an update with averages in fewer bits takes a stretch of the largest tensor, for short rows the most of all", () => {
  const planned = (run: Record<string, unknown>, device?: "cpu") => {
    const setup = memorySetup(input({ run: { gradient_checkpointing: true, ...run } }));
    const { numerics } = setup;
    const there = device === undefined ? setup : { ...setup, numerics: { ...numerics, onGpu: false } };
    return planMemory(there, [{ prompt: 1, chosen: 1, rejected: 1 }]);
  };
  const in8Bits = planned({ optim: "adamw_8bit" });
  assert.deepEqual([in8Bits.moment, in8Bits.components.working], ["the update", 42 * 2 ** 22]);
  assert.equal(planned({ optim: "adamw_bf16" }).components.working, 36 * 2 ** 22);
  assert.notEqual(planned({}).moment, "the update");
  assert.notEqual(planned({ optim: "adamw_8bit" }, "cpu").moment, "the update");
  const inBackward = { optimizer_in_backward: true, max_grad_norm: 0 };
  const [early, whole] = [planned({ optim: "adamw_8bit", ...inBackward }), planned(inBackward)];
  assert.equal(early.components.working - whole.components.working, 42 * 2 ** 22);
});

test("a reward model has no head over the vocabulary: no matrix of it, no logits, no work", () => {
  const head = 128_256 * 4096;
  for (const lora of [false, true]) {
    const [scores, tokens] = ["reward", "simpo"].map((objective) =>
      planRun(input({ lora, run: { objective } })),
    );
    assert.ok(scores !== undefined && tokens !== undefined);
    assert.equal(scores.parameters.head, 0);
    assert.equal(scores.parameters.total, tokens.parameters.total - head);
    // in full tuning float32, and a bfloat16 copy of the matrix for products
    const bytes = lora ? 2 : 4 + 2;
    assert.equal(scores.memory.components.weights, tokens.memory.components.weights - bytes * head);
    assert.equal(
      scores.memory.components.optimiser,
      tokens.memory.components.optimiser - (lora ? 0 : 8 * head),
    );
    const completions = tokens.rows.mean.chosen + tokens.rows.mean.rejected;
    assert.equal(tokens.flops.forward - scores.flops.forward, 2 * head * completions);
    assert.match(
      formatPlan(scores),
      /score layer in place of the head, whose matrix, logits and work are not counted/,
    );
  }
});

test("on a CPU the base of an adapter is checked in a copy where its type is another than is computed in", () => {
  const setup = memorySetup(input({ lora: true }));
  const numbers = 8_030_261_248;
  const files = (stored: "float32" | "bfloat16", dtype: ComputeType, export_merged: boolean) => {
    const model = { ...setup.model, dtype: stored };
    const numerics = { ...setup.numerics, dtype, onGpu: false };
    return planMemory({ ...setup, model, numerics, export_merged }, [pair]).components.files / numbers;
  };
  assert.deepEqual([files("bfloat16", "bfloat16", false), files("float32", "float32", false)], [2, 4]);
  assert.deepEqual([files("bfloat16", "float32", false), files("float32", "bfloat16", false)], [4, 2]);
  // the merged model is mapped as it is written, and compared in float32 where that is its type
  assert.deepEqual([files("bfloat16", "float32", true), files("float32", "bfloat16", true)], [4, 6]);
});

test("on ranks the copy for the export's check takes the place of the blocks that stayed gathered", () => {
  const setup = memorySetup(input({ lora: true }));
  const files = (stored: "float32" | "bfloat16", keep_gathered: boolean) => {
    const model = { ...setup.model, dtype: stored };
    const numerics = { ...setup.numerics, dtype: "float32", onGpu: false } as const;
    const shards = { ranks: 4, keep_gathered };
    return planMemory({ ...setup, model, numerics, shards }, [pair]).components.files / 8_030_261_248;
  };
  assert.deepEqual([files("bfloat16", false), files("bfloat16", true)], [1, 0]);
  // no copy: the mapped file is resident beside them
  assert.deepEqual([files("float32", false), files("float32", true)], [1, 1]);
});
