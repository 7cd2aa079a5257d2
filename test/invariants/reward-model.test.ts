/** Reward models from rows to files: runs in full and with LoRA, resumed bit for bit, and what is exported gives the same scores. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { readModelConfig } from "../../src/formats/hf-config.ts";
import { readSafetensorsHeader } from "../../src/formats/safetensors.ts";
import { loadRewardModel } from "../../src/models/load-reward-model.ts";
import type { RewardModel } from "../../src/models/reward-model.ts";
import { scoreCompletions } from "../../src/online/reward-model.ts";
import { merge } from "../../src/recipes/merge.ts";
import { scoreRewards } from "../../src/recipes/score-rewards.ts";
import { scope } from "../../src/torch/index.ts";
import { assertClose } from "../support/close.ts";
import {
  assertSameRun,
  cutBack,
  evaluationsOf,
  losses,
  type RunRecord,
  runFixture,
  runTraining,
  type Values,
  wholeRuns,
} from "../support/runs.ts";
import { pairRows, writeRows } from "../support/tiny-model.ts";

const fixture = runFixture({ rows: 0, held: 0 });
after(() => fixture[Symbol.dispose]());

const rows = pairRows(40).map((row, i) => (i % 3 === 0 ? { ...row, margin: 0.5 } : row));

const common: Values = {
  ...fixture.values,
  train_data: writeRows(fixture.path("pairs.jsonl"), rows.slice(0, 32)),
  eval_data: writeRows(fixture.path("held-pairs.jsonl"), rows.slice(32)),
  objective: "reward",
  center_rewards_coefficient: 0.01,
  per_device_train_batch_size: 4,
  gradient_accumulation_steps: 2,
  max_steps: 12,
  logging_steps: 4,
  eval_steps: 6,
  save_steps: 1,
  max_grad_norm: 1,
};
const full: Values = { ...common, learning_rate: 3e-3 };
const lora: Values = {
  ...common,
  learning_rate: 1e-2,
  use_peft: true,
  lora_r: 4,
  lora_alpha: 8,
  lora_dropout: 0.1,
  export_merged: true,
};
const recipes = { full, lora };

const runOf = wholeRuns(fixture);

const machine = { device: "cpu", dtype: "float32", threads: 1 } as const;

/** Scores of some token sequences. */
function scoresOf(model: RewardModel): number[] {
  const groups = [
    { promptIds: [5, 9, 30], completions: [[4, 4, 17, 2], [22], [7, 2]] },
    { promptIds: [40], completions: [[100, 101, 102, 103, 104, 2]] },
  ];
  const numerics = { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null } as const;
  return scoreCompletions(model, groups, { numerics });
}

for (const [kind, recipe] of Object.entries(recipes)) {
  test(`${kind}: the loss falls, pairs are ranked, and the metrics are TRL's`, async () => {
    const { record } = await runOf(recipe);
    const all = losses(record);
    const mean = (some: number[]) => some.reduce((a, b) => a + b, 0) / some.length;
    assert.equal(all.length, 12);
    assert.ok(mean(all.slice(-4)) < mean(all.slice(0, 4)) - 0.05, `losses: ${all}`);
    const evaluations = evaluationsOf(record);
    assert.deepEqual(
      evaluations.map((row) => row.global_step),
      [0, 6, 12],
    );
    const last = evaluations.at(-1) ?? {};
    for (const name of ["accuracy", "margin", "min_reward", "mean_reward", "max_reward", "loss"]) {
      assert.ok(Number.isFinite(last[`eval_${name}` as keyof typeof last]), name);
    }
    assert.equal(
      Object.keys(last).some((name) => /logps|displacement|entropy|token_accuracy|lengths/.test(name)),
      false,
    );
  });

  for (const step of [1, 6, 11]) {
    test(`${kind}: resumed after step ${step} = uninterrupted`, async () => {
      const { dir } = await runOf(recipe);
      const cut = cutBack(dir, fixture.path(`cut-${kind}-${step}`), step);
      await runTraining({ ...recipe, output_dir: cut, resume_from_checkpoint: "latest" });
      assertSameRun(cut, dir, 12);
    });
  }
}

test("full: the model directory is a sequence classifier with one label, and pads with no token that ends an answer", async () => {
  const { dir } = await runOf(full);
  const model = join(dir, "model");
  const config = JSON.parse(readFileSync(join(model, "config.json"), "utf8"));
  assert.deepEqual(config.architectures, ["LlamaForSequenceClassification"]);
  assert.deepEqual(config.id2label, { 0: "LABEL_0" });
  assert.equal(config.problem_type, "regression");
  const tokenizer = JSON.parse(readFileSync(join(model, "tokenizer_config.json"), "utf8"));
  const vocabulary = JSON.parse(readFileSync(join(model, "tokenizer.json"), "utf8"));
  const pad = vocabulary.added_tokens.find(({ id }: { id: number }) => id === config.pad_token_id);
  assert.equal(tokenizer.pad_token, pad.content);
  assert.ok(![config.eos_token_id].flat().includes(config.pad_token_id));
  const { tensors } = readSafetensorsHeader(join(model, "model.safetensors"));
  assert.deepEqual(tensors.get("score.weight")?.shape, [1, readModelConfig(model).hiddenSize]);
  assert.equal(tensors.has("lm_head.weight"), false);
});

