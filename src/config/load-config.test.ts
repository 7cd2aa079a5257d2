/** Reading configurations: values, their origins, and the message of every kind of mistake. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "../base/errors.ts";
import { type ConfigInput, loadConfig, type ResolvedConfig } from "./load-config.ts";

const BASE = "model_name_or_path: m\noutput_dir: out\ntrain_data: a.jsonl\n";

function load(yaml: string, overrides: ConfigInput["overrides"] = []): ResolvedConfig {
  return loadConfig({ yaml: BASE + yaml, file: "run.yaml", overrides });
}

function messageOf(input: ConfigInput): string {
  try {
    loadConfig(input);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.message;
  }
  return assert.fail("the configuration was accepted");
}

function refused(yaml: string, overrides: ConfigInput["overrides"] = []): string {
  return messageOf({ yaml: BASE + yaml, file: "run.yaml", overrides });
}

/** What methods over pairs have besides, for on-policy runs. */
const pairing = {
  ...{ pairs: "all", reward_gap: 0, rejected_quantile: 0, anchor_on: "all", anchor_threshold: 0 },
  ...{ kl_coef: 0, kl_in: "loss", kl_estimator: null, replay: 0, replay_coef: 0.4 },
};

test("the least configuration takes SLIME's balanced preset and TRL's defaults", () => {
  const { config, provenance, warnings } = load("");
  assert.deepEqual(config.method, {
    ...pairing,
    objective: "slime",
    preset: "balanced",
    lambda_w: 0.4,
    lambda_l: 0.0005,
    delta: 1.25,
    margin_hard: 2.5,
    margin_soft: 1.75,
    kappa: 2.5,
    power: 2.5,
    ...{ lambda_d: 1, lambda_start: 0, start_margin: 0, chosen_floor: null },
    ...{ floor_gain: 5, floor_integral: 0.2, floor_average: 0.2, lambda_w_max: 5 },
  });
  assert.equal(config.learning_rate, 1e-6);
  assert.equal(config.per_device_train_batch_size, 8);
  assert.equal(config.eval_strategy, "no");
  assert.equal(config.overflow, "error");
  assert.ok(!("beta" in config.method));
  assert.deepEqual(provenance.lambda_w, { kind: "preset", name: "balanced" });
  assert.deepEqual(provenance.train_data, { kind: "file", file: "run.yaml", line: 3 });
  assert.deepEqual(warnings, []);
});

test("a value of its own wins over the preset, the command line over the file", () => {
  const { config, provenance } = load("preset: paper\nlambda_w: 0.3\nseed: 1\n", [
    ["--seed", "2"],
    ["lora-r", "8"],
    ["use_peft", "true"],
  ]);
  assert.ok(config.method.objective === "slime");
  assert.equal(config.method.lambda_w, 0.3);
  assert.equal(config.method.lambda_l, 0.1);
  assert.deepEqual(provenance.lambda_w, { kind: "file", file: "run.yaml", line: 5 });
  assert.equal(config.seed, 2);
  assert.deepEqual(provenance.seed, { kind: "command line" });
  assert.equal(config.lora_r, 8);
});

test("learning_rate follows objective and LoRA unless it is given", () => {
  assert.equal(load("use_peft: true\n").config.learning_rate, 1e-4);
  assert.equal(load("objective: sft\n").config.learning_rate, 2e-5);
  assert.equal(load("objective: dpo\n").config.learning_rate, 1e-6);
  assert.equal(load("use_peft: true\nlearning_rate: 3e-5\n").config.learning_rate, 3e-5);
  assert.equal(load("use_peft: true\n").provenance.learning_rate.kind, "derived");
});

test("SimPO takes either form of the margin and gives both", () => {
  const authors = load("objective: simpo\n").config.method;
  assert.deepEqual(authors, {
    ...pairing,
    objective: "simpo",
    preset: "authors",
    beta: 2,
    gamma_beta_ratio: 0.5,
    simpo_gamma: 1,
    label_smoothing: 0,
    cpo_alpha: 0,
    allow_small_beta: false,
  });
  const gamma = load("objective: simpo\nbeta: 10\nsimpo_gamma: 3\n");
  assert.ok(gamma.config.method.objective === "simpo");
  assert.equal(gamma.config.method.gamma_beta_ratio, 0.3);
  assert.deepEqual(gamma.provenance.gamma_beta_ratio, { kind: "derived", why: "simpo_gamma / beta" });
  const paper = load("objective: simpo\npreset: slime-paper\n").config.method;
  assert.ok(paper.objective === "simpo");
  assert.deepEqual([paper.beta, paper.simpo_gamma, paper.gamma_beta_ratio, paper.cpo_alpha], [0.1, 2, 20, 1]);
});

