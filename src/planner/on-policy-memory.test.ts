/** On-policy runs beside their steps: memory of evaluations and of a value model that is no copy of the policy; time of passes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { input } from "../../test/support/plan-inputs.ts";
import { planRun } from "./run-plan.ts";
import { everything } from "./trained-parts.ts";

/** Keys and values of a token: 32 layers with 8 heads of 128 in bfloat16. */
const perToken = 2 * 32 * 8 * 128 * 2;
const weights = 8_030_261_248;

/** A step of one prompt with 8 completions, so that what is large is an evaluation. */
function memoryOf(
  run: Record<string, unknown>,
  { lora = true, held, isGpu = true }: { lora?: boolean; held?: number; isGpu?: boolean } = {},
) {
  const rollouts = {
    ...{ objective: "grpo", reward_funcs: ["exact"], num_generations: 8, per_device_train_batch_size: 8 },
    ...{ max_completion_length: 4096, eval_data: "e" },
  };
  const given = input({ lora, run: { ...rollouts, ...run } });
  const row = { prompt: 25, chosen: 400, rejected: 0 };
  const workload = {
    ...given.workload,
    mean: row,
    own: [row],
    microBatch: (n: number) => Array(n).fill(row),
  };
  const rows =
    held === undefined ? {} : { held: { rows: held, mean: row, answerTokens: 0, batch: () => [row] } };
  const device = { ...given.device, isGpu };
  return planRun({ ...given, device, workload: { ...workload, ...rows } }).memory;
}

test("an evaluation's cache is of up to 16 held-out prompts with num_generations_eval completions", () => {
  const evaluated = memoryOf({ num_generations_eval: 32 });
  assert.equal(evaluated.moment, "sampling an evaluation");
  assert.equal(evaluated.components.cache, perToken * (16 * 200 + 16 * 32 * 4096));
  assert.equal(memoryOf({}).components.cache, perToken * (16 * 200 + 16 * 8 * 4096));
  assert.equal(
    memoryOf({ num_generations_eval: 32 }, { held: 3 }).components.cache,
    perToken * (3 * 200 + 3 * 32 * 4096),
  );
  // nothing is evaluated, or a step has more
  const unevaluated = memoryOf({ eval_data: null });
  assert.equal(unevaluated.moment, "sampling a rollout");
  assert.equal(unevaluated.components.cache, perToken * (200 + 8 * 4096));
  const steps = memoryOf({ num_generations_eval: 2, gradient_accumulation_steps: 16 });
  assert.equal(steps.moment, "sampling a rollout");
});

test("what filters leave of a rollout's and an evaluation's tokens is held, at most a bit for each token of the vocabulary", () => {
  const bits = 128_256 / 8;
  const filtered = (run: Record<string, unknown>, isGpu = false) =>
    memoryOf({ eval_data: null, ...run }, { held: 3, isGpu }).components.filtered;
  assert.equal(filtered({}), 0);
  assert.equal(filtered({ top_p: 0.9 }), 8 * 4096 * bits);
  assert.equal(filtered({ min_p: 0.1, steps_per_generation: 4 }), 4 * 8 * 4096 * bits);
  assert.equal(filtered({ top_p: 0.9, top_k: 20 }), 8 * 4096 * 4 * 20);
  assert.equal(filtered({ top_k: 100_000 }), 8 * 4096 * bits);
  assert.equal(filtered({ top_p: 0.9 }, true), 0, "in the computer's memory");
  // the rollout is held while an evaluation is sampled
  const evaluated = { eval_data: "e", num_generations_eval: 32, top_p: 0.9 };
  assert.equal(filtered(evaluated), (8 + 3 * 32) * 4096 * bits);
  const ahead = (run: object) =>
    memoryOf({ eval_data: null, max_staleness: 1, ...run }, { isGpu: false }).components.sampler;
  assert.equal(ahead({ top_p: 0.9 }) - ahead({}), 8 * 4096 * bits);
});

test("with max_staleness the process that trains has the cache of its evaluations", () => {
  const ahead = { max_staleness: 1, num_generations_eval: 32 };
  assert.equal(memoryOf(ahead).components.cache, perToken * (16 * 200 + 16 * 32 * 4096));
  assert.equal(memoryOf({ max_staleness: 1, eval_data: null }).components.cache, 0);
});

test("an evaluation loads the start again, unless it is the model without its new adapter, and beside a reference of training", () => {
  const short = { max_completion_length: 16 };
  const copy = memoryOf({ ...short, beta: 0.1, eval_data: null }, { lora: false }).components.reference;
  assert.ok(copy > 4 * weights);
  const full = memoryOf(short, { lora: false });
  assert.equal(full.moment, "kl_init of an evaluation");
  assert.equal(full.components.reference, copy);
  assert.equal(memoryOf({ ...short, beta: 0.1 }, { lora: false }).components.reference, 2 * copy);
  assert.equal(memoryOf({ ...short, eval_data: null }, { lora: false }).components.reference, 0);
  assert.equal(memoryOf(short).components.reference, 0);
  const continued = { ...short, adapter_name_or_path: "a" };
  assert.ok(memoryOf(continued).components.reference > 2 * weights);
});

test("a value model of another size has its memory, also in its step", () => {
  const run = {
    objective: "ppo",
    reward_funcs: ["exact"],
    num_generations: 8,
    per_device_train_batch_size: 8,
  };
  const small = { num_hidden_layers: 2, hidden_size: 512, intermediate_size: 1024 };
  const heads = { num_attention_heads: 4, num_key_value_heads: 4 };
  const given = input({ run, model: { ...small, ...heads } });
  const large = input({ run });
  const own = planRun(given).memory;
  const beside = planRun({ ...given, valueModel: { model: large.model, trained: everything } }).memory;
  const alone = planRun(large).memory;
  assert.ok(own.components.valueModel < alone.components.valueModel / 50);
  assert.equal(beside.components.valueModel, alone.components.valueModel);
  assert.equal(beside.components.weights, own.components.weights);
  assert.match(beside.moment, /of the value model$/);
  // its gradients, while the small policy's are gone
  assert.ok(beside.components.gradients > 4 * 6.9e9);
});

test("each pass over a rollout takes its time, and PPO's value model a step beside each of the policy's", () => {
  const timed = (run: Record<string, unknown>) => {
    const rollouts = { reward_funcs: ["exact"], num_generations: 8, per_device_train_batch_size: 8 };
    const plan = planRun(input({ lora: true, run: { ...rollouts, ...run } }));
    return { flops: plan.flops, own: plan.methods[0] };
  };
  const grpo = timed({ objective: "grpo" });
  const seconds = (run: Record<string, unknown>) => timed(run).own?.runSeconds ?? Number.NaN;
  const close = (a: number, b: number) => assert.ok(Math.abs(a / b - 1) < 1e-9, `${a} and ${b}`);
  close(seconds({ objective: "grpo", num_iterations: 4 }), 4 * (grpo.own?.runSeconds ?? 0));
  close(seconds({ objective: "ppo" }), 2 * seconds({ objective: "ppo", num_ppo_epochs: 2 }));
  const stepped = { objective: "grpo", max_steps: 10 };
  close(seconds({ ...stepped, num_iterations: 4 }), seconds(stepped));
  const ppo = timed({ objective: "ppo" });
  // the same layers with the same adapter, and no head, whose gradient goes to its input alone
  const { mean } = input().workload;
  const head = 2 * 2 * 128_256 * 4096 * (mean.chosen + mean.rejected);
  close((ppo.own?.flopsPerPair ?? 0) - (grpo.own?.flopsPerPair ?? 0), ppo.flops.training - head);
});
