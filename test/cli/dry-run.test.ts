/** `train --dry-run`: the numbers of the run's own step, and no file. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, test } from "node:test";
import { ConfigError, DataError } from "../../src/base/errors.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { type DryStep, dryRun } from "../../src/recipes/dry-run.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { preftune } from "../support/command.ts";
import { onlineFixture } from "../support/online-run.ts";
import { filesOf, runFixture, runTraining, type Values } from "../support/runs.ts";
import { writeRows } from "../support/tiny-model.ts";

const fixture = runFixture({ rows: 7, held: 0 });
after(() => fixture[Symbol.dispose]());

// all rows are one micro-batch, and so the longest
const whole: Values = {
  ...fixture.values,
  per_device_train_batch_size: 7,
  max_steps: 1,
  logging_steps: 1,
  save_strategy: "no",
};
const lora: Values = { use_peft: true, lora_r: 4, lora_dropout: 0 };

async function stepOf(values: Values): Promise<DryStep> {
  const kinds: string[] = [];
  for await (const event of dryRun(loadConfig({ values }).config)) {
    kinds.push(event.type);
    if (event.type !== "step") continue;
    assert.deepEqual(kinds, ["preflight", "plan", "step"]);
    return event.step;
  }
  throw new Error("expected a step");
}

const recipes: Record<string, Values> = {
  "SLIME, all weights": { objective: "slime" },
  "DPO, all weights": { objective: "dpo" },
  "DPO, LoRA": { objective: "dpo", ...lora },
  "a reward model": { objective: "reward" },
};

for (const [name, recipe] of Object.entries(recipes)) {
  test(`${name}: loss and gradient norm are those of the run's first step, and nothing is written`, async () => {
    const values = { ...whole, ...recipe, output_dir: fixture.path(`run ${name}`) };
    const before = filesOf(fixture.dir);
    const step = await stepOf(values);
    assert.deepEqual(filesOf(fixture.dir), before);
    await runTraining(values);
    const [row] = readMetrics(fixture.path(`run ${name}`, "metrics.jsonl"));
    const near = (a: number, b: unknown) => Math.abs(a - Number(b)) <= 1e-6 * Math.abs(a) + 1e-9;
    assert.ok(near(step.loss, row?.["loss"]), `${step.loss}, the run's: ${row?.["loss"]}`);
    assert.ok(near(step.gradNorm, row?.["grad_norm"]), `${step.gradNorm}, the run's: ${row?.["grad_norm"]}`);
    assert.equal(step.rows.length, 7);
    assert.ok(step.peakMemoryBytes > 2 ** 24);
  });
}

test("the micro-batch is the longest of the run", async () => {
  const values = { ...whole, objective: "sft", per_device_train_batch_size: 1, max_steps: -1 };
  const long = { prompt: "a", completion: "b ".repeat(60) };
  const rows = [{ prompt: "a", completion: "b" }, { prompt: "a c", completion: "b c" }, long];
  const trainData = writeRows(fixture.path("single.jsonl"), rows);
  const step = await stepOf({ ...values, train_data: trainData, output_dir: fixture.path("longest") });
  assert.deepEqual(step.rows, [`${trainData}:3`]);
});

test("on-policy: the run's first completions are sampled, scored and learned from", async () => {
  using online = onlineFixture();
  const values: Values = { ...online.online, output_dir: online.path("run") };
  const before = filesOf(online.dir);
  const step = await stepOf({ ...values, max_staleness: 1, importance_sampling_correction: true });
  assert.ok(step.sampled && Number.isFinite(step.loss) && step.tokens > 0);
  assert.deepEqual(filesOf(online.dir), before);
  const { reward_workers: _, ...judged } = values;
  await assert.rejects(
    stepOf({ ...judged, reward_funcs: null, judge: "http://127.0.0.1:1/v1#m" }),
    (error: unknown) => error instanceof ConfigError && /--judge null/.test(error.message),
  );
});

test("rows with errors end it after their report; a directory in use is refused", async () => {
  const bad = writeRows(fixture.path("bad.jsonl"), [{ prompt: "a", chosen: "b", rejected: "b" }]);
  await assert.rejects(
    stepOf({ ...whole, train_data: bad, output_dir: fixture.path("bad") }),
    (error: unknown) => error instanceof DataError && error.message.includes("bad.jsonl:1"),
  );
  await assert.rejects(stepOf({ ...whole, output_dir: fixture.dir }), /is not empty and not a run/);
});

test("the command prints the parts in order, and refuses what it has no use for", async () => {
  const file = fixture.path("dry.yaml");
  const values = { ...whole, output_dir: fixture.path("dry") };
  writeFileSync(
    file,
    Object.entries(values)
      .map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`)
      .join(""),
  );
  const before = filesOf(fixture.dir);
  const { status, stdout, stderr } = await preftune("train", file, "--dry-run");
  assert.equal(status, 0, stderr);
  const parts = [
    /^slime \(/m,
    /^columns used +prompt/m,
    /^memory at the peak/m,
    /^step +the longest micro-batch, \d+ tokens: .*train\.jsonl:\d+/m,
    /^memory +at most [\d.]+ MiB of this process; planned: [\d.]+ MiB$/m,
    /Nothing was written\./,
  ];
  const places = parts.map((part) => stdout.search(part));
  assert.deepEqual(
    places,
    places.toSorted((a, b) => a - b),
    stdout,
  );
  assert.ok((places[0] ?? -1) >= 0, stdout);
  assert.deepEqual(filesOf(fixture.dir), before);
  const refused = await preftune("train", file, "--dry-run", "--resume");
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /first step alone, and --resume/);
});
