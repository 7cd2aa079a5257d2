/** Printing configurations, and reading back what was printed; recipes; resuming. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { CONFIG_KEYS, defaultText, fieldOf } from "./keys.ts";
import { loadConfig } from "./load-config.ts";
import { formatConfig, provenanceText, resolvedToYaml } from "./print-config.ts";
import { changedValues } from "./resume-changes.ts";

const RECIPES = resolve(import.meta.dirname, "../../recipes");
const BASE = "model_name_or_path: m\noutput_dir: out\n";
const VARIANTS = [
  "train_data: a.jsonl\n",
  "train_data: [a, {path: b, weight: 2, split: train}]\nobjective: simpo\nsimpo_gamma: 1.2\nuse_peft: true\n",
  "train_data: [{path: a, weight: 1}, {path: b, weight: 1}]\nobjective: simpo\npreset: slime-paper\n",
  "train_data: a\nobjective: dpo\nuse_peft: true\nadapter_name_or_path: ad\neval_fraction: 0.1\neval_steps: 7\n",
  "train_data: a\nobjective: sft\nmax_steps: 7\ntokens_per_step: 4096\nsave_strategy: epoch\nrun_name: 'true'\n",
  "train_data: a\npreset: reference-compat\ncolumns: {prompt: 'a: b', chosen: '#x'}\nchat_template: '- x'\n",
];

test("a printed configuration reads back as the same configuration, without warnings", () => {
  for (const variant of VARIANTS) {
    const resolved = loadConfig({ yaml: BASE + variant });
    for (const print of [formatConfig, resolvedToYaml]) {
      const again = loadConfig({ yaml: print(resolved) });
      assert.deepEqual(again.config, resolved.config);
      assert.deepEqual(again.warnings, []);
    }
  }
});

test("what a run was resumed from is printed, and not kept with the run, which can be run again", () => {
  const yaml = `${BASE}train_data: a\n`;
  const resolved = loadConfig({ yaml, overrides: [["resume_from_checkpoint", "latest"]] });
  assert.match(formatConfig(resolved), /^resume_from_checkpoint: latest +# command line$/m);
  assert.deepEqual(loadConfig({ yaml: resolvedToYaml(resolved) }).config, loadConfig({ yaml }).config);
});

test("every value is printed with its origin", () => {
  const resolved = loadConfig({ yaml: `${BASE}train_data: a\n`, file: "r.yaml", overrides: [["seed", "7"]] });
  const printed = formatConfig(resolved);
  for (const key of CONFIG_KEYS) assert.match(printed, new RegExp(`^(# )?${key}:`, "m"), key);
  assert.match(printed, /^seed: 7 +# command line$/m);
  assert.match(printed, /^output_dir: out +# r\.yaml:2$/m);
  assert.match(printed, /^lambda_w: 0\.4 +# preset balanced$/m);
  assert.match(printed, /^learning_rate: 0\.000001 +# derived \(slime in full tuning, as TRL\)$/m);
  assert.match(printed, /^# beta: not used, objective is slime$/m);
  assert.equal(provenanceText({ kind: "default" }), "default");
});

test("the documentation of the keys is complete", () => {
  assert.equal(new Set(CONFIG_KEYS).size, CONFIG_KEYS.length);
  for (const key of CONFIG_KEYS) {
    const { doc, source } = fieldOf(key);
    assert.ok(doc.endsWith(".") && source !== "", key);
  }
  assert.equal(defaultText(fieldOf("output_dir")), "must be given");
  assert.equal(defaultText(fieldOf("adam_beta2")), "0.999");
});

const recipes = readdirSync(RECIPES).filter((name) => name.endsWith(".yaml"));
test("there is a recipe per model of the paper and per other family, a small one and its reward model, the quick start's two, and one with a slow judge", () => {
  assert.deepEqual(recipes.sort(), [
    "gemma-2-9b.yaml",
    "gemma-3-4b.yaml",
    "gemma-4-31b-qlora.yaml",
    "granite-3.3-8b.yaml",
    "granite-4.0-micro.yaml",
    "kto-smollm2-135m.yaml",
    "llama-3.2-3b.yaml",
    "mistral-7b.yaml",
    "olmo-2-7b.yaml",
    "olmo-3-7b.yaml",
    "online-quickstart.yaml",
    "online-slow-judge.yaml",
    "phi-4-mini.yaml",
    "quickstart.yaml",
    "qwen2.5-7b.yaml",
    "qwen3-4b-qlora.yaml",
    "qwen3-4b.yaml",
    "reward-smollm2-135m.yaml",
    "smollm2-135m.yaml",
    "smollm3-3b.yaml",
  ]);
});

for (const recipe of recipes) {
  test(`recipe ${recipe} parses without a warning, with every objective`, () => {
    const file = join(RECIPES, recipe);
    assert.deepEqual(loadConfig({ file }).warnings, []);
    const isOnline = recipe.startsWith("online-");
    for (const objective of isOnline ? ["rloo", "raft", "slime"] : ["dpo", "simpo", "sft"])
      loadConfig({ file, overrides: [["objective", objective]] });
  });
}

test("the paper's recipes have the paper's values", () => {
  for (const recipe of ["llama-3.2-3b.yaml", "qwen3-4b.yaml", "gemma-3-4b.yaml"]) {
    const { config } = loadConfig({ file: join(RECIPES, recipe) });
    assert.deepEqual(
      [config.lora_r, config.lora_alpha, config.lora_dropout, config.learning_rate, config.max_length],
      [64, 128, 0.05, 1e-4, 2048],
    );
    assert.equal(config.lora_target_modules.length, 7);
    assert.deepEqual(config.lora_modules_to_save, ["lm_head"]);
    assert.equal(config.per_device_train_batch_size * config.gradient_accumulation_steps, 16);
    assert.equal(config.dtype, "bfloat16");
  }
});

test("a resumed run may change how it is watched and cut, not what it computes", () => {
  const at = (yaml: string) => loadConfig({ yaml: `${BASE}train_data: a\n${yaml}` }).config;
  const refusedChanges = (...configs: Parameters<typeof changedValues>) => changedValues(...configs).refused;
  assert.deepEqual(changedValues(at(""), at("logging_steps: 1\nsave_steps: 5\n")), {
    refused: [],
    accepted: [
      { key: "logging_steps", saved: 10, now: 1 },
      { key: "save_steps", saved: 500, now: 5 },
    ],
  });
  const cut = "per_device_train_batch_size: 2\ngradient_accumulation_steps: 4\n";
  assert.deepEqual(refusedChanges(at(""), at(cut)), []);
  assert.deepEqual(
    refusedChanges(at(""), at("per_device_train_batch_size: 2\n"))[0]?.key,
    "per_device_train_batch_size",
  );
  const ofTokens = "tokens_per_step: 4096\n";
  assert.deepEqual(refusedChanges(at(ofTokens), at(`${ofTokens}per_device_train_batch_size: 2\n`)), []);
  assert.deepEqual(refusedChanges(at(""), at("learning_rate: 1e-5\n")), [
    { key: "learning_rate", saved: 1e-6, now: 1e-5 },
  ]);
  assert.equal(refusedChanges(at("max_steps: 5\n"), at("max_steps: 6\n")).length, 1);
  const constant = "lr_scheduler_type: constant\nmax_steps: ";
  assert.deepEqual(refusedChanges(at(`${constant}5\n`), at(`${constant}6\n`)), []);
});

/** The keys that a run of `before` refuses to be resumed with otherwise. */
function refusedOf(base: string, before: string, after: string): string[] {
  const at = (yaml: string) => loadConfig({ yaml: `${BASE}train_data: a\n${base}${yaml}` }).config;
  return changedValues(at(before), at(after)).refused.map(({ key }) => key);
}

