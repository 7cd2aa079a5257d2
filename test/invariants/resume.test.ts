/** A run that is interrupted and resumed comes to the same as one that is not, bit for bit, wherever it was cut. */
import assert from "node:assert/strict";
import { appendFileSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { ConfigError, FormatError, TrainingError } from "../../src/base/errors.ts";
import type { TrainEvent } from "../../src/runs/train-events.ts";
import {
  assertSameRun,
  checkpointOf,
  childEnd,
  cutBack,
  filesOf,
  logOf,
  losses,
  metricsOf,
  notesOf,
  type RunRecord,
  runFixture,
  runTraining,
  stateOf,
  trainInChild,
  type Values,
  wholeRuns,
} from "../support/runs.ts";
import { pairRows, writeRows } from "../support/tiny-model.ts";

// 13 rows in steps of 4: the fourth step of each epoch is a part; 20 steps are five epochs, each in another order
const fixture = runFixture({ rows: 13, held: 4 });
after(() => fixture[Symbol.dispose]());

const common: Values = {
  ...fixture.values,
  per_device_train_batch_size: 2,
  gradient_accumulation_steps: 2,
  max_steps: 20,
  lr_scheduler_type: "cosine",
  warmup_steps: 3,
  weight_decay: 0.1,
  logging_steps: 3,
  eval_steps: 4,
  save_steps: 1,
  log_entropy: true,
};
const lora: Values = {
  ...common,
  objective: "slime",
  learning_rate: 5e-3,
  use_peft: true,
  lora_r: 4,
  lora_alpha: 8,
  lora_dropout: 0.2,
};
const full: Values = { ...common, objective: "dpo", learning_rate: 2e-3, data_order: "length" };
const resumed: Values = { resume_from_checkpoint: "latest" };

const uninterrupted = wholeRuns(fixture);

let copies = 0;

/** A copy of the recipe's run, cut back to the checkpoint of `step`. */
async function cut(recipe: Values, step: number): Promise<string> {
  copies += 1;
  return cutBack((await uninterrupted(recipe)).dir, fixture.path(`cut-${copies}`), step);
}

/** Trains until after `step`, then asks it to stop. */
function stopAfter(step: number): { signal: AbortSignal; onEvent: (event: TrainEvent) => void } {
  const controller = new AbortController();
  const onEvent = (event: TrainEvent) => {
    if (event.type === "step" && event.step === step) controller.abort();
  };
  return { signal: controller.signal, onEvent };
}

async function expectSame(recipe: Values, dir: string, changes: Values = {}): Promise<RunRecord> {
  const record = await runTraining({ ...recipe, output_dir: dir, ...resumed, ...changes });
  assertSameRun(dir, (await uninterrupted(recipe)).dir, 20);
  return record;
}

test("the uninterrupted run trains, shuffles and evaluates, or the tests below would prove nothing", async () => {
  const { dir, record } = await uninterrupted(lora);
  const rows = record.events.flatMap((e) => (e.type === "log" || e.type === "evaluation" ? [e.row] : []));
  assert.equal(losses(record).length, 20);
  assert.equal(new Set(losses(record)).size, 20);
  assert.deepEqual(
    rows.flatMap((row) => ("eval_loss" in row ? [row.global_step] : [])),
    [0, 4, 8, 12, 16, 20],
  );
  const first = metricsOf(dir)[1] ?? "";
  assert.match(first, /"global_step":3,"epoch":0.75,.*"learning_rate":/);
  const weights = (step: number) => filesOf(checkpointOf(dir, step))["adapter_model.safetensors"];
  assert.equal(new Set(Array.from({ length: 19 }, (_, i) => weights(i + 2))).size, 19);
});

// early ones, and in twelve that follow each other every place among logged, evaluated and partial steps
for (const step of [1, 4, ...Array.from({ length: 12 }, (_, i) => 8 + i)]) {
  test(`LoRA resumed after step ${step} = uninterrupted`, async () => {
    const dir = await cut(lora, step);
    const record = await expectSame(lora, dir);
    assert.equal(losses(record).length, 20 - step);
    assert.deepEqual(losses(record), losses((await uninterrupted(lora)).record).slice(step));
  });
}

for (const step of [1, 4, 6, 15, 19]) {
  test(`full tuning with DPO resumed after step ${step} = uninterrupted`, async () => {
    await expectSame(full, await cut(full, step));
  });
}

test("rows of metrics after the checkpoint, the last one torn, do not come twice", async () => {
  for (const step of [4, 7]) {
    const dir = await cut(lora, step);
    const rows = readFileSync(join((await uninterrupted(lora)).dir, "metrics.jsonl"));
    writeFileSync(join(dir, "metrics.jsonl"), rows.subarray(0, rows.length - 100));
    await expectSame(lora, dir);
  }
});

test("a run resumed after its last step only exports again", async () => {
  const dir = await cut(lora, 20);
  const record = await expectSame(lora, dir);
  assert.deepEqual(losses(record), []);
  assert.equal(record.summary.reason, "done");
});

for (const [name, recipe, step] of [
  ["LoRA", lora, 7],
  ["full tuning", full, 10],
] as const) {
  test(`${name} resumed in a fresh process = uninterrupted`, async () => {
    const dir = await cut(recipe, step);
    const end = await childEnd(trainInChild({ ...recipe, output_dir: dir, ...resumed }));
    assert.equal(end.code, 0, end.stderr);
    assert.equal(end.stdout.trim().split("\n").length, 20 - step);
    assertSameRun(dir, (await uninterrupted(recipe)).dir, 20);
  });
}

test("stopped by a signal, three times over, and the directory moved in between = uninterrupted", async () => {
  const places = ["stopped-a", "stopped-b", "stopped-c", "stopped-d"].map((name) => fixture.path(name));
  const [a, b, c, d] = places as [string, string, string, string];
  const rare = { ...lora, save_steps: 500 };
  const first = await runTraining({ ...rare, output_dir: a }, stopAfter(5));
  assert.equal(first.summary.reason, "stopped");
  assert.equal(first.summary.step, 5);
  assert.deepEqual(first.summary.exported, []);
  renameSync(a, b);
  const second = await runTraining({ ...rare, output_dir: b, ...resumed }, stopAfter(6));
  assert.deepEqual([second.summary.reason, second.summary.step], ["stopped", 6]);
  renameSync(b, c);
  const third = await runTraining({ ...rare, output_dir: c, ...resumed }, stopAfter(13));
  assert.deepEqual([third.summary.reason, third.summary.step], ["stopped", 13]);
  renameSync(c, d);
  await expectSame(lora, d);
});

test("a signal before the first step leaves a checkpoint of step 0 to resume from", async () => {
  const dir = fixture.path("stopped-at-once");
  const { summary } = await runTraining({ ...lora, output_dir: dir }, { signal: AbortSignal.abort() });
  assert.deepEqual([summary.reason, summary.step], ["stopped", 0]);
  await expectSame(lora, dir);
});

test("events of interrupted and resumed runs are all in the log", async () => {
  const dir = fixture.path("logged");
  await runTraining({ ...lora, output_dir: dir }, stopAfter(2));
  await runTraining({ ...lora, output_dir: dir, ...resumed });
  const events = logOf(dir).map(({ event, step }) => [event, step]);
  assert.deepEqual(events, [
    ["start", 0],
    ["stopped", 2],
    ["start", 2],
    ["done", 20],
  ]);
});

test("another cut of the same step into micro-batches is accepted and gives the same losses", async () => {
  const plain = { ...lora, lora_dropout: 0 };
  const want = losses((await uninterrupted(plain)).record);
  const cuts: Values[] = [
    { per_device_train_batch_size: 4, gradient_accumulation_steps: 1 },
    { per_device_train_batch_size: 1, gradient_accumulation_steps: 4 },
    { max_tokens_per_micro_batch: 100 },
  ];
  for (const changes of cuts) {
    const dir = await cut(plain, 6);
    const got = losses(await runTraining({ ...plain, output_dir: dir, ...resumed, ...changes }));
    assert.equal(got.length, 14);
    for (const [i, loss] of got.entries()) {
      const expected = want[6 + i] as number;
      assert.ok(
        Math.abs(loss - expected) <= 1e-5 * Math.abs(expected),
        `step ${7 + i}: ${loss}, ${expected}`,
      );
    }
  }
});

for (const [recipe, name] of [
  [full, "full tuning, its cache lost"],
  [{ ...lora, objective: "dpo", precompute_ref_log_probs: false }, "LoRA switched off"],
] as const) {
  test(`DPO resumed has the reference of the start: ${name}`, async () => {
    const dir = await cut(recipe, 9);
    rmSync(join(dir, "reference"), { recursive: true, force: true });
    await expectSame(recipe, dir);
  });
}

const refusals: [field: string, changes: Values, message: RegExp][] = [
  ["learning_rate", { learning_rate: 1e-3 }, /^ {2}learning_rate: 0\.005, now 0\.001$/m],
  ["objective", { objective: "simpo" }, /^ {2}objective: "slime", now "simpo"$/m],
  ["preset", { preset: "paper" }, /^ {2}preset: "balanced", now "paper"$/m],
  ["seed", { seed: 1 }, /^ {2}seed: 42, now 1$/m],
  [
    "train_data",
    { train_data: fixture.path("held.jsonl") },
    /^ {2}train_data: .*train\.jsonl.*now .*held\.jsonl/m,
  ],
  ["max_steps", { max_steps: 30 }, /^ {2}max_steps: 20, now 30$/m],
  ["batch", { per_device_train_batch_size: 3 }, /^ {2}per_device_train_batch_size: 2, now 3$/m],
  ["lora_r", { lora_r: 2 }, /^ {2}lora_r: 4, now 2$/m],
];
for (const [field, changes, message] of refusals) {
  test(`a resumed run refuses another ${field} by name and touches nothing`, async () => {
    const dir = await cut(lora, 3);
    const before = filesOf(dir);
    const again = runTraining({ ...lora, output_dir: dir, ...resumed, ...changes });
    await assert.rejects(again, (error: unknown) => {
      assert.ok(error instanceof TrainingError);
      assert.match(error.message, message);
      assert.match(error.message, /Put them back, or start a new run/);
      return true;
    });
    assert.deepEqual(filesOf(dir), before);
  });
}

test("rows that changed under the same path are refused; checkpoints and metrics stay", async () => {
  const train = fixture.path("changing.jsonl");
  const rows = pairRows(13);
  writeRows(train, rows);
  const recipe = { ...lora, train_data: train, max_steps: 4 };
  const dir = fixture.path("changed-rows");
  await runTraining({ ...recipe, output_dir: dir }, stopAfter(2));
  const kept = () => [filesOf(join(dir, "checkpoints")), metricsOf(dir)];
  const before = kept();
  appendFileSync(train, `${JSON.stringify({ prompt: "new", chosen: "yes", rejected: "no" })}\n`);
  await assert.rejects(runTraining({ ...recipe, output_dir: dir, ...resumed }), (error: unknown) => {
    assert.ok(error instanceof TrainingError);
    assert.match(error.message, /the rows, the tokenizer or the template changed since/);
    return true;
  });
  assert.deepEqual(kept(), before);
  writeRows(train, rows);
  const { summary } = await runTraining({ ...recipe, output_dir: dir, ...resumed });
  assert.deepEqual([summary.reason, summary.step], ["done", 4]);
});

const damages: [name: string, damage: (dir: string) => void, reason: RegExp][] = [
  ["a flipped bit in the optimiser", (dir) => flipBit(join(dir, "optimizer.safetensors")), /SHA-256/],
  ["a flipped bit in the weights", (dir) => flipBit(join(dir, "adapter_model.safetensors")), /SHA-256/],
  ["a flipped bit in the counters", (dir) => flipBit(join(dir, "trainer_state.json")), /SHA-256/],
  ["a cut-off file", (dir) => truncateSync(join(dir, "optimizer.safetensors"), 100), /has 100 bytes, not/],
  ["a missing file", (dir) => rmSync(join(dir, "adapter_config.json")), /adapter_config\.json is missing/],
  ["a torn manifest", (dir) => truncateSync(join(dir, "checkpoint.json"), 40), /expected JSON/],
  ["no manifest", (dir) => rmSync(join(dir, "checkpoint.json")), /has no checkpoint\.json/],
];
for (const [name, damage, reason] of damages) {
  test(`a newest checkpoint with ${name} is passed over, with a note, and written again`, async () => {
    const dir = await cut(lora, 18);
    damage(checkpointOf(dir, 18));
    const record = await expectSame(lora, dir);
    assert.match(notesOf(record).join("\n"), /passed over .*checkpoint-18: /);
    assert.match(notesOf(record).join("\n"), reason);
    assert.match(notesOf(record).join("\n"), /resumed from .*checkpoint-17$/m);
    const { dir: want } = await uninterrupted(lora);
    assert.deepEqual(stateOf(checkpointOf(dir, 18)), stateOf(checkpointOf(want, 18)));
  });
}

test("a damaged checkpoint that is asked for by name is refused", async () => {
  const dir = await cut(lora, 4);
  flipBit(join(checkpointOf(dir, 4), "adapter_model.safetensors"));
  const again = runTraining({ ...lora, output_dir: dir, resume_from_checkpoint: "checkpoint-4" });
  await assert.rejects(again, (error: unknown) => {
    assert.ok(error instanceof FormatError);
    assert.match(error.message, /checkpoint-4 is damaged: adapter_model\.safetensors has changed/);
    return true;
  });
});

test("a directory without a run is not resumed", async () => {
  const again = runTraining({ ...lora, output_dir: fixture.path("nothing-here"), ...resumed });
  await assert.rejects(again, (error: unknown) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /nothing-here holds no run to resume/);
    return true;
  });
});