const plainDpo = { loss_weights: null, ld_alpha: null, use_weighting: false };

test("DPO and SFT settings", () => {
  assert.deepEqual(load("objective: dpo\nloss_type: ipo\n").config.method, {
    ...pairing,
    objective: "dpo",
    beta: 0.1,
    label_smoothing: 0,
    loss_type: "ipo",
    ...plainDpo,
  });
  assert.deepEqual(load("objective: sft\ntrain_on: last\n").config.method, { objective: "sft" });
});

test("script, config and paper have the values that their sources have", () => {
  const of = (preset: string): unknown[] => {
    const { method } = load(`preset: ${preset}\n`).config;
    assert.ok(method.objective === "slime");
    const { lambda_w, lambda_l, delta, margin_hard, margin_soft } = method;
    return [lambda_w, lambda_l, delta, margin_hard, margin_soft];
  };
  assert.deepEqual(of("script"), [0.1, 0.0005, 1.25, 1.5, 1]);
  assert.deepEqual(of("config"), [0.8, 0.0005, 0.5, 1.5, 1]);
  assert.deepEqual(of("paper"), [0.1, 0.1, 1.25, 1.5, 1]);
});

test("reference-compat has the script's values, and its name reaches the loss", () => {
  const { method } = load("preset: reference-compat\n").config;
  assert.ok(method.objective === "slime");
  assert.deepEqual([method.preset, method.lambda_w, method.delta], ["reference-compat", 0.1, 1.25]);
});

