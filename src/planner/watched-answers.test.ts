/** The plan of the answers that evaluations sample. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { input } from "../../test/support/plan-inputs.ts";
import { formatPlan } from "./plan-text.ts";
import { planRun } from "./run-plan.ts";

test("the answers that evaluations sample by default are counted, and none where nothing is watched", () => {
  const evaluated = { eval_data: "e", eval_strategy: "steps", eval_steps: 5 };
  const plan = planRun(input({ lora: true, run: evaluated }));
  assert.deepEqual(plan.watch, { prompts: 4, samples: 1, longest: 96, tokens: 384, rows: (384 + 800) / 778 });
  assert.match(
    formatPlan(plan),
    /Each evaluation samples 4 × 1 watched answers of at most 96 tokens: 384 tokens/,
  );
  // 16 prompts at a time, however many there are: more than a step of two short rows holds
  const wide = { watch_prompts: "eval", watch_rows: 64, watch_samples: 8, watch_max_new_tokens: 4096 };
  const { memory } = planRun(input({ lora: true, run: { ...evaluated, ...wide } }));
  assert.equal(memory.moment, "sampling the watched answers");
  assert.equal(memory.components.cache, 2 * 32 * 8 * 128 * 2 * (16 * 200 + 128 * 4096));
  const none = planRun(input({ lora: true }));
  assert.equal(none.watch, null);
  assert.doesNotMatch(formatPlan(none), /watched/);
});