test("the best checkpoint and the count of evaluations without gain survive, wherever it was cut", async () => {
  // the third step is the best by 3 %, before rounding could have grown to that
  const best = { ...lora, learning_rate: 0.3, eval_steps: 1, save_steps: 4, load_best_model_at_end: true };
  const patient = {
    ...best,
    lr_scheduler_type: "constant_with_warmup",
    early_stopping_patience: 3,
    save_total_limit: 2,
  };
  const { dir: whole, record } = await uninterrupted(patient);
  const { summary } = record;
  assert.equal(summary.reason, "early stop");
  assert.ok(summary.best !== null && summary.best.step % 4 !== 0, `the best step is ${summary.best?.step}`);
  assert.equal(summary.step, summary.best.step + 3);
  const weights = (dir: string) => filesOf(dir)["adapter_model.safetensors"];
  assert.equal(weights(join(whole, "adapter")), weights(checkpointOf(whole, summary.best.step)));
  for (const step of [1, summary.best.step - 1, summary.best.step, summary.step - 1]) {
    const dir = fixture.path(`best-${step}`);
    await runTraining({ ...patient, output_dir: dir }, stopAfter(step));
    const again = await runTraining({ ...patient, output_dir: dir, ...resumed });
    assert.deepEqual(again.summary.best, summary.best);
    assert.deepEqual([again.summary.reason, again.summary.step], ["early stop", summary.step]);
    assert.equal(weights(join(dir, "adapter")), weights(join(whole, "adapter")));
    assert.deepEqual(metricsOf(dir), metricsOf(whole));
  }
});

