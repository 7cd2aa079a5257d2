/** How many steps a number of epochs is, by transformers' rule. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Example } from "../data/example.ts";
import { EpochSteps } from "./step-source.ts";

function totalSteps(rows: number, num_train_epochs: number): number {
  const examples = Array.from(
    { length: rows },
    (_, i): Example => ({
      origin: { file: "rows.jsonl", line: i + 1 },
      promptIds: [1],
      completions: [{ ids: [2] }, { ids: [3] }],
    }),
  );
  return new EpochSteps(examples, {
    ...{ train_batch_size: null, per_device_train_batch_size: 1, gradient_accumulation_steps: 1 },
    ...{ per_device_eval_batch_size: 1, tokens_per_step: null, max_tokens_per_micro_batch: null },
    ...{ share_prompt: true, num_train_epochs, max_steps: -1, data_order: "given", seed: 1 },
  }).totalSteps;
}

test("a fraction of epochs is as many steps as in transformers, ceil(epochs × steps), whatever it is rounded to", () => {
  // values of its trainer, with a row a step
  const known = [
    [1.1, 10, 11],
    [2.1, 10, 21],
    [1.3, 10, 13],
    [1.1, 70, 77],
    [1.1, 50, 56],
    [0.25, 10, 3],
    [3, 7, 21],
  ] as const;
  for (const [epochs, steps, total] of known) assert.equal(totalSteps(steps, epochs), total);
  for (let tenths = 1; tenths <= 40; tenths++) {
    for (const steps of [1, 3, 7, 10, 13, 20, 30]) {
      assert.equal(
        totalSteps(steps, tenths / 10),
        Math.ceil((tenths / 10) * steps),
        `${tenths}/10 × ${steps}`,
      );
    }
  }
});
