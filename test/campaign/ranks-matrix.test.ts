/**
 * Training on several ranks gives the numbers of one. Every value of the lists below is in some case, and many pairs of them, though not
 * every pair.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { METRICS } from "../../src/config/metric-names.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { isNightly } from "../support/campaign.ts";
import {
  distanceOf,
  metricsApart,
  type RunFixture,
  runFixture,
  runTraining,
  tensorsOf,
  type Values,
} from "../support/runs.ts";
import type { TinyName } from "../support/tiny-models.ts";
import { trainOnRanks } from "../support/train-on-ranks.ts";

const recipe: Values = {
  max_steps: 3,
  per_device_train_batch_size: 2,
  train_batch_size: 4,
  learning_rate: 1e-3,
  logging_steps: 1,
  eval_strategy: "steps",
  eval_steps: 2,
  save_strategy: "no",
};

const tuning = {
  full: { use_peft: false },
  lora: { use_peft: true, lora_r: 4, lora_dropout: 0.1 },
  dora: { use_peft: true, lora_r: 2, use_dora: true, lora_dropout: 0 },
  "lora + lm_head": { use_peft: true, lora_r: 4, lora_modules_to_save: ["lm_head"], lora_dropout: 0 },
  "lora + embedding": { use_peft: true, lora_r: 4, lora_modules_to_save: ["embed_tokens"], lora_dropout: 0 },
} satisfies Record<string, Values>;

interface Case {
  family: TinyName;
  objective: string;
  tuned: keyof typeof tuning;
  shard: "none" | "all";
  size: number;
  more?: Values;
}

const recomputed: Values = { gradient_checkpointing: true };
const kept: Values = { keep_gathered: true };
const inHalf: Values = { dtype: "bfloat16" };
/** Two micro-batches of each rank, or more. */
const accumulated: Values = { per_device_train_batch_size: 1, train_batch_size: 7 };
/** Probabilities of a few tokens are kept for the head's gradient, and few logits are held at once. */
const slices: Values = { logits_kept_mib: 0, logits_chunk_size: 50, log_entropy: true };
const watched: Values = { watch_prompts: "eval", watch_rows: 2, watch_max_new_tokens: 6 };

// biome-ignore format: a table
const cases: Case[] = [
  { family: "llama_tied", objective: "slime", tuned: "full", shard: "none", size: 2 },
  { family: "llama_tied", objective: "dpo", tuned: "full", shard: "all", size: 3, more: { ...recomputed, ...accumulated } },
  { family: "llama_tied", objective: "simpo", tuned: "lora", shard: "all", size: 4, more: { ...kept, train_batch_size: 9 } },
  { family: "llama_tied", objective: "sft", tuned: "lora + lm_head", shard: "all", size: 2 },
  { family: "llama_untied", objective: "slime", tuned: "full", shard: "all", size: 4, more: { ...kept, ...inHalf, train_batch_size: 9 } },
  { family: "llama_untied", objective: "dpo", tuned: "lora", shard: "all", size: 2, more: { ...recomputed, ...inHalf } },
  { family: "llama_untied", objective: "simpo", tuned: "dora", shard: "none", size: 3 },
  { family: "llama_untied", objective: "slime", tuned: "lora + embedding", shard: "all", size: 3, more: { ...accumulated } },
  { family: "qwen3", objective: "slime", tuned: "dora", shard: "all", size: 2, more: { ...recomputed, ...kept } },
  { family: "qwen3", objective: "dpo", tuned: "lora + lm_head", shard: "none", size: 4, more: { ...inHalf } },
  { family: "qwen3", objective: "reward", tuned: "full", shard: "none", size: 2 },
  { family: "qwen3", objective: "sft", tuned: "full", shard: "all", size: 3, more: { ...watched } },
  { family: "gemma3", objective: "slime", tuned: "lora", shard: "none", size: 3, more: { ...recomputed, ...watched } },
  { family: "gemma3", objective: "simpo", tuned: "full", shard: "all", size: 2, more: { ...kept } },
  { family: "llama_untied", objective: "simpo", tuned: "full", shard: "all", size: 3, more: { ...accumulated, ...slices } },
  { family: "llama_untied", objective: "dpo", tuned: "lora + lm_head", shard: "all", size: 3, more: { ...recomputed, log_entropy: true } },
  { family: "gemma3", objective: "dpo", tuned: "dora", shard: "all", size: 4, more: { ...inHalf } },
];

/** The cases of `npm test`, in which each value is; the nightly run has all. */
const short = [1, 3, 4, 7, 8, 11, 12, 14, 15];

function exported(dir: string, { tuned }: Case): Map<string, Float32Array> {
  return tensorsOf(`${dir}/${tuned === "full" ? "model/model" : "adapter/adapter_model"}.safetensors`);
}

/** A run on ranks has the metrics of one process and those of ranks, all of numbers. */
function requireRankMetrics(many: string, alone: string): void {
  const ofRanks = METRICS.filter(({ needs }) => needs === "several ranks").map(({ key }) => key);
  const [rows, others] = [many, alone].map((dir) =>
    readMetrics(`${dir}/metrics.jsonl`).filter((row) => "loss" in row),
  );
  for (const [i, row] of (rows ?? []).entries()) {
    assert.deepEqual(Object.keys(row).sort(), [...Object.keys(others?.[i] ?? {}), ...ofRanks].sort());
    for (const key of ofRanks) assert.ok(Number(row[key]) >= 0, `${key}: ${row[key]}`);
    assert.ok(Number(row["speed/sent_bytes"]) > 0);
  }
}

async function compare(fixture: RunFixture, one: Case): Promise<void> {
  const values = {
    ...fixture.values,
    ...recipe,
    ...tuning[one.tuned],
    ...one.more,
    objective: one.objective,
  };
  const [alone, many, cut] = ["alone", "many", "cut"].map((name) => fixture.path(name)) as [
    string,
    string,
    string,
  ];
  await runTraining({ ...values, output_dir: alone });
  await trainOnRanks(one.size, { ...values, shard: one.shard, output_dir: many });
  requireRankMetrics(many, alone);
  const far = distanceOf(exported(many, one), exported(alone, one));
  const apart = metricsApart(many, alone);
  if (one.more?.["dtype"] !== "bfloat16") {
    assert.ok(far < 1e-5, `weights differ by ${far}`);
    assert.ok(apart.by < 5e-5, `${apart.name} differs by ${apart.by}`);
    return;
  }
  // rounded to bfloat16: no further apart than one process is when it cuts the step differently
  await runTraining({ ...values, per_device_train_batch_size: 1, output_dir: cut });
  const spread = distanceOf(exported(cut, one), exported(alone, one));
  assert.ok(far <= 2 * spread, `weights differ by ${far}, two cuts in one process by ${spread}`);
  assert.ok(apart.by <= 3 * metricsApart(cut, alone).by + 1e-3, `${apart.name} differs by ${apart.by}`);
}

for (const [i, one] of cases.entries()) {
  if (!isNightly && !short.includes(i)) continue;
  const { family, objective, tuned, shard, size, more = {} } = one;
  test(`${family}, ${objective}, ${tuned}, shard ${shard}, ${size} ranks ${Object.keys(more).join(" ")}`, async () => {
    using fixture = runFixture({ family, rows: 14, held: 5 });
    await compare(fixture, one);
  });
}
