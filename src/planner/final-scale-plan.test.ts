/** The plan of the passes with which a run chooses its scale. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { input, pair } from "../../test/support/plan-inputs.ts";
import type { PlanInput } from "./plan-input.ts";
import { formatPlan } from "./plan-text.ts";
import { planRun } from "./run-plan.ts";

const auto = { eval_data: "e", final_scale: "auto", per_device_eval_batch_size: 4 };
const held = {
  rows: 64,
  mean: pair,
  answerTokens: 64 * 580,
  batch: (size: number) => Array.from({ length: size }, () => pair),
};

function withHeld(given: PlanInput): PlanInput {
  return { ...given, workload: { ...given.workload, held } };
}

test("eleven forward passes over the held-out rows are part of the run's time", () => {
  const without = planRun(input({ lora: true }));
  const plan = planRun(withHeld(input({ lora: true, run: auto })));
  const seconds = (11 * 64 * plan.flops.forward) / (989e12 * 0.4);
  assert.ok(Math.abs((plan.finalScale?.seconds ?? 0) / seconds - 1) < 1e-9);
  for (const [i, { runSeconds }] of plan.methods.entries()) {
    const more = (runSeconds ?? Number.NaN) - (without.methods[i]?.runSeconds ?? Number.NaN);
    assert.ok(Math.abs(more / seconds - 1) < 1e-6, `${more} and ${seconds}`);
  }
  const text = formatPlan(plan);
  assert.match(text, /final_scale: auto ends the run with 11 passes over 64 held-out rows, .*FLOP, /);
  assert.match(text, /Time is that of training steps and of these passes alone/);
  // on 4 ranks a quarter each
  const [one, four] = [{}, auto].map((run) =>
    planRun(withHeld(input({ lora: true, count: 4, run: { shard: "none", ...run } }))),
  );
  const added = (four?.ranks?.runSeconds ?? Number.NaN) - (one?.ranks?.runSeconds ?? Number.NaN);
  assert.ok(Math.abs((4 * added) / seconds - 1) < 1e-6, `${added} and ${seconds}`);
});

test("rows that are unknown are said to be, and their time is not counted", () => {
  const [without, plan] = [{}, auto].map((run) => planRun(input({ lora: true, run })));
  assert.equal(plan?.methods[0]?.runSeconds, without?.methods[0]?.runSeconds);
  const text = plan === undefined ? "" : formatPlan(plan);
  assert.match(text, /11 passes over the held-out rows, how many is unknown: their time is not counted/);
  assert.match(text, /Time is that of training steps alone/);
});

test("memory is that of training or of measuring, whichever is more, on each rank all of the model", () => {
  const parameters = 8_030_261_248;
  const table = 128_256 * 4096;
  // start and result as they are stored, what is mixed of them in bfloat16, and a tensor on its way in float32
  const full = planRun(withHeld(input({ run: auto })));
  assert.notEqual(full.memory.moment, "measuring the scales at the end");
  const least = 6 * parameters + 12 * table;
  const measuring = full.finalScale?.memoryBytes ?? 0;
  assert.ok(measuring > least && measuring < least + 4 * 2 ** 30, `${measuring} of ${least}`);
  // a rank of 16 trains on less than that
  const shared = planRun(withHeld(input({ run: { ...auto, shard: "all" }, count: 16 })));
  assert.equal(shared.memory.moment, "measuring the scales at the end");
  assert.equal(shared.memory.total, shared.finalScale?.memoryBytes);
  assert.equal(shared.memory.components.optimiser, 0);
  assert.equal(shared.memory.components.weights, least);
  assert.equal(planRun(input()).finalScale, null);
});