test("a small SimPO beta needs the preset or a word of consent", () => {
  assert.match(refused("objective: simpo\nbeta: 0.1\n"), /run\.yaml:5: beta: SimPO's beta .* 2 to 10; 0\.1/);
  const { method } = load("objective: simpo\nbeta: 0.5\nallow_small_beta: true\n").config;
  assert.ok(method.objective === "simpo");
  assert.equal(method.beta, 0.5);
});

test("data sources in every form", () => {
  const { config } = loadConfig({
    yaml: "model_name_or_path: m\noutput_dir: o\ntrain_data:\n  - a.jsonl\n  - {path: b/*.parquet, weight: 2, columns: {prompt: question}}\n",
    overrides: [["eval_data", "x.jsonl,data/{a,b}.jsonl"]],
  });
  assert.deepEqual(config.train_data, [
    { path: "a.jsonl", weight: 1, columns: null, split: null, name: null },
    { path: "b/*.parquet", weight: 2, columns: { prompt: "question" }, split: null, name: null },
  ]);
  assert.deepEqual(
    config.eval_data?.map(({ path }) => path),
    ["x.jsonl", "data/{a,b}.jsonl"],
  );
  assert.equal(config.eval_strategy, "epoch");
});

test("command-line words are read by the type of their key", () => {
  const { config } = load("use_peft: true\n", [
    ["lora_target_modules", "q_proj, v_proj"],
    ["lora_modules_to_save", '["lm_head"]'],
    ["run_name", "123"],
    ["threads", "null"],
    ["learning_rate", "1e-4"],
    ["columns", "prompt=question,chosen=best"],
    ["enable_thinking", "False"],
  ]);
  assert.deepEqual(config.lora_target_modules, ["q_proj", "v_proj"]);
  assert.deepEqual(config.lora_modules_to_save, ["lm_head"]);
  assert.equal(config.run_name, "123");
  assert.equal(config.threads, null);
  assert.equal(config.learning_rate, 1e-4);
  assert.deepEqual(config.columns, { prompt: "question", chosen: "best" });
  assert.equal(config.enable_thinking, false);
  assert.equal(
    load("use_peft: true\n", [["lora_target_modules", "all-linear"]]).config.lora_target_modules,
    "all-linear",
  );
});

test("eval_steps brings its strategy, and the metric its direction", () => {
  const { config } = load("eval_fraction: 0.1\neval_steps: 20\nmetric_for_best_model: rewards/accuracies\n");
  assert.equal(config.eval_strategy, "steps");
  assert.equal(config.metric_for_best_model, "eval_rewards/accuracies");
  assert.equal(config.greater_is_better, true);
  assert.equal(load("").config.greater_is_better, false);
});

const MISTAKES: [yaml: string, expected: RegExp][] = [
  ["lerning_rate: 1", /^run\.yaml:4: unknown key "lerning_rate"\. Did you mean "learning_rate"\?$/],
  ["warmup_steps: 0.1", /expected a whole number.*write warmup_ratio.*got the number 0.1/],
  ["objective: sft\nloss_type: dft", /loss_type has no effect here: objective is sft\. It is a key of dpo/],
  [
    "objective: cpo\nloss_type: simpo",
    /expected one of "sigmoid", "hinge", "ipo" \(docs\/objectives\.md has TRL's others\)/,
  ],
  ["objective: dpo\nloss_type: exo_pair", /or a list of them \(docs\/objectives\.md: why not TRL's others\)/],
  ["objective: none\nbeta: a", /^2 problems[\s\S]*objective: expected one of[\s\S]*beta: expected/],
  [
    "save_steps: 0.1",
    /save_steps: expected a whole number of steps .*fractions of a run are not offered.*got the number 0\.1/,
  ],
  ["report_to: none", /expected a list of trackers \(\[\] is none\)/],
  ["bf16: true", /^run\.yaml:4: unknown key "bf16"\. In preftune: write `dtype: bfloat16`\.$/],
  ["__proto__: 1", /unknown key "__proto__"/],
  ["seed: soon", /^run\.yaml:4: seed: expected a whole number at least 0 .* got the text "soon"\.$/],
  ["seed: 1.5", /^run\.yaml:4: seed: expected a whole number .* got the number 1\.5\.$/],
  ["learning_rate: .nan", /^run\.yaml:4: learning_rate: expected a number at least 0, got the number NaN\.$/],
  ["learning_rate: .inf", /learning_rate: expected a number at least 0, got the number Infinity/],
  ["lora_dropout: 1", /lora_dropout: expected a number at least 0 and below 1, or null, got the number 1/],
  ["run_name: 5", /run_name: expected a non-empty string, or null, got the number 5/],
  [
    "objective: dpoo",
    /objective: expected one of "slime", "dpo", "simpo", "sft", "reward".*, got the text "dpoo"/,
  ],
  ["device: gpu", /device: expected "auto", "cpu", "cuda", "cuda:N" or "mps", got the text "gpu"/],
  [
    "eval_data:\n  - b.jsonl\n  - path: c.jsonl\n    wieght: 2",
    /^run\.yaml:7: eval_data\[1\]: unknown key "wieght"\. Did you mean "weight"\?$/,
  ],
  [
    "eval_data:\n  - path: c.jsonl\n    weight: -1",
    /^run\.yaml:6: eval_data\[0\]\.weight: expected a number above 0, or null, got the number -1\.$/,
  ],
  ["eval_data: [{split: x}]", /eval_data\[0\]\.path: expected a non-empty string, got nothing/],
  [
    "eval_data: 5",
    /^run\.yaml:4: eval_data: expected a path or hub id, or a list .*, or null, got the number 5\.$/,
  ],
  [
    "use_peft: true\nlora_modules_to_save: [a, 5]",
    /lora_modules_to_save\[1\]: expected a non-empty string, got the number 5/,
  ],
  ["eval_data: {pth: x}", /eval_data: unknown key "pth"\. Did you mean "path"\?/],
  ["columns: {promt: x}", /columns: unknown key "promt"\. Did you mean "prompt"\?/],
  ["beta: 0.1", /^run\.yaml:4: beta has no effect here: objective is slime\. It is a key of dpo and simpo/],
  ["objective: dpo\nlambda_w: 1", /lambda_w has no effect here: objective is dpo\. It is a key of slime/],
  ["objective: simpo\npreset: script", /"script" is no preset of simpo, which has authors, slime-paper/],
  ["lora_r: 8", /lora_r has no effect here: use_peft is false\. Set `use_peft: true`/],
  [
    "use_peft: true\nadapter_name_or_path: a\nlora_r: 8",
    /lora_r has no effect here: adapter_name_or_path decides it/,
  ],
  ["warmup_ratio: 0.1\nwarmup_steps: 5", /warmup_steps: warmup_ratio 0\.1 and warmup_steps 5 are both set/],
  ["eval_strategy: epoch", /eval_strategy: epoch without held-out rows\. Give eval_data or eval_fraction/],
  ["eval_data: b\neval_fraction: 0.1", /eval_fraction: eval_data is given too/],
  ["load_best_model_at_end: true", /load_best_model_at_end: needs evaluation during training/],
  ["save_strategy: epoch\nsave_steps: 5", /save_steps has no effect here: save_strategy is epoch/],
  [
    "objective: simpo\nsimpo_gamma: 1\ngamma_beta_ratio: 3",
    /simpo_gamma 1 and gamma_beta_ratio 3 .* disagree/,
  ],
  ["objective: dpo\nprecompute_ref_log_probs: false", /precompute_ref_log_probs: false needs use_peft/],
  ["optimizer_in_backward: true", /optimizer_in_backward: clipping needs all gradients at once/],
  [
    "optimizer_in_backward: true\nmax_grad_norm: 0\ngradient_accumulation_steps: 2",
    /several micro-batches adds their gradients up/,
  ],
  [
    "optimizer_in_backward: true\nmax_grad_norm: 0\nmax_tokens_per_micro_batch: 4096",
    /max_tokens_per_micro_batch cuts a step/,
  ],
  [
    "activation_offloading: true",
    /activation_offloading has no effect here: gradient_checkpointing is false/,
  ],
  ["offload_embedding: true", /offload_embedding: full tuning trains the embedding.*set use_peft: true/],
  ["use_peft: true\noffload_embedding: true\ndevice: cpu", /offload_embedding: the model runs on the CPU/],
  ["batch_invariant: true\ndevice: cuda", /batch_invariant: the model runs on cuda, .* set device: cpu/],
  ["max_steps: 0", /max_steps: expected -1 .* or a whole number of at least 1, got the number 0/],
  ["use_peft: true\nlora_modules_to_save: [q_proj]", /q_proj is in lora_target_modules too/],
  ["seed: 1\nseed: 2", /^run\.yaml:5: not valid YAML here: Map keys must be unique$/],
  ["seed: !env SEED", /^run\.yaml:4: not valid YAML here: Unresolved tag: !env$/],
  ["seed: [1", /not valid YAML here/],
  ["---\nseed: 1", /multiple documents/],
];

for (const [yaml, expected] of MISTAKES) {
  test(`refused: ${yaml.replaceAll("\n", " | ")}`, () => assert.match(refused(yaml), expected));
}

test("a value that breaks two bounds of its key is one problem", () => {
  assert.equal(
    refused("", [["seed", "1e23"]]),
    "--seed: expected a whole number at least 0 and at most 4294967295, got the number 1e+23.",
  );
});

test("a missing set of held-out rows is one problem, whatever else follows from it", () => {
  assert.equal(
    refused("", [["eval_strategy", "steps"]]),
    "eval_strategy: steps without held-out rows. Give eval_data or eval_fraction.",
  );
});

test("all problems are told at once", () => {
  const message = messageOf({ yaml: "seed: x\nfoo: 1\n", file: "run.yaml" });
  assert.match(message, /^5 problems in run\.yaml:\n {2}run\.yaml:1: seed/);
  assert.match(message, /model_name_or_path is missing/);
  assert.match(message, /train_data is missing/);
  // a message in which the name of a missing key occurs does not hide that it is missing
  const typed = messageOf({ yaml: "output_dir: o\ntrain_data: a\nmodel_name_or_pth: m\n" });
  assert.match(typed, /Did you mean "model_name_or_path"\?/);
  assert.match(typed, /model_name_or_path is missing/);
});

test("files that are no configuration", () => {
  assert.match(
    messageOf({ file: "/nowhere/run.yaml" }),
    /^\/nowhere\/run\.yaml: .*there is no folder \/nowhere/,
  );
  const recipe = messageOf({ file: "recipes/smolm2-135m.yaml" });
  assert.match(recipe, /there is no such file\. Did you mean "smollm2-135m\.yaml"\?/);
  assert.match(messageOf({ file: "recipes/x.yaml" }), /Configurations in recipes: .*gemma-3-4b\.yaml/);
  assert.match(messageOf({ file: "recipes" }), /expected a configuration, a YAML file, got a directory/);
  assert.match(
    messageOf({ yaml: "- 1", file: "run.yaml" }),
    /run\.yaml:1: expected `key: value` lines, got the list/,
  );
  const bomb = `a: &a [${"x,".repeat(9)}x]\n${"bcdefgh"
    .split("")
    .map((name, i) => `${name}: &${name} [${Array(9).fill(`*${"abcdefg"[i]}`).join(",")}]`)
    .join("\n")}`;
  assert.match(messageOf({ yaml: bomb, file: "run.yaml" }), /cannot be read as YAML: Excessive alias count/);
  assert.match(messageOf({ yaml: "[".repeat(100_000), file: "run.yaml" }), /run\.yaml/);
});

test("what the command line switches off in a file's values is warned of, not refused", () => {
  const { config, warnings } = load("lambda_w: 0.5\npreset: script\nuse_peft: true\nlora_r: 4\n", [
    ["objective", "dpo"],
    ["use_peft", "false"],
  ]);
  assert.deepEqual(config.method, {
    ...pairing,
    objective: "dpo",
    beta: 0.1,
    label_smoothing: 0,
    loss_type: "sigmoid",
    ...plainDpo,
  });
  assert.equal(warnings.length, 3);
  assert.match(warnings.join("\n"), /run\.yaml:4: lambda_w has no effect here: objective is dpo/);
});

test("a SLIME recipe runs with every objective from the command line", () => {
  for (const objective of ["slime", "dpo", "simpo", "sft"]) {
    const { method } = load("preset: script\n", [["objective", objective]]).config;
    assert.equal(method.objective, objective);
  }
});

test("doubtful values are warned of", () => {
  assert.match(load("margin_soft: 3\n").warnings.join(), /margin_soft: 3 is above margin_hard 2\.5/);
  assert.match(
    load("max_steps: 5\nnum_train_epochs: 3\n").warnings.join(),
    /num_train_epochs has no effect here/,
  );
  assert.match(
    load("eval_fraction: 0.1\nearly_stopping_patience: 2\nmetric_for_best_model: eval_los\n").warnings.join(),
    /Did you mean "eval_loss"/,
  );
});

test("values given by a program are checked alike", () => {
  const values = { model_name_or_path: "m", output_dir: "o", train_data: "a.jsonl", seed: 3 };
  const { config, provenance } = loadConfig({ values });
  assert.equal(config.seed, 3);
  assert.deepEqual(provenance.seed, { kind: "code" });
  assert.match(messageOf({ values: { ...values, seed: "3" } }), /config: seed: expected a whole number/);
});

test("train_batch_size sets the micro-batches of a step; the last may be smaller", () => {
  assert.equal(load("train_batch_size: 20\n").config.gradient_accumulation_steps, 3);
  assert.equal(load("").config.train_batch_size, null);
  assert.match(
    refused("train_batch_size: 16\ngradient_accumulation_steps: 2\n"),
    /run\.yaml:5: gradient_accumulation_steps has no effect here: it follows from train_batch_size\./,
  );
  assert.match(
    refused("train_batch_size: 16\ntokens_per_step: 4096\n"),
    /train_batch_size has no effect here: tokens_per_step decides/,
  );
});

test("other trainers' keys about several GPUs: the reason, and our key", () => {
  assert.match(refused("fsdp: full_shard\n"), /unknown key "fsdp"\. In preftune: write `shard: auto/);
  assert.match(refused("deepspeed: zero3.json\n"), /write `shard: auto \| none \| node \| all`/);
  assert.match(refused("tensor_parallel_size: 2\n"), /layers are not cut across GPUs/);
  assert.match(refused("context_parallel_size: 2\n"), /rows are not cut across GPUs/);
  assert.match(refused("pipeline_parallel_size: 2\n"), /blocks are not spread over GPUs/);
  assert.match(refused("fsdp_reshard_after_forward: true\n"), /`keep_gathered:/);
  assert.match(refused("micro_batch_size: 2\n"), /`per_device_train_batch_size`/);
});