test("LoRA: the adapter is a PEFT classifier's with its score layer, and gives the merged model's scores", async () => {
  const { dir } = await runOf(lora);
  const adapter = join(dir, "adapter");
  const config = JSON.parse(readFileSync(join(adapter, "adapter_config.json"), "utf8"));
  assert.deepEqual([config.task_type, config.modules_to_save], ["SEQ_CLS", ["score"]]);
  const { tensors } = readSafetensorsHeader(join(adapter, "adapter_model.safetensors"));
  assert.ok(tensors.has("base_model.model.score.weight"));
  using _ = scope();
  const base = fixture.values["model_name_or_path"] as string;
  const adapted = scoresOf(loadRewardModel(base, { adapter }));
  const merged = scoresOf(loadRewardModel(join(dir, "model")));
  assertClose(merged, adapted, { atol: 1e-5 });
  assert.ok(new Set(adapted.map((score) => score.toFixed(3))).size === 4, `${adapted}`);
});

test("training continues from a reward model, and from an adapter of one, with the score layer they have", async () => {
  const { dir } = await runOf(full);
  const again = await runTraining({
    ...full,
    model_name_or_path: join(dir, "model"),
    max_steps: 1,
    output_dir: fixture.path("again"),
  });
  const evaluation = (record: RunRecord, at: number) => evaluationsOf(record).at(at)?.["eval_loss"] as number;
  const { record } = await runOf(full);
  assertClose(evaluation(again, 0), evaluation(record, -1), { rtol: 1e-5 });

  const { dir: adapted, record: first } = await runOf(lora);
  const { lora_r: _r, lora_alpha: _a, lora_dropout: _d, ...rest } = lora;
  const next = await runTraining({
    ...rest,
    adapter_name_or_path: join(adapted, "adapter"),
    max_steps: 1,
    output_dir: fixture.path("again-lora"),
  });
  assertClose(evaluation(next, 0), evaluation(first, -1), { rtol: 1e-5 });
});

test("scoring a file of pairs gives what the run's last evaluation gave, from the model and from base and adapter", async () => {
  for (const recipe of [full, lora]) {
    const { dir, record } = await runOf(recipe);
    const last = evaluationsOf(record).at(-1);
    const data = recipe["eval_data"] as string;
    const base = fixture.values["model_name_or_path"] as string;
    const isFull = recipe === full;
    const named = {
      model: isFull ? join(dir, "model") : base,
      adapter: isFull ? null : join(dir, "adapter"),
    };
    const { rows: scored, accuracy, metrics } = await scoreRewards({ ...named, data, ...machine });
    assert.deepEqual([scored.length, accuracy.pairs], [8, 8]);
    assert.equal(accuracy.accuracy, last?.["eval_accuracy"]);
    const margins = scored.map((row) => row["reward/chosen"] - row["reward/rejected"]);
    assertClose(margins.reduce((a, b) => a + b, 0) / 8, last?.["eval_margin"] as number, { atol: 1e-5 });
    assertClose(metrics["mean_reward"] as number, last?.["eval_mean_reward"] as number, { atol: 1e-5 });
    assert.equal(scored[0]?.line, 1);
    assert.ok(scored.every((row) => row["num_tokens/chosen"] > 1 && row["num_tokens/rejected"] > 1));
  }
});

test("merging an adapter of a reward model gives a reward model, which scores as the run's own merged one", async () => {
  const { dir } = await runOf(lora);
  const output = fixture.path("merged");
  const base = fixture.values["model_name_or_path"] as string;
  const result = await merge({
    model: base,
    adapter: join(dir, "adapter"),
    output,
    device: "cpu",
    threads: 1,
  });
  assert.ok(result.maxDifference < 1e-5 && result.adapterEffect > 0.01, JSON.stringify(result));
  using _ = scope();
  const [merged, own] = [loadRewardModel(output), loadRewardModel(join(dir, "model"))];
  assertClose(scoresOf(merged), scoresOf(own), { atol: 1e-5 });
  assert.deepEqual(
    readFileSync(join(output, "config.json"), "utf8"),
    readFileSync(join(dir, "model", "config.json"), "utf8"),
  );
});

for (const [kind, recipe] of Object.entries(recipes)) {
  test(`${kind} in bfloat16: trains, and the files score as the model in memory does`, async () => {
    const { export_merged: _, ...rest } = recipe;
    const outputDir = fixture.path(`half-${kind}`);
    const record = await runTraining({ ...rest, dtype: "bfloat16", max_steps: 2, output_dir: outputDir });
    assert.ok(losses(record).every(Number.isFinite));
    assert.equal(record.summary.exported.length, 1);
  });
}
