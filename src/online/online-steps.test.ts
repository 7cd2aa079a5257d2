/** How many steps a number of epochs over prompts is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadConfig } from "../config/load-config.ts";
import { type OnlineParts, OnlineSteps } from "./online-steps.ts";

/** Steps of a run over as many prompts, of which a step takes `prompts`. */
function totalSteps(rows: number, prompts: number, num_train_epochs: number): number {
  const { config } = loadConfig({
    values: {
      ...{ model_name_or_path: "m", train_data: "a", output_dir: "o" },
      ...{ objective: "grpo", reward_funcs: ["rewards.mjs"], num_generations: 2, num_train_epochs },
      ...{ per_device_train_batch_size: 2 * prompts, gradient_accumulation_steps: 1 },
    },
  });
  const examples = Array.from({ length: rows }, (_, i) => ({
    origin: { file: "prompts.jsonl", line: i + 1 },
    promptIds: [1],
    completions: [],
  }));
  const parts = { config, examples, objective: { name: "grpo" }, valueModel: null };
  return new OnlineSteps(parts as unknown as OnlineParts).totalSteps;
}

test("a fraction of epochs is not rounded up for a rounding error", () => {
  const known = [
    // 1.1 × 50 is 55.00000000000001
    [50, 5, 1.1, 11],
    [49, 1, 3, 147],
    [10, 1, 2.1, 21],
    [10, 3, 1, 4],
    [10, 4, 1.5, 4],
  ] as const;
  for (const [rows, prompts, epochs, steps] of known)
    assert.equal(totalSteps(rows, prompts, epochs), steps, `${rows} ${prompts} ${epochs}`);
});
