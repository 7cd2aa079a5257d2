/** Real preference pairs over ranks: none waits much for another. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { planEpoch } from "../../src/data/batches.ts";
import { orderWithoutLengths } from "../../src/data/row-order.ts";
import { everything } from "../../src/planner/trained-parts.ts";
import { rowCost } from "../../src/recipes/row-cost.ts";
import { prepareData, rowsOf } from "../../src/train/prepare-data.ts";
import { requireShared, skipWithoutShared } from "../support/shared.ts";

const model = ["models", "SmolLM2-135M-Instruct-Q4_1"] as const;
const data = ["data", "preference", "helpful.train.jsonl"] as const;
const ranks = 16;
const pairs = 64;

/** Mean load over the highest. */
function balanceOf(loads: readonly number[]): number {
  return loads.reduce((sum, load) => sum + load, 0) / loads.length / Math.max(...loads);
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, n) => sum + n, 0) / numbers.length;
}

test("64 pairs over 16 ranks: mean load at least 0.94 of the highest; in order of the rows below 0.7", {
  skip: skipWithoutShared(...model) || skipWithoutShared(...data),
}, async () => {
  const { dataset, modelConfig } = await prepareData(
    rowsOf(requireShared(...data), { model_name_or_path: requireShared(...model), task: "preference" }),
  );
  const { examples } = dataset;
  const cost = rowCost(examples, modelConfig, { trained: everything, share_prompt: true });
  const sum = (indices: readonly number[]) => indices.reduce((total, index) => total + cost(index), 0);
  const order = orderWithoutLengths(examples.length, 0, { data_order: "shuffled", seed: 1 });
  const options = { train_batch_size: pairs, gradient_accumulation_steps: 1, ranks, cost };
  for (const cut of [
    { per_device_train_batch_size: 4 },
    { per_device_train_batch_size: pairs, max_tokens_per_micro_batch: 4096 },
  ]) {
    const steps = planEpoch(examples, order, { ...options, ...cut });
    const whole = steps.filter((step) => step.examples.length === pairs);
    assert.ok(whole.length >= 30);
    const divided = mean(whole.map((step) => balanceOf(step.byRank().map((own) => sum(own.flat())))));
    const inOrder = whole.map(({ examples: rows }) =>
      balanceOf(
        Array.from({ length: ranks }, (_, rank) => sum(rows.filter((_row, i) => i % ranks === rank))),
      ),
    );
    assert.ok(divided >= 0.94, `mean load ${divided.toFixed(3)} of the highest`);
    assert.ok(mean(inOrder) < 0.7, `${mean(inOrder)}`);
  }
});
