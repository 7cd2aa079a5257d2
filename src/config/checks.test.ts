/** Checks across keys. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadConfig, type ResolvedConfig } from "./load-config.ts";

function load(yaml: string): ResolvedConfig {
  return loadConfig({ yaml: `model_name_or_path: m\noutput_dir: out\ntrain_data: a.jsonl\n${yaml}` });
}

test("a metric_for_best_model that evaluations of the objective never have is refused", () => {
  const metric = (name: string, yaml: string) =>
    `eval_fraction: 0.1\nmetric_for_best_model: ${name}\n${yaml}`;
  const onPolicy = "reward_funcs: [length]\n";
  for (const [name, yaml, message] of [
    ["eval_rewards/accuracies", "objective: sft\n", /metric_for_best_model: evaluations of sft have no/],
    ["eval_kl_init", "objective: dpo\n", /evaluations of dpo have no "eval_kl_init"/],
    ["grad_norm", "", /evaluations of slime have no "eval_grad_norm"/],
    ["loss", `objective: grpo\n${onPolicy}`, /evaluations of grpo on-policy have no "eval_loss"/],
  ] as const) {
    assert.throws(() => load(metric(name, yaml)), message);
  }
  for (const [name, yaml] of [
    ["eval_kl_init", `objective: grpo\n${onPolicy}`],
    ["eval_rewards/length/mean", `objective: slime\n${onPolicy}`],
    ["eval_reward", `objective: slime\n${onPolicy}`],
    ["eval_reward", `objective: ppo\n${onPolicy}`],
    ["samples/repetition", "objective: kto\n"],
  ] as const) {
    assert.equal(load(metric(name, yaml)).warnings.join().includes("metric_for_best"), false);
  }
});
