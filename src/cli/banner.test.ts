/** What is said of a run before it starts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadConfig } from "../config/load-config.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { TrainStart } from "../runs/train-events.ts";
import { bannerObject, configBanner, lossNote, startBanner, weightText } from "./banner.ts";

function config(values: Record<string, unknown>): RunConfig {
  const base = { model_name_or_path: "models/m", output_dir: "runs/x", train_data: "pairs.jsonl" };
  return loadConfig({ values: { ...base, ...values } }).config;
}

const start: TrainStart = {
  type: "start",
  step: 0,
  totalSteps: 13,
  trainable: 4_884_480,
  trainRows: 170,
  evaluationRows: 18,
  device: "cpu",
  dtype: "float32",
  threads: 2,
};

test("objective with its preset, model, data and output are said before anything is loaded", () => {
  const text = configBanner(config({ use_peft: true, preset: "script", eval_data: "held.jsonl" }));
  assert.equal(
    text,
    "slime (script), LoRA of rank 16\n" +
      "  model    models/m\n  data     pairs.jsonl\n  held out held.jsonl\n  output   runs/x",
  );
  assert.match(configBanner(config({})), /^slime \(balanced\), all weights\n/);
  assert.match(configBanner(config({ objective: "dpo", loss_type: "ipo" })), /^dpo \(ipo\), all weights\n/);
  assert.match(configBanner(config({ objective: "sft" })), /^sft, all weights\n/);
});

test("device, type, rows, steps, batch and learning rate are said before the first step", () => {
  const given = config({ use_peft: true, gradient_accumulation_steps: 2, learning_rate: 2e-4 });
  assert.equal(
    startBanner(given, start),
    "  device   cpu, float32, 2 threads\n" +
      "  rows     170 to train on, 18 held out\n" +
      "  steps    13 of 16 rows (2 micro-batches of 8)\n" +
      "  lr       0.0002, linear\n" +
      "  trained  4.88 M weights",
  );
  const resumed = { ...start, step: 5, evaluationRows: 0, device: "cuda:0", dtype: "bfloat16" };
  const text = startBanner(config({ tokens_per_step: 4096 }), resumed);
  assert.match(text, /device {3}cuda:0, bfloat16\n/);
  assert.match(
    text,
    /none held out\n {2}steps {4}13 of 4096 tokens \(micro-batches of 8 rows at most\), of which 5 are done\n/,
  );
  const steps = (values: Record<string, unknown>): string | undefined =>
    /steps +13 of (.*)/.exec(startBanner(config(values), start))?.[1];
  const cap = { max_tokens_per_micro_batch: 1024 };
  assert.equal(
    steps({ ...cap, per_device_train_batch_size: 1, gradient_accumulation_steps: 16 }),
    "16 rows (micro-batches of 1 row and 1024 tokens at most)",
  );
  assert.equal(
    steps({ ...cap, tokens_per_step: 4096 }),
    "4096 tokens (micro-batches of 1024 tokens at most)",
  );
});

test("an on-policy run says how many prompts and completions a step has, and that a loss near 0 is right", () => {
  const rollouts = { reward_funcs: ["exact"], num_generations: 8, max_completion_length: 48 };
  const grpo = config({ ...rollouts, objective: "grpo", per_device_train_batch_size: 128 });
  assert.match(startBanner(grpo, start), /steps {4}13 of 16 prompts × 8 completions of at most 48 tokens\n/);
  assert.match(
    configBanner(config({ ...rollouts, objective: "grpo", loss_type: "cispo" })),
    /^grpo \(published, cispo\)/,
  );
  assert.match(configBanner(grpo), /^grpo \(published\), all weights/);
  const reused = { ...rollouts, objective: "grpo", num_iterations: 2, steps_per_generation: 2 };
  assert.match(startBanner(config(reused), start), /1 prompt × 8 completions .*, a rollout for every 4\n/);
  const ppo = { ...rollouts, objective: "ppo", num_ppo_epochs: 3, num_mini_batches: 2 };
  assert.match(startBanner(config(ppo), start), /1 prompt × 8 completions .*, a rollout for every 6\n/);
  assert.match(lossNote(grpo) ?? "", /loss near 0 is right/);
  assert.equal(lossNote(config({ ...rollouts, objective: "raft" })), null);
  assert.equal(lossNote(config({})), null);
});

test("for programs the same is one object", () => {
  const told = bannerObject(config({}), start);
  for (const key of ["objective", "preset", "model_name_or_path", "output_dir", "learning_rate"]) {
    assert.ok(key in told, key);
  }
  assert.equal(told["totalSteps"], 13);
});

test("counts of weights have at most three digits", () => {
  const shown = [512, 4_880, 4_884_480, 134_515_008, 8_030_261_248].map(weightText);
  assert.deepEqual(shown, ["512", "4.88 k", "4.88 M", "135 M", "8.03 G"]);
});
