/** Runs on labelled answers: the same however a step is cut, resumed and by two ranks; presets; what is refused. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { ConfigError, DataError } from "../../src/base/errors.ts";
import { loadMethod } from "../../src/config/load-config.ts";
import { objectiveOf } from "../../src/methods/losses.ts";
import { score } from "../../src/recipes/score.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import {
  assertSameRun,
  cutBack,
  metricsApart,
  runFixture,
  runTraining,
  type Values,
  wholeRuns,
} from "../support/runs.ts";
import { pairRows, writeRows } from "../support/tiny-model.ts";
import { trainOnRanks } from "../support/train-on-ranks.ts";

// 9 pairs are 18 rows, in steps of 8: the last of each epoch has 2; prompts come twice
const fixture = runFixture({ rows: 9, held: 4 });
after(() => fixture[Symbol.dispose]());

const common: Values = {
  ...{ ...fixture.values, objective: "kto", unpair: true, learning_rate: 5e-3 },
  ...{ per_device_train_batch_size: 8, max_steps: 4, logging_steps: 1, eval_steps: 4, save_steps: 2 },
  // mostly up: so the estimate is above 0
  undesirable_weight: 0.2,
};
const lora: Values = { ...common, use_peft: true, lora_r: 4, lora_dropout: 0.2 };
const live: Values = { ...lora, precompute_ref_log_probs: false };
const whole = wholeRuns(fixture);
let runs = 0;

async function trained(values: Values): Promise<string> {
  const outputDir = fixture.path(`run-${runs++}`);
  await runTraining({ ...values, output_dir: outputDir });
  return outputDir;
}

function assertAlike(a: string, b: string): void {
  const { name, by } = metricsApart(a, b, /accuracies$|num_tokens|lengths/);
  assert.ok(by < 2e-3, `${name}: ${by}`);
}

test("metrics do not depend on the cut, on shared prompts, nor on where the reference comes from", async () => {
  const { dir } = await whole(lora);
  const kl = readMetrics(`${dir}/metrics.jsonl`).map((row) => row["kl"]);
  assert.ok(
    kl.some((value) => typeof value === "number" && value > 0),
    "an estimate above 0",
  );
  const cuts: Values[] = [
    { per_device_train_batch_size: 1, gradient_accumulation_steps: 8 },
    { max_tokens_per_micro_batch: 60, share_prompt: false, per_device_eval_batch_size: 3 },
  ];
  for (const cut of cuts) assertAlike(await trained({ ...lora, ...cut }), dir);
  assertAlike(await trained(live), dir);
});

for (const [name, recipe] of [
  ["full tuning", common],
  ["LoRA, a live reference", live],
] as const) {
  test(`${name}: a resumed run is the one that was not interrupted`, async () => {
    const { dir } = await whole(recipe);
    const copy = cutBack(dir, fixture.path(`copy-${runs++}`), 2);
    await runTraining({ ...recipe, output_dir: copy, resume_from_checkpoint: "latest" });
    assertSameRun(copy, dir, 4);
  });
}

test("two ranks take the steps of one process", { timeout: 600_000 }, async () => {
  const { dir } = await whole(lora);
  const outputDir = fixture.path("ranks");
  const halves = { per_device_train_batch_size: 4, train_batch_size: 8, per_device_eval_batch_size: 8 };
  await trainOnRanks(2, { ...lora, ...halves, output_dir: outputDir });
  assertAlike(outputDir, dir);
});

test("preset trl takes the rows as they are read, each micro-batch with its own estimate", async () => {
  const values = { ...common, preset: "trl", per_device_train_batch_size: 4, max_steps: 2, logging_steps: 1 };
  const cut = await trained({ ...values, gradient_accumulation_steps: 2 });
  const rows = readMetrics(`${cut}/metrics.jsonl`);
  // the first eight rows are good answers: TRL's order of what it splits
  const first = rows.find((row) => row.global_step === 1 && row["loss"] !== undefined);
  assert.equal(first?.["rewards/rejected"], undefined);
  // before any update the log-ratios and estimates are 0, whatever is paired
  const loss = Number(first?.["loss"]);
  assert.ok(Math.abs(loss - 0.5) < 1e-6, `${loss}`);
});

test("score gives labels, and the loss that the run's first evaluation had", async () => {
  const { record } = await whole(common);
  const first = record.events.find((event) => event.type === "evaluation");
  const result = await score({
    ...{
      model: fixture.path("base"),
      reference: fixture.path("base"),
      data: String(fixture.values["eval_data"]),
    },
    ...{
      objective: objectiveOf(loadMethod({ objective: "kto", undesirable_weight: 0.2 })),
      selection: { unpair: true },
    },
    ...{ device: "cpu", dtype: "float32", threads: 1 },
  });
  assert.deepEqual(
    result.rows.map(({ label }) => label),
    [true, true, true, true, false, false, false, false],
  );
  assert.ok(Math.abs(Number(result.objective?.loss) - Number(first?.row["eval_loss"])) < 1e-6);
});

for (const [label, loss, there] of [
  [true, 0.5, "chosen"],
  [false, 0.1, "rejected"],
] as const) {
  test(`score measures rows that are all ${label ? "good" : "bad"}, which cannot be trained on`, async () => {
    const rows = pairRows(3).map(({ prompt, chosen }) => ({ prompt, completion: chosen, label }));
    const data = writeRows(fixture.path(`all-${label}.jsonl`), rows);
    const model = fixture.path("base");
    const result = await score({
      ...{ model, reference: model, data, device: "cpu", dtype: "float32", threads: 1 },
      objective: objectiveOf(loadMethod({ objective: "kto", undesirable_weight: 0.2 })),
    });
    assert.deepEqual(
      result.rows.map((row) => row.label),
      [label, label, label],
    );
    // λ σ(0): the model is its own reference
    assert.ok(Math.abs(Number(result.objective?.loss) - loss) < 1e-6, `${result.objective?.loss}`);
    const rewards = Object.keys(result.objective?.metrics ?? {}).filter((name) =>
      /^rewards\/(ch|rej)/.test(name),
    );
    assert.deepEqual(rewards, [`rewards/${there}`]);
    const values = { ...common, train_data: data, eval_data: null, eval_steps: null, unpair: false };
    await assert.rejects(trained(values), /training rows of one label alone/);
  });
}

test("a step of one row borrows the answer of the row before it; steps that all have one are refused", async () => {
  const dir = await trained({
    ...common,
    eval_data: null,
    eval_steps: null,
    per_device_train_batch_size: 17,
    max_steps: 2,
  });
  assert.equal(readMetrics(`${dir}/metrics.jsonl`).length, 2);
  const refused = async (values: Values, message: RegExp, type: typeof ConfigError | typeof DataError) =>
    assert.rejects(trained({ ...common, ...values }), (error: Error) => {
      assert.match(error.message, message);
      return error instanceof type;
    });
  await refused({ per_device_train_batch_size: 1 }, /a step has one row/, ConfigError);
  await refused(
    { preset: "trl", tokens_per_step: 100 },
    /tokens_per_step: kl_over: micro_batch/,
    ConfigError,
  );
  await refused(
    { loss_type: "apo_zero_unpaired", kl_over: "step" },
    /kl_over has no effect here/,
    ConfigError,
  );
  const one = writeRows(fixture.path("one.jsonl"), [{ prompt: "a", completion: " b", label: true }]);
  await refused({ train_data: one, unpair: false }, /training rows of one label alone/, DataError);
  const unlabelled = writeRows(
    fixture.path("half.jsonl"),
    pairRows(2).map(({ prompt, chosen }) => ({ prompt, completion: chosen, label: 0.5 })),
  );
  await refused({ train_data: unlabelled }, /expected true or false, got a number/, DataError);
});
