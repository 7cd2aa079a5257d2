/** With LoRA's dropout on, every cut of a step trains the same weights: micro-batches, token caps, prompts shared or not. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { Random } from "../../src/base/random.ts";
import { amount, campaignSeed, figure, isNightly } from "../support/campaign.ts";
import {
  checkpointOf,
  type RunFixture,
  runFixture,
  runTraining,
  tensorsOf,
  type Values,
} from "../support/runs.ts";
import { chatRows, writeRows } from "../support/tiny-model.ts";
import type { TinyName } from "../support/tiny-models.ts";

const random = new Random(campaignSeed);
const steps = amount(4, 8);
const rows = 20;

type Weights = Map<string, Float32Array>;

const adapters: [name: string, values: Values][] = [
  ["LoRA", {}],
  ["DoRA", { use_dora: true }],
  ["rank-stabilised LoRA with a head of its own", { use_rslora: true, lora_modules_to_save: ["lm_head"] }],
];

/** Ways to cut steps of 8 rows; in full, two more are drawn. */
function cuts(): Values[] {
  const fixed: Values[] = [
    { per_device_train_batch_size: 1, gradient_accumulation_steps: 8 },
    { per_device_train_batch_size: 4, gradient_accumulation_steps: 2, share_prompt: false },
    { max_tokens_per_micro_batch: 150, gradient_checkpointing: true },
  ];
  const drawn = Array.from({ length: amount(0, 2) }, () => {
    const size = 2 ** random.below(4);
    return {
      per_device_train_batch_size: size,
      gradient_accumulation_steps: 8 / size,
      max_tokens_per_micro_batch: random.below(2) === 0 ? null : 60 + random.below(500),
      share_prompt: random.below(2) === 0,
      gradient_checkpointing: random.below(2) === 0,
      logits_chunk_size: random.below(2) === 0 ? null : 1 + random.below(200),
      // where a micro-batch has an order of its own
      threads: 1 + random.below(2),
    };
  });
  return [...fixed, ...drawn];
}

let runs = 0;

async function trained(fixture: RunFixture, values: Values): Promise<Weights> {
  runs += 1;
  const dir = fixture.path(`run-${runs}`);
  await runTraining({
    ...fixture.values,
    eval_strategy: "no",
    per_device_train_batch_size: 8,
    max_steps: steps,
    learning_rate: 1e-3,
    use_peft: true,
    lora_r: 4,
    lora_dropout: 0.05,
    export_merged: false,
    ...values,
    output_dir: dir,
  });
  return tensorsOf(join(checkpointOf(dir, steps), "adapter_model.safetensors"));
}

/** ‖a − b‖ / ‖b‖ over all weights. */
function distance(a: Weights, b: Weights): number {
  assert.deepEqual([...a.keys()], [...b.keys()]);
  let [apart, size] = [0, 0];
  for (const [name, values] of b) {
    const others = a.get(name) as Float32Array;
    for (const [i, value] of values.entries()) {
      apart += ((others[i] as number) - value) ** 2;
      size += value ** 2;
    }
  }
  return Math.sqrt(apart / size);
}

function dataFor(fixture: RunFixture, objective: string): Values {
  if (objective !== "sft") return {};
  return { train_data: writeRows(fixture.path("chats.jsonl"), chatRows(rows)), eval_data: null };
}

const cells: [family: TinyName, objective: string, adapter: number][] = [
  ["llama_tied", "slime", 0],
  ["qwen3", "dpo", 1],
  ["gemma3", "simpo", 2],
  ["llama_untied", "sft", 0],
];

test("with dropout, every cut of a step gives the same weights, and dropout does something", async () => {
  let [worst, count, least] = [0, 0, Number.POSITIVE_INFINITY];
  for (const [family, objective, index] of cells.slice(0, amount(1, cells.length))) {
    using fixture = runFixture({ family, rows, held: 2 });
    const [name, adapter] = adapters[index] as [string, Values];
    const base = { ...dataFor(fixture, objective), ...adapter, objective };
    const want = await trained(fixture, base);
    for (const { share_prompt, ...rest } of cuts()) {
      // rows of one answer have no prompt to share
      const cut = objective === "sft" || share_prompt === undefined ? rest : { ...rest, share_prompt };
      const apart = distance(await trained(fixture, { ...base, ...cut }), want);
      count += 1;
      worst = Math.max(worst, apart);
      if (isNightly) process.stdout.write(`${family}, ${objective}, ${name}: cut ${count}, worst ${worst}\n`);
      assert.ok(apart <= 1e-6, `${family}, ${objective}, ${name}, ${JSON.stringify(cut)}: ${apart}`);
    }
    least = Math.min(least, distance(await trained(fixture, { ...base, lora_dropout: 0 }), want));
  }
  assert.ok(least > 1e-3, `dropout moved the weights by ${least} only`);
  const reached = `${count} cuts, largest relative distance of the weights ${worst.toExponential(1)}`;
  figure(13, "a step cut in other ways, LoRA with dropout 0.05", reached, "≤ 1e-6", worst <= 1e-6);
});