test("a run that stopped early and was killed before its end takes no further step", async () => {
  const patient = { ...lora, learning_rate: 0.3, eval_steps: 1, save_steps: 1, early_stopping_patience: 3 };
  const { dir: whole, record } = await uninterrupted(patient);
  assert.equal(record.summary.reason, "early stop");
  const dir = cutBack(whole, fixture.path("patient"), record.summary.step);
  const again = await runTraining({ ...patient, output_dir: dir, ...resumed });
  assert.deepEqual([again.summary.reason, again.summary.step], ["early stop", record.summary.step]);
  assertSameRun(dir, whole, record.summary.step);
});

test("a best checkpoint that is damaged is made again from the one before it, and reported", async () => {
  const best = { ...lora, learning_rate: 0.1, eval_steps: 1, save_steps: 1, load_best_model_at_end: true };
  const { dir: whole, record } = await uninterrupted(best);
  const step = record.summary.best?.step ?? 0;
  assert.ok(step > 1 && step < 20, `the best step is ${step}`);
  const dir = fixture.path("best-damaged");
  await runTraining({ ...best, output_dir: dir }, stopAfter(step + 1));
  const weights = join(checkpointOf(dir, step), "adapter_model.safetensors");
  const bytes = readFileSync(weights);
  bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1;
  writeFileSync(weights, bytes);
  const again = await runTraining({ ...best, output_dir: dir, ...resumed });
  assert.match(
    notesOf(again).join("\n"),
    new RegExp(`the checkpoint of step ${step}, the best so far, is damaged`),
  );
  assert.deepEqual(again.summary.best, record.summary.best);
  assertSameRun(dir, whole, 20);
});

