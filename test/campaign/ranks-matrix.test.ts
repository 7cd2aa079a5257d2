/**
 * Training on several ranks gives the numbers of one: in the nightly run with every possible pair of values of the lists below,
 * in `npm test` with every value.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { METRICS } from "../../src/config/metric-names.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { isNightly } from "../support/campaign.ts";
import { type Combination, completePairs } from "../support/pairwise.ts";
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

const lists = {
  family: ["llama_tied", "llama_untied", "qwen3", "gemma3"],
  objective: ["slime", "dpo", "simpo", "sft"],
  tuned: ["full", "lora", "lora + lm_head", "dora"],
  shard: ["none", "all"],
  size: [2, 3, 4],
  gradient_checkpointing: [false, true],
  keep_gathered: [false, true],
  dtype: ["float32", "bfloat16"],
};

/** The cases with the pairs of values that are in none of the table. */
function missingPairs(): Case[] {
  const given = cases.map(({ more = {}, ...one }) => ({
    ...one,
    gradient_checkpointing: more["gradient_checkpointing"] ?? false,
    keep_gathered: more["keep_gathered"] ?? false,
    dtype: more["dtype"] ?? "float32",
  }));
  // what every rank has whole is not gathered
  const isPossible = (part: Combination) => !(part["shard"] === "none" && part["keep_gathered"] === true);
  return completePairs(lists, given, isPossible).map((combination) => {
    const { family, objective, tuned, shard, size, keep_gathered, ...more } = combination;
    const one = { family, objective, tuned, shard, size } as Case;
    return { ...one, more: { ...more, ...(keep_gathered === true ? { keep_gathered } : {}) } as Values };
  });
}

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
    assert.ok(
      Number(row["speed/waiting_fraction"]) <= 1,
      `waited ${row["speed/waiting_fraction"]} of a step`,
    );
  }
  // what comes before the first step, and an evaluation after the second, are not steps'; a step of fewer rows sends less
  const sent = (rows ?? []).map((row) => Number(row["speed/sent_bytes"]));
  assert.ok(Math.min(...sent) > 0 && Math.max(...sent) < 2.2 * Math.min(...sent), `bytes a step: ${sent}`);
}

async function compare(fixture: RunFixture, one: Case): Promise<void> {
  const values = {
    ...fixture.values,
    ...recipe,
    ...tuning[one.tuned],
    ...one.more,
    objective: one.objective,
  };
  const [alone, many] = [fixture.path("alone"), fixture.path("many")];
  await runTraining({ ...values, output_dir: alone });
  await trainOnRanks(one.size, { ...values, shard: one.shard, output_dir: many });
  requireRankMetrics(many, alone);
  const [files, others] = [many, alone].map((dir) => readdirSync(dir, { recursive: true }).sort());
  assert.deepEqual(files, others);
  const far = distanceOf(exported(many, one), exported(alone, one));
  const apart = metricsApart(many, alone);
  if (one.more?.["dtype"] !== "bfloat16") {
    assert.ok(far < 1e-5, `weights differ by ${far}`);
    assert.ok(apart.by < 5e-5, `${apart.name} differs by ${apart.by}`);
    return;
  }
  // rounded to bfloat16: no further apart than in one process with other cuts of the step, or of the vocabulary, which ranks divide too
  const ways: Values[] = [
    { per_device_train_batch_size: 1 },
    { per_device_train_batch_size: 4 },
    { logits_chunk_size: 20 },
  ];
  const cuts: string[] = [];
  for (const [i, way] of ways.entries()) {
    cuts.push(fixture.path(`cut-${i}`));
    await runTraining({ ...values, ...way, output_dir: cuts.at(-1) });
  }
  const spread = Math.max(...cuts.map((dir) => distanceOf(exported(dir, one), exported(alone, one))));
  assert.ok(far <= 2 * spread, `weights differ by ${far}, cuts in one process by ${spread}`);
  // the shares of pairs that moved up or down are signs too
  const signs = /accuracies$|\/frac_/;
  const spreadOfMetrics = Math.max(...cuts.map((dir) => metricsApart(dir, alone, signs).by));
  const { by, name } = metricsApart(many, alone, signs);
  assert.ok(
    by <= 3 * spreadOfMetrics + 1e-3,
    `${name} differs by ${by}, cuts in one process by ${spreadOfMetrics}`,
  );
}

const run = isNightly ? [...cases, ...missingPairs()] : short.map((i) => cases[i] as Case);
for (const one of run) {
  const { family, objective, tuned, shard, size, more = {} } = one;
  test(`${family}, ${objective}, ${tuned}, shard ${shard}, ${size} ranks ${JSON.stringify(more)}`, async () => {
    using fixture = runFixture({ family, rows: 14, held: 5 });
    await compare(fixture, one);
  });
}
