/** What a configuration asks for is done alike by two ranks and by one process: steps by tokens, mixed sources, references, the watch. */
import assert from "node:assert/strict";
import { after, suite, test } from "node:test";
import { readMetrics } from "../../src/runs/metrics.ts";
import type { TrainSummary } from "../../src/runs/train-events.ts";
import {
  distanceOf,
  logOf,
  metricsApart,
  runFixture,
  runTraining,
  tensorsOf,
  type Values,
} from "../support/runs.ts";
import { trainOnRanks } from "../support/train-on-ranks.ts";

const fixture = runFixture({ family: "llama_untied", rows: 11, held: 5 });
after(() => fixture[Symbol.dispose]());
const other = runFixture({ family: "llama_untied", rows: 7, held: 0 });
after(() => other[Symbol.dispose]());

const recipe: Values = {
  ...fixture.values,
  objective: "dpo",
  // a source comes twice as often as its rows say
  train_data: [
    { path: fixture.values["train_data"], weight: 1 },
    { path: other.values["train_data"], weight: 2 },
  ],
  learning_rate: 1e-3,
  logging_steps: 1,
  max_steps: 4,
  eval_strategy: "steps",
  eval_steps: 2,
};

/** Trains in one process and on two ranks; requires the same metrics and gives the ends and directories of both. */
async function both(name: string, values: Values): Promise<{ ends: TrainSummary[]; dirs: string[] }> {
  const dirs = ["alone", "ranks"].map((who) => fixture.path(`${who} ${name}`));
  const [alone = "", many = ""] = dirs;
  const { summary } = await runTraining({ ...recipe, ...values, output_dir: alone });
  const [first] = await trainOnRanks(2, { ...recipe, ...values, shard: "all", output_dir: many });
  const end = JSON.parse(first?.stdout.trim().split("\n").at(-1) ?? "") as TrainSummary;
  const { name: metric, by } = metricsApart(many, alone);
  assert.ok(by < 5e-5, `${metric} differs by ${by}`);
  return { ends: [summary, end], dirs };
}

function assertSameExport([alone, many]: readonly string[], file: string): void {
  const far = distanceOf(tensorsOf(`${many}/${file}`), tensorsOf(`${alone}/${file}`));
  assert.ok(far < 1e-5, `weights differ by ${far}`);
}

suite("ranks", { concurrency: 2 }, () => {
  test("LoRA with a live reference: steps of so many tokens, rows of like length in each, mixed sources, blocks computed again", async () => {
    const { dirs } = await both("lora", {
      ...{ use_peft: true, lora_r: 4, lora_dropout: 0 },
      ...{ tokens_per_step: 1100, max_length: 512, max_tokens_per_micro_batch: 400 },
      data_order: "length",
      ...{ gradient_checkpointing: true, save_strategy: "no" },
    });
    assertSameExport(dirs, "adapter/adapter_model.safetensors");
    const steps = readMetrics(`${dirs[0]}/metrics.jsonl`).filter((row) => "loss" in row);
    assert.equal(steps.length, 4);
  });

  test("full tuning with a precomputed reference: a collapse is seen by all, and the step before it is exported", async () => {
    const { dirs, ends } = await both("full", {
      ...{
        use_peft: false,
        precompute_ref_log_probs: true,
        train_batch_size: 4,
        per_device_train_batch_size: 2,
      },
      ...{ watch_prompts: "eval", watch_rows: 3, watch_max_new_tokens: 6, watch_action: "restore" },
      // the chosen answers of the held-out rows fall by 0.12, 0.21 and 0.27 nats a token
      ...{ max_steps: 20, watch_thresholds: { chosen_fall: 0.24 } },
      save_strategy: "no",
    });
    const [alone, many] = ends;
    // what was exceeded, without its figures: their last digits may differ
    const told = (summary: TrainSummary | undefined) => {
      const { step, restored, breaches = [] } = summary?.collapse ?? {};
      return [
        summary?.reason,
        step,
        restored,
        breaches.map((text) => text.replaceAll(/-?\d+(\.\d+)?/g, "#")),
      ];
    };
    assert.deepEqual(told(alone).slice(0, 3), ["collapsed", 6, 4]);
    assert.deepEqual(told(many), told(alone));
    assertSameExport(dirs, "model/model.safetensors");
    const collapseOf = (dir: string) =>
      logOf(dir).flatMap(({ event, step }) => (event.startsWith("collapse") ? [[event, step]] : []));
    assert.deepEqual(collapseOf(dirs[1] ?? ""), collapseOf(dirs[0] ?? ""));
  });
});