test("two runs with one seed are the same in every file but for times; another seed gives other weights", async () => {
  const dir = fixture.path("twin");
  const [first, second] = [fixture.path("twin-1"), fixture.path("twin-2")];
  const recipe = { ...lora, output_dir: dir, export_merged: true, max_steps: 8 };
  for (const place of [first, second]) {
    await runTraining(recipe);
    renameSync(dir, place);
  }
  assert.deepEqual(timeless(first), timeless(second));
  assert.deepEqual(metricsOf(first), metricsOf(second));
  const events = (place: string) => logOf(place).map(({ time: _, ...rest }) => rest);
  assert.deepEqual(events(first), events(second));

  await runTraining({ ...recipe, seed: 43 });
  const weights = (place: string) => filesOf(checkpointOf(place, 8))["adapter_model.safetensors"];
  assert.notEqual(weights(dir), weights(first));
});

/** Every file of a run but those with times and memory in them. */
function timeless(dir: string): Record<string, string> {
  const timed = /(^|\/)(log\.jsonl|metrics\.jsonl|report\.html|checkpoint\.json|records\.json)$/;
  return Object.fromEntries(Object.entries(filesOf(dir)).filter(([name]) => !timed.test(name)));
}

function flipBit(path: string): void {
  const bytes = readFileSync(path);
  const at = Math.floor(bytes.length * 0.6);
  bytes[at] = (bytes[at] as number) ^ 4;
  writeFileSync(path, bytes);
}
