/** The reference's sums are weighted by ld_alpha as the model's are: computed before training, live, and in single rows. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { isEvalRow, readMetrics } from "../../src/runs/metrics.ts";
import { assertClose } from "../support/close.ts";
import { runFixture, runTraining, type Values } from "../support/runs.ts";

const fixture = runFixture({ rows: 8, held: 4 });
after(() => fixture[Symbol.dispose]());

const common: Values = {
  ...fixture.values,
  objective: "dpo",
  loss_type: ["sigmoid", "sft"],
  ld_alpha: 0.5,
  use_peft: true,
  learning_rate: 1e-3,
  max_steps: 3,
  logging_steps: 1,
  save_strategy: "no",
};

async function lossesOf(name: string, values: Values): Promise<number[]> {
  const outputDir = fixture.path(name);
  await runTraining({ ...common, ...values, output_dir: outputDir });
  const rows = readMetrics(join(outputDir, "metrics.jsonl")).filter((row) => !isEvalRow(row));
  return rows.map((row) => row["loss"] as number);
}

test("precomputed or live, in one micro-batch or in four: the same losses, which begin at ln 2 and the likelihood", async () => {
  const whole = { per_device_train_batch_size: 4, gradient_accumulation_steps: 1 };
  const cut = { per_device_train_batch_size: 1, gradient_accumulation_steps: 4 };
  const first = await lossesOf("precomputed", whole);
  assert.equal(first.length, 3);
  assertClose(await lossesOf("live", { ...whole, precompute_ref_log_probs: false }), first, { rtol: 1e-5 });
  assertClose(await lossesOf("cut", cut), first, { rtol: 1e-5 });
  const metrics = readMetrics(join(fixture.path("precomputed"), "metrics.jsonl"));
  const start = metrics.find((row) => !isEvalRow(row));
  assertClose(start?.["loss/sigmoid"] as number, Math.LN2, { atol: 1e-6 });
});
