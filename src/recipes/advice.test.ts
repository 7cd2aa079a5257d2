/** What a plan advises: pasted into the run's keys, it is accepted and gives the memory that it says. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { llama8b } from "../../test/support/plan-inputs.ts";
import { runFixture } from "../../test/support/runs.ts";
import { pairRows, writeRows } from "../../test/support/tiny-model.ts";
import { loadConfig } from "../config/load-config.ts";
import type { Plan } from "../planner/run-plan.ts";
import { type PlanOptions, plan } from "./plan.ts";

const dir = mkdtempSync(join(tmpdir(), "preftune-advice-"));
after(() => rmSync(dir, { recursive: true }));
const big = { num_hidden_layers: 80, hidden_size: 8192, intermediate_size: 28_672, num_attention_heads: 64 };
for (const [name, json] of [
  ["8b", llama8b],
  ["70b", { ...llama8b, ...big }],
] as const)
  writeFileSync(join(dir, `${name}.json`), JSON.stringify(json));

type Keys = Record<string, unknown>;

function planned(keys: Keys, options: PlanOptions): Promise<Plan> {
  const common = { model_name_or_path: "m", output_dir: "o", train_data: "d" };
  const { config } = loadConfig({ values: { ...common, ...keys } });
  return plan(config, { modelConfig: join(dir, "8b.json"), ...options });
}

/** Options that the words of an advice name. */
function optionsIn(change: string): PlanOptions {
  const [, gpu] = /--gpu ([\w-]+)/.exec(change) ?? [];
  const numberOf = (name: string) => Number(new RegExp(`--${name} (\\d+)`).exec(change)?.[1] ?? 1);
  const count = numberOf("count");
  return { ...(gpu === undefined ? {} : { gpu }), ...(count > 1 ? { count, nodes: numberOf("nodes") } : {}) };
}

const lora = { use_peft: true };
const online = { reward_funcs: ["length"], num_generations: 8, per_device_train_batch_size: 8 };
const cases: [what: string, keys: Keys, options: PlanOptions, changes: RegExp[]][] = [
  [
    "a step in one micro-batch",
    { optim: "adamw_8bit", per_device_train_batch_size: 64 },
    { gpu: "h200" },
    [/^per_device_train_batch_size: \d+, gradient_accumulation_steps: \d+$/],
  ],
  [
    "a step of given rows",
    { optim: "adamw_8bit", per_device_train_batch_size: 64, train_batch_size: 64 },
    { gpu: "h200" },
    [/^per_device_train_batch_size: \d+$/],
  ],
  [
    "updates in the backward pass",
    { optimizer_in_backward: true, max_grad_norm: 0, per_device_train_batch_size: 64, train_batch_size: 64 },
    { gpu: "h200" },
    [/^per_device_train_batch_size: (\d+), train_batch_size: \1$/],
  ],
  [
    "updates in the backward pass, of completions that are compared in one step",
    { ...online, objective: "grpo", optimizer_in_backward: true, max_grad_norm: 0 },
    { gpu: "rtx4090" },
    [/^use_peft: true, gradient_checkpointing: true$/],
  ],
  [
    "updates in the backward pass, of a step whose rows give its KL",
    { objective: "kto", per_device_train_batch_size: 3, optimizer_in_backward: true, max_grad_norm: 0 },
    { gpu: "rtx4090" },
    [/^use_peft: true, gradient_checkpointing: true, per_device_train_batch_size: 2$/],
  ],
  [
    "a step of given tokens",
    { ...lora, gradient_checkpointing: true, tokens_per_step: 65_536, per_device_train_batch_size: 64 },
    { gpu: "rtx4090" },
    [/^per_device_train_batch_size: \d+$/],
  ],
  [
    "micro-batches of tokens",
    { ...lora, gradient_checkpointing: true, tokens_per_step: 32_768, max_tokens_per_micro_batch: 32_768 },
    { gpu: "rtx4090" },
    [/^max_tokens_per_micro_batch: \d+$/],
  ],
  [
    "pairs of a rollout",
    { ...online, ...lora, objective: "dpo", per_device_train_batch_size: 64, max_completion_length: 1024 },
    { gpu: "h100" },
    [/^per_device_train_batch_size: (8|16|32), gradient_accumulation_steps: (8|4|2)$/],
  ],
  [
    "an adapter in place of a full run with a reference",
    { ...online, objective: "grpo", beta: 0.04 },
    { gpu: "rtx4090" },
    [/^use_peft: true, per_device_train_batch_size: 1, gradient_accumulation_steps: 8$/],
  ],
  [
    "a cache of long completions",
    { ...online, ...lora, objective: "grpo", max_completion_length: 4096, gradient_accumulation_steps: 16 },
    { gpu: "rtx4090" },
    [/max_completion_length: 2048/, /num_generations: 4/],
  ],
  ["PPO in full", { ...online, objective: "ppo" }, { gpu: "rtx4090" }, [/use_peft: true/]],
  ["an adapter with dropout", { objective: "sft" }, { gpu: "h100" }, [/^use_peft: true/]],
  [
    "averages in few bits",
    { optim: "adamw_8bit" },
    { gpu: "h100" },
    [/optim: adamw_torch_fused.* on \d+ such GPUs/],
  ],
  ["ranks that hold all", { shard: "none" }, { gpu: "h100" }, [/shard: auto.* on \d+ such GPUs/]],
  ["shards in the file", { shard: "all" }, { gpu: "h100" }, [/such GPUs/]],
  [
    "a KL of each micro-batch",
    { objective: "kto", preset: "trl", per_device_train_batch_size: 4 },
    { gpu: "h100" },
    [/^use_peft: true, per_device_train_batch_size: 2, gradient_accumulation_steps: 2$/],
  ],
  [
    "batches in which scales are measured after the last step",
    {
      ...{ ...lora, gradient_checkpointing: true, eval_fraction: 0.1, final_scale: "auto" },
      per_device_train_batch_size: 64,
    },
    { gpu: "rtx4090" },
    [
      /^per_device_train_batch_size: (\d+), gradient_accumulation_steps: \d+, per_device_eval_batch_size: \1$/,
    ],
  ],
  [
    "batches in which scales are measured, of more rows than the steps'",
    {
      ...{ ...lora, gradient_checkpointing: true, eval_fraction: 0.1, final_scale: "auto" },
      ...{ per_device_train_batch_size: 2, per_device_eval_batch_size: 64 },
    },
    { gpu: "rtx4090" },
    [/^per_device_eval_batch_size: 2$/],
  ],
  ["a reward model", { objective: "reward" }, { gpu: "h100" }, [/^use_peft: true/]],
  [
    "shards inside hosts",
    { shard: "node" },
    { gpu: "h100", count: 16, nodes: 2, modelConfig: join(dir, "70b.json") },
    [/on 64 such GPUs \(--count 64 --nodes 2\)/],
  ],
];

