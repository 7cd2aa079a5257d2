/** Resuming and repeating runs whose configuration was written when keys had an effect, or another default, that they no longer have. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConfigInput, loadConfig, type ResolvedConfig } from "./load-config.ts";
import { changedValues } from "./resume-changes.ts";
import type { RunConfig } from "./run-config.ts";

/** A config.yaml as commit 59978ea9 wrote it, by the lines that are read otherwise since. */
function load(lines: string, overrides: ConfigInput["overrides"] = []): ResolvedConfig {
  const yaml = `model_name_or_path: m\noutput_dir: out\ntrain_data: a\n${lines}`;
  return loadConfig({ yaml, file: "config.yaml", overrides });
}

const resumed = [["resume_from_checkpoint", "latest"]] as const;

const PPO = "objective: ppo\nreward_model: rm\n";
const CISPO = "objective: grpo\nloss_type: cispo\nreward_funcs: [length]\nnum_generations: 4\n";
const SLIME = "objective: slime\nlambda_w: 0\nreward_funcs: [length]\nnum_generations: 4\n";
const ADAPTER = "objective: dpo\nuse_peft: true\nadapter_name_or_path: ad\ndisable_dropout: true\n";

const NO_EFFECT: [base: string, key: string, kept: string, other: string][] = [
  [PPO, "reward_max_failures", "0.5", "0.1"],
  [CISPO, "epsilon", "0.2", "0.1"],
  [SLIME, "anchor_on", "all", "positive"],
];

test("a file may hold a key without effect with the value that it has anyway, and a resumed run's any value, with a warning", () => {
  for (const [base, key, kept, other] of NO_EFFECT) {
    const says = new RegExp(`^config\\.yaml:\\d+: ${key} has no effect here: `, "m");
    const without = load(base);
    assert.doesNotMatch(without.warnings.join("\n"), says);
    const cases = [load(`${base}${key}: ${kept}\n`), load(`${base}${key}: ${other}\n`, resumed)];
    for (const { config, warnings } of cases) {
      assert.match(warnings.join("\n"), says);
      assert.deepEqual({ ...config, resume_from_checkpoint: null }, without.config);
    }
    assert.throws(() => load(`${base}${key}: ${other}\n`), { name: "ConfigError", message: says });
    assert.throws(() => load(base, [[key, kept]]), new RegExp(`--${key}: .* has no effect here: `));
  }
});

test("a value that follows from others is refused beside them, also where it is the same", () => {
  const twice = "train_batch_size: 16\ngradient_accumulation_steps: 2\n";
  assert.throws(() => load(twice), /gradient_accumulation_steps has no effect here/);
});

test("what a run was started with and never used does not keep it from being resumed", () => {
  const refused = (saved: RunConfig, now: RunConfig) =>
    changedValues(saved, now).refused.map(({ key }) => key);
  const cispo = load(CISPO).config;
  assert.deepEqual(refused({ ...cispo, method: { ...cispo.method, epsilon: 0.1 } as never }, cispo), []);
  const slime = load(SLIME).config;
  assert.deepEqual(
    refused({ ...slime, method: { ...slime.method, anchor_on: "positive" } as never }, slime),
    [],
  );
  // an adapter's dropout was 0.05 where it was not given, and is its own now
  const adapter = load(ADAPTER).config;
  assert.deepEqual(refused({ ...adapter, lora_dropout: 0.05 }, adapter), []);
  const dropped = { ...adapter, disable_dropout: false };
  assert.deepEqual(refused({ ...dropped, lora_dropout: 0.05 }, dropped), ["lora_dropout"]);
  // used before or now: another run
  const used = load(CISPO.replace("cispo", "grpo")).config;
  assert.deepEqual(refused({ ...used, method: { ...used.method, epsilon: 0.1 } as never }, used), [
    "epsilon",
  ]);
});
