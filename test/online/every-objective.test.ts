/**
 * On-policy runs by each objective, in each of its forms: bit for bit the same when one is resumed within a rollout or between two,
 * repeated or replayed, and the same but for rounding however a step is cut.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { methodsWhere } from "../../src/methods/index.ts";
import { replay } from "../../src/recipes/replay.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { isNightly } from "../support/campaign.ts";
import { onlineFixture } from "../support/online-run.ts";
import {
  assertSameRun,
  checkpointOf,
  cutBack,
  distanceOf,
  metricsApart,
  runTraining,
  tensorsOf,
  type Values,
} from "../support/runs.ts";

// a tenth of the vocabulary ends a completion: some are cut, others not, and their lengths differ
const fixture = onlineFixture({
  config: { eos_token_id: [2, ...Array.from({ length: 25 }, (_, i) => 200 + i)] },
});
after(() => fixture[Symbol.dispose]());

/** Two rollouts of two steps, each of two groups of four. */
const steps = 4;
const common: Values = {
  ...fixture.online,
  ...{ per_device_train_batch_size: 8, gradient_accumulation_steps: 1, max_steps: steps },
  // a gradient that is rounding alone moves no weight as far as others do
  ...{ learning_rate: 5e-3, lr_scheduler_type: "constant", adam_epsilon: 1e-4 },
};

/** The second step of a rollout takes other completions of it, or the same ones again. */
const parts: Values = { steps_per_generation: 2 };
const passes: Values = { num_iterations: 2 };
const stale: Values = { max_staleness: 1 };
/** A third of the groups have rewards that are all alike. */
const dynamic: Values = { dynamic_sampling: 2, reward_funcs: [`${fixture.rewards}#some`] };

/** What `objective` is and how it differs from its defaults. */
const forms: readonly Values[] = [
  { objective: "grpo", beta: 0.1, ...passes },
  { objective: "grpo", loss_type: "grpo", scale_rewards: "batch", ...parts, ...dynamic },
  { objective: "grpo", loss_type: "dr_grpo", delta: 1.5, ...passes, mask_truncated_completions: true },
  { objective: "grpo", loss_type: "bnpo", ...passes },
  { objective: "grpo", loss_type: "cispo", beta: 0.1, use_bias_correction_kl: false, ...parts },
  { objective: "grpo", loss_type: "luspo", ...passes, temperature: 1.3, top_p: 0.9 },
  { objective: "grpo", loss_type: "sapo", ...passes, entropy_coef: 0.01 },
  { objective: "grpo", importance_sampling_level: "sequence", ...parts, ...stale },
  { objective: "rloo", beta: 0.1, ...passes },
  { objective: "rloo", normalize_advantages: true, reward_clip_range: [0.2, 0.6], ...parts, ...dynamic },
  { objective: "rloo", ...parts, ...stale, importance_sampling_mode: "sequence_mask" },
  { objective: "raft", ...passes, top_k: 20 },
  { objective: "raft", reward_threshold: 0.5, ...parts, ...dynamic },
  { objective: "ppo", num_ppo_epochs: 2 },
  { objective: "ppo", num_ppo_epochs: 1, num_mini_batches: 2, whiten_rewards: true, value_warmup_steps: 1 },
  { objective: "ppo", num_ppo_epochs: 1, num_mini_batches: 2, ...stale },
  { objective: "slime", ...passes, ...dynamic },
  { objective: "slime", ...parts, ...stale, anchor_on: "positive", anchor_threshold: 0.5 },
  { objective: "slime", ...parts, replay: 1, kl_coef: 0.1 },
  { objective: "slime", ...passes, kl_coef: 0.1, kl_in: "reward", pairs: "ranked" },
  { objective: "dpo", ...passes, replay: 0.5, pairs: "best_worst" },
  { objective: "dpo", ...parts, kl_coef: 0.1, kl_in: "reward", loss_type: "ipo" },
  { objective: "dpo", ...parts, ...dynamic, kl_coef: 0.1, kl_estimator: "k3" },
  { objective: "simpo", ...passes, replay: 0.5, kl_coef: 0.1, kl_in: "reward" },
  { objective: "simpo", ...parts, kl_coef: 0.1, rejected_quantile: 0.25, cpo_alpha: 0.5 },
  { objective: "dpop", ...parts, replay: 0.5 },
  { objective: "cpo", ...passes, kl_coef: 0.1 },
  { objective: "orpo", ...parts, reward_gap: 0.1 },
];

const pairs: readonly unknown[] = methodsWhere(({ over }) => over === "pairs");
const kinds: readonly Values[] = [{ use_peft: true, lora_r: 4 }, {}];
const rowsOf = (dir: string) => readMetrics(join(dir, "metrics.jsonl"));