for (const [what, keys, options, changes] of cases) {
  test(`advice: ${what}`, async () => {
    const { memory, advice } = await planned(keys, options);
    assert.equal(memory.fits, false);
    assert.ok(advice.length > 0);
    const all = advice.map(({ change }) => change);
    for (const change of changes)
      assert.ok(
        all.some((one) => change.test(one)),
        `${all.join("\n")}\n${change}`,
      );
    for (const one of advice) {
      const pasted = await planned({ ...keys, ...one.keys }, { ...options, ...optionsIn(one.change) });
      assert.deepEqual([pasted.memory.total, pasted.memory.fits], [one.bytes, one.fits], one.change);
    }
  });
}

test("advice: rows that are at hand are cut, as they are longer than what is advised", async () => {
  using fixture = runFixture({ held: 0 });
  const words = (count: number) => "is ".repeat(count);
  // the longest has one long answer; cut to one length, the two of another take more
  const long = [
    { prompt: words(4), chosen: words(90), rejected: "there" },
    { prompt: words(20), chosen: words(60), rejected: `there ${words(50)}` },
  ];
  const rows = [...long, ...pairRows(2)];
  const held = [...long.map((row) => ({ ...row, prompt: `who ${row.prompt}` })), ...pairRows(40).slice(2)];
  const trainData = writeRows(fixture.path("rows.jsonl"), rows);
  const evalData = writeRows(fixture.path("held.jsonl"), held);
  const scales = { ...lora, eval_data: evalData, final_scale: "auto", gradient_accumulation_steps: 4 };
  for (const keys of [
    { per_device_train_batch_size: 1, gradient_accumulation_steps: 4 },
    { per_device_train_batch_size: 2, gradient_accumulation_steps: 2 },
    { ...scales, per_device_train_batch_size: 1, per_device_eval_batch_size: 16 },
  ]) {
    const withRows = (more: Keys): Promise<Plan> => {
      const values = {
        ...fixture.values,
        ...{ device: "auto", output_dir: "o", train_data: trainData },
        ...keys,
        ...more,
      };
      return plan(loadConfig({ values }).config, { gpu: "h100", memoryGiB: 0.01 });
    };
    const { advice, finalScale, memory } = await withRows({});
    assert.equal(memory.moment === "measuring the scales at the end", finalScale !== null);
    const shorter = advice.filter((one) => one.keys.max_length !== undefined);
    assert.match(shorter.map(({ change }) => change).join("\n"), /^max_length: \d+, overflow: truncate/);
    for (const one of shorter) {
      const pasted = await withRows(one.keys);
      assert.deepEqual([pasted.rows.source, pasted.rows.pairs], ["from train_data", rows.length]);
      assert.equal(pasted.memory.total, one.bytes, one.change);
    }
  }
});

test("what only one process can do is advised no ranks, and not planned on them", async () => {
  for (const keys of [
    { ...online, objective: "grpo" },
    { optimizer_in_backward: true, max_grad_norm: 0 },
  ]) {
    const { advice } = await planned(keys, { gpu: "rtx4090" });
    assert.ok(advice.length > 0);
    assert.ok(!advice.some(({ change }) => /--count/.test(change)));
    await assert.rejects(planned(keys, { gpu: "h100", count: 2 }), /--count 2: .* (launcher|Leave it out)\./);
  }
});