test("a resumed run keeps the cut into micro-batches where its loss is of them", () => {
  const cut = (rows: number, steps: number) =>
    `per_device_train_batch_size: ${rows}\ngradient_accumulation_steps: ${steps}\n`;
  const bnpo = "objective: grpo\nreward_funcs: [length]\nloss_type: bnpo\nnum_generations: 4\n";
  const bases = {
    "objective: kto\npreset: trl\n": ["per_device_train_batch_size"],
    [bnpo]: ["per_device_train_batch_size"],
    "preset: reference-compat\n": ["per_device_train_batch_size"],
    "objective: kto\n": [],
    [bnpo.replace("bnpo", "dapo")]: [],
  };
  for (const [base, refused] of Object.entries(bases)) {
    assert.deepEqual(refusedOf(base, cut(8, 2), cut(4, 4)), refused, base);
    // as many rows said in another way are the same cut
    assert.deepEqual(
      refusedOf(base, cut(4, 4), "per_device_train_batch_size: 4\ntrain_batch_size: 16\n"),
      [],
    );
  }
  for (const base of [bnpo, "preset: reference-compat\n"]) {
    const key = "max_tokens_per_micro_batch";
    assert.deepEqual(refusedOf(base, "", `${key}: 4096\n`), [key]);
    const { warnings } = loadConfig({ yaml: `${BASE}train_data: a\n${base}${key}: 4096\n` });
    assert.match(warnings.join("\n"), /max_tokens_per_micro_batch: .* this cut changes loss and gradient/);
  }
});

test("a resumed run may be longer only where no learning rate changes with its length", () => {
  const longer = (base: string) => refusedOf(base, "max_steps: 50\n", "max_steps: 60\n");
  assert.deepEqual(longer("lr_scheduler_type: constant\n"), []);
  assert.deepEqual(longer("lr_scheduler_type: constant_with_warmup\nwarmup_steps: 5\n"), []);
  assert.deepEqual(longer("lr_scheduler_type: constant_with_warmup\nwarmup_ratio: 0.1\n"), ["max_steps"]);
  assert.deepEqual(longer("lr_scheduler_type: cosine\n"), ["max_steps"]);
});

test("of a judge the address may change, not the model", () => {
  const judge = (text: string) => `judge: ${text}\n`;
  const base = "objective: grpo\n";
  assert.deepEqual(refusedOf(base, judge("http://a/v1#m1"), judge("http://b/v1#m1")), []);
  assert.deepEqual(refusedOf(base, judge("http://a/v1#m1"), judge("http://a/v1#m2")), ["judge"]);
  const scored = "objective: grpo\nreward_funcs: [length]\n";
  assert.deepEqual(refusedOf(scored, "", judge("http://a/v1#m1")), ["judge"]);
});