/** Groups whole where pairs are made of them; else the completions of one prompt in several micro-batches. */
function cutOf({ objective }: Values): Values {
  const size = pairs.includes(objective) ? 4 : 1;
  return { per_device_train_batch_size: size, gradient_accumulation_steps: 8 / size };
}

/** Asserts that what a form is about took place. */
function assertInForce(form: Values, dir: string): void {
  const rows = rowsOf(dir);
  const most = (name: string) => Math.max(...rows.map((row) => Math.abs(Number(row[name] ?? 0))));
  assert.equal(rows.length, steps);
  const moved = rows.filter((row) => Number(row["grad_norm"]) > 0).length;
  // raft takes no group of a rollout whose rewards are all below its threshold
  assert.ok(moved >= steps / 2, `${moved} steps have a gradient`);
  assert.ok(rows.some((row) => row["completions/min_length"] !== row["completions/max_length"]));
  const clipped = rows.map((row) => Number(row["completions/clipped_ratio"]));
  assert.ok(Math.min(...clipped) < 1 && Math.max(...clipped) > 0, `${clipped}`);
  if ("dynamic_sampling" in form) assert.ok(most("sampling/frac_redrawn") > 0, "drawn again");
  if ("beta" in form || "kl_coef" in form) assert.ok(most("kl") > 0, "a KL");
  if ("replay" in form) assert.ok(most("logps/replay_mean") > 0, "rows");
}

const weights: readonly string[] = ["adapter_model.safetensors", "model.safetensors"];

/** Asserts that the run in `got` is that in `want` but for rounding. */
function assertCloseRun(got: string, want: string): void {
  // of these the first counts what is computed, prompts of a cut group more than once; the second is rounding itself
  const { name, by } = metricsApart(got, want, /accuracies$|^num_tokens$|sampling_logp_difference/);
  assert.ok(by < 2e-4, `${name} by ${by}`);
  const last = checkpointOf(want, steps);
  const file = weights.find((each) => existsSync(join(last, each))) ?? assert.fail("no weights");
  const far = distanceOf(tensorsOf(join(checkpointOf(got, steps), file)), tensorsOf(join(last, file)));
  assert.ok(far < 1e-5, `weights by ${far}`);
}

/** Steps after which it is resumed, and those that are replayed: the third from the checkpoint between the two rollouts. */
const resumed: readonly number[] = isNightly ? [1, 2, 3] : [1];
const replayed: readonly number[] = isNightly ? [1, 2, 3, 4] : [3];

/** Whether a form is cut, in the short form every second one, and the others are replayed: bnpo's loss depends on it by definition. */
function isCut(form: Values, i: number): boolean {
  return form["loss_type"] !== "bnpo" && (isNightly || i % 2 === 0);
}

/** The form at `i`, in LoRA or full tuning. */
function check(i: number, form: Values, name: string, kind: Values): void {
  const recipe = { ...common, ...form, ...kind };
  const at = (what: string) => fixture.path(`${name}-${what}`);
  test(JSON.stringify({ ...form, ...kind }), async () => {
    const whole = at("whole");
    await runTraining({ ...recipe, output_dir: whole });
    assertInForce(form, whole);
    for (const step of resumed) {
      const dir = cutBack(whole, at(`resumed-${step}`), step);
      await runTraining({ ...recipe, output_dir: dir, resume_from_checkpoint: "latest" });
      assertSameRun(dir, whole, steps);
    }
    if (isNightly || !isCut(form, i)) {
      for (const step of replayed) assert.equal((await replay({ run: whole, step })).difference, null);
    }
    if (isNightly) {
      await runTraining({ ...recipe, output_dir: at("again") });
      assertSameRun(at("again"), whole, steps);
    }
    if (!isCut(form, i)) return;
    await runTraining({ ...recipe, ...cutOf(form), output_dir: at("cut") });
    assertCloseRun(at("cut"), whole);
  });
}

for (const [i, form] of forms.entries()) {
  // a process that samples takes seconds to start, and grpo's is among those of staleness.test.ts
  if (!isNightly && "max_staleness" in form && form["objective"] !== "slime") continue;
  for (const [k, kind] of kinds.entries()) {
    if (isNightly || (i >> 1) % 2 === k) check(i, form, `${i}-${k}`, kind);
  }
}

test("every method on own answers is among them", () => {
  const known = new Set(forms.map((form) => form["objective"]));
  assert.deepEqual(
    methodsWhere(({ onPolicy }) => onPolicy !== "never").filter((name) => !known.has(name)),
    [],
  );
});
