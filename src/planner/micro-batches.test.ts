/** Plans of steps that are cut into micro-batches by tokens: those of the same steps cut by rows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { input } from "../../test/support/plan-inputs.ts";
import { type Plan, planRun } from "./run-plan.ts";

/** Two rows of 778 tokens at once, of 16 a step. */
function spellings(run: Record<string, unknown>, count: number): [Plan, Plan] {
  const planned = (keys: Record<string, unknown>): Plan =>
    planRun(input({ count, gpu: "h200", run: { ...run, ...keys } }));
  return [
    planned({ per_device_train_batch_size: 16, max_tokens_per_micro_batch: 1600 }),
    planned({ per_device_train_batch_size: 2, gradient_accumulation_steps: 8 }),
  ];
}

test("a cap in tokens makes micro-batches as one in rows does: the gradients of earlier ones are there", () => {
  const [byTokens, byRows] = spellings({ optim: "adamw_8bit" }, 1);
  assert.deepEqual(byTokens.memory, byRows.memory);
  assert.ok(byRows.memory.components.gradients >= 4 * 8_030_261_248);
  const single = planRun(
    input({ gpu: "h200", run: { max_tokens_per_micro_batch: 1600, optim: "adamw_8bit" } }),
  );
  assert.ok(single.memory.total < byRows.memory.total, "a step of two rows is one micro-batch");
});

test("on ranks too, which take as long for them", () => {
  const [byTokens, byRows] = spellings({}, 4);
  assert.equal(byTokens.ranks?.microBatches, 8);
  assert.deepEqual(byTokens.ranks, byRows.ranks);
  assert.deepEqual(byTokens.memory, byRows.memory);
});
