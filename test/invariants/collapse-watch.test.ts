/** The collapse watch: a run made to collapse is caught and its best checkpoint exported; a healthy one goes its way. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { after, test } from "node:test";
import { DataError } from "../../src/base/errors.ts";
import { deriveSeed } from "../../src/base/random.ts";
import { readSafetensorsHeader, readTensorBytes } from "../../src/formats/safetensors.ts";
import { sampleCompletions } from "../../src/generate/sample.ts";
import { loadModel } from "../../src/models/load.ts";
import { type EvaluationRecord, readEvaluations } from "../../src/runs/evaluation-records.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { scope } from "../../src/torch/index.ts";
import { preftune } from "../support/command.ts";
import {
  assertSameRun,
  checkpointOf,
  logOf,
  metricsOf,
  notesOf,
  type RunRecord,
  runFixture,
  runTraining,
  type Values,
} from "../support/runs.ts";
import { chatRows, writeRows } from "../support/tiny-model.ts";

const fixture = runFixture({ rows: 40, held: 8 });
after(() => fixture[Symbol.dispose]());

/** A model that has learned to give short answers and end them: what collapses must have stood before. */
const trained: Promise<string> = runTraining({
  ...fixture.values,
  train_data: writeRows(fixture.path("sft.jsonl"), chatRows(40)),
  eval_data: null,
  objective: "sft",
  use_peft: false,
  learning_rate: 1e-2,
  max_steps: 120,
  per_device_train_batch_size: 8,
  save_strategy: "no",
  output_dir: fixture.path("sft"),
}).then(() => fixture.path("sft", "model"));

async function common(): Promise<Values> {
  return {
    ...fixture.values,
    model_name_or_path: await trained,
    use_peft: false,
    max_steps: 12,
    eval_strategy: "steps",
    eval_steps: 1,
    save_strategy: "no",
    per_device_train_batch_size: 8,
  };
}

const watched: Values = { watch_prompts: "eval", watch_max_new_tokens: 24, watch_action: "restore" };
/** SimPO with a margin five times that of its authors' preset: loops and answers without an end, the loss falling all the while. */
const collapsing: Values = { objective: "simpo", simpo_gamma: 5, learning_rate: 3e-3 };
const healthy: Values = { objective: "dpo", learning_rate: 1e-4 };

let runs = 0;
async function run(
  values: Values,
  more: Parameters<typeof runTraining>[1] = {},
): Promise<RunRecord & { dir: string }> {
  runs += 1;
  const dir = String(values["output_dir"] ?? fixture.path(`run-${runs}`));
  return { dir, ...(await runTraining({ ...(await common()), ...values, output_dir: dir }, more)) };
}

function tensorsOf(path: string): string[] {
  const file = readSafetensorsHeader(path);
  return [...file.tensors.values()].map(
    (e) => `${e.name} ${Buffer.from(readTensorBytes(file, e)).toString("hex")}`,
  );
}

const alarmsOf = ({ events }: RunRecord) => events.filter((event) => event.type === "collapse");
const rowsOf = (dir: string) => readMetrics(`${dir}/metrics.jsonl`).filter((row) => "eval_loss" in row);
const recordsOf = (dir: string): EvaluationRecord[] => readEvaluations(`${dir}/evaluations.jsonl`);

test("a run made to collapse is stopped, and the best checkpoint before the collapse is what is exported", async () => {
  const { dir, summary, ...record } = await run({ ...watched, ...collapsing });
  assert.equal(summary.reason, "collapsed");
  const { collapse, best } = summary;
  assert.ok(collapse !== null && best !== null);
  assert.ok(collapse.step < 12 && collapse.breaches.length > 0);
  assert.match(collapse.breaches.join(), /^(samples|logps)\/\w+ (rose|fell|went) .* since step 0: from /);
  assert.equal(collapse.restored, best.step);
  const ofStep = (step: number) => rowsOf(dir).find((row) => row.global_step === step)?.["eval_loss"];
  // by its loss the collapsed model is no worse: only the watch sees it
  assert.ok(Number(ofStep(collapse.step)) <= best.value, `${ofStep(collapse.step)}, ${best.value}`);
  assert.ok(best.step > 0 && best.step < collapse.step);
  const weights = "model.safetensors";
  assert.deepEqual(summary.exported, [`${dir}/model`]);
  assert.deepEqual(
    tensorsOf(`${dir}/model/${weights}`),
    tensorsOf(`${checkpointOf(dir, best.step)}/${weights}`),
  );

  assert.deepEqual(
    alarmsOf({ summary, ...record }).map((event) => event.type === "collapse" && [event.step, event.action]),
    [[collapse.step, "restore"]],
  );
  const log = logOf(dir).map(({ time: _, ...rest }) => rest);
  const { step, breaches, restored } = collapse;
  assert.deepEqual(log.slice(1), [
    { event: "collapse", step, action: "restore", breaches },
    { event: "collapsed", step, exported: [`${dir}/model`], restored },
  ]);
  const report = readFileSync(summary.report, "utf8");
  assert.match(
    report,
    /The run was stopped because the model collapsed\. The checkpoint of step \d+ was exported\./,
  );
  assert.match(report, new RegExp(`step ${best.step}, exported`));
});

const lora: Values = { use_peft: true, lora_r: 4, lora_alpha: 8, lora_dropout: 0.3, learning_rate: 1e-3 };
for (const [name, values, weights] of [
  ["full tuning", healthy, "model/model.safetensors"],
  ["LoRA with dropout", { ...healthy, ...lora }, "adapter/adapter_model.safetensors"],
] as const) {
  test(`a healthy run is left alone, and looking at it changes nothing of it: ${name}`, async () => {
    const looked = await run({ ...watched, ...values, max_steps: 6 });
    assert.equal(looked.summary.reason, "done");
    assert.equal(looked.summary.collapse, null);
    assert.deepEqual(alarmsOf(looked), []);
    const plain = await run({ ...values, max_steps: 6 });
    const unwatched = (dir: string) =>
      metricsOf(dir).map((row) => row.replace(/,"eval_samples\/\w+":[^,}]+/g, ""));
    assert.notDeepEqual(metricsOf(looked.dir), metricsOf(plain.dir));
    assert.deepEqual(unwatched(looked.dir), unwatched(plain.dir));
    assert.deepEqual(tensorsOf(`${looked.dir}/${weights}`), tensorsOf(`${plain.dir}/${weights}`));
  });
}

test("what is recorded: the answers of the model as it is, with the same random numbers each time", async () => {
  const { dir, summary } = await run({
    ...watched,
    ...healthy,
    max_steps: 3,
    watch_samples: 3,
    watch_rows: 5,
    seed: 9,
  });
  const records = recordsOf(dir);
  assert.deepEqual(
    records.map((one) => one.global_step),
    [0, 1, 2, 3],
  );
  const last = records.at(-1) as EvaluationRecord;
  assert.deepEqual(
    last.samples.map(({ answers }) => answers.length),
    [3, 3, 3, 3, 3],
  );
  using _ = scope();
  const model = loadModel(summary.exported[0] ?? "");
  const tokenizer = loadTokenizer(await trained);
  // the rows' prompts are plain text, and go in verbatim
  const prompts = last.samples.map(({ prompt }) => tokenizer.encode(prompt, { addSpecialTokens: true }));
  const answers = await sampleCompletions(model, prompts, {
    temperature: 1,
    maxNewTokens: 24,
    stopIds: new Set([2]),
    seed: deriveSeed(9, 2 ** 31),
    answersPerPrompt: 3,
  });
  assert.deepEqual(
    last.samples.flatMap((one) => one.answers),
    answers.map(({ ids, stopId }) => ({
      text: tokenizer.decode(ids, { skipSpecialTokens: false }),
      ended: stopId !== null,
    })),
  );
});

test("the histogram of rejected tokens has every one of them; below the knee lie those the stabiliser holds", async () => {
  const { dir } = await run({
    ...healthy,
    objective: "slime",
    delta: 1.5,
    max_steps: 2,
    learning_rate: 1e-3,
  });
  const rows = rowsOf(dir);
  assert.equal(rows.length, 3);
  for (const [i, { rejected_logps: logps, pair_changes: pairs }] of recordsOf(dir).entries()) {
    const row = rows[i] as (typeof rows)[number];
    const total = logps?.counts.reduce((a, b) => a + b, 0) ?? 0;
    assert.equal(total, Math.round(8 * Number(row["eval_lengths/rejected"])));
    const below = logps?.counts.slice(3).reduce((a, b) => a + b, 0) ?? 0;
    assert.ok(Math.abs(below / total - Number(row["eval_slime/frac_rejected_tokens_penalised"])) < 1e-6);
    assert.equal(pairs.length, 8);
    const down = pairs.filter(([chosen, rejected]) => chosen < 0 && rejected < 0).length / 8;
    // rounding to four decimals may turn a tiny fall into none
    assert.ok(Math.abs(down - Number(row["eval_displacement/frac_both_down"])) <= 1 / 8);
  }
});

test("action stop: a checkpoint and no export; resumed with action warn it continues as if it had only warned", async () => {
  const dir = fixture.path("stopped");
  const stopped = await run({ ...watched, ...collapsing, watch_action: "stop", output_dir: dir });
  const { collapse } = stopped.summary;
  assert.ok(collapse !== null);
  assert.deepEqual(
    [stopped.summary.reason, stopped.summary.exported, collapse.restored],
    ["collapsed", [], null],
  );
  assert.ok(!existsSync(`${dir}/model`));
  assert.ok(existsSync(checkpointOf(dir, collapse.step)));
  assert.match(readFileSync(stopped.summary.report, "utf8"), /model collapsed\. Nothing was exported\./);

  const once = await run({
    ...watched,
    ...collapsing,
    watch_action: "stop",
    output_dir: dir,
    resume_from_checkpoint: "latest",
  });
  assert.deepEqual([once.summary.reason, once.summary.exported], ["collapsed", []], "run again as it was");
  assert.deepEqual(once.summary.collapse, collapse);

  const warns: Values = {
    ...watched,
    ...collapsing,
    watch_action: "warn",
    save_strategy: "steps",
    save_steps: 12,
  };
  const resumed = await run({ ...warns, output_dir: dir, resume_from_checkpoint: "latest" });
  const whole = await run(warns);
  assert.equal(resumed.summary.reason, "done");
  assert.equal(alarmsOf(resumed).length, alarmsOf(whole).length - 1, "one before it was stopped");
  assertSameRun(dir, whole.dir, 12);
  assert.deepEqual(recordsOf(dir), recordsOf(whole.dir));
  assert.deepEqual(resumed.summary.best, whole.summary.best);
  const alarms = alarmsOf(whole).map((event) => event.type === "collapse" && event.step);
  assert.ok(!alarms.includes(whole.summary.best?.step ?? -1), "no collapsed evaluation is the best");
  const report = readFileSync(resumed.summary.report, "utf8");
  assert.match(report, /The collapse watch raised an alarm/);
  assert.doesNotMatch(report, /was stopped because/);
});

test("a watch that only warns leaves early stopping alone: the last step is that of a run without one", async () => {
  const values: Values = { ...collapsing, early_stopping_patience: 2 };
  const warned = await run({ ...values, ...watched, watch_action: "warn" });
  assert.ok(alarmsOf(warned).length > 2, "the watch was meant to see a collapse");
  const unwatched = await run({ ...values, watch_prompts: null, watch_thresholds: { chosen_fall: null } });
  const { reason, step } = unwatched.summary;
  assert.deepEqual([warned.summary.reason, warned.summary.step], [reason, step]);
  const alarms = alarmsOf(warned).map((event) => event.type === "collapse" && event.step);
  assert.ok(!alarms.includes(warned.summary.best?.step ?? -1), "what collapsed is not the best");
});

test("interrupted and resumed before the collapse, it is caught at the same step and restored to the same weights", async () => {
  const whole = await run({ ...watched, ...collapsing });
  const dir = fixture.path("interrupted");
  const controller = new AbortController();
  await run(
    { ...watched, ...collapsing, output_dir: dir },
    {
      signal: controller.signal,
      onEvent: (e) => void (e.type === "step" && e.step === 2 && controller.abort()),
    },
  );
  const again = await run({ ...watched, ...collapsing, output_dir: dir, resume_from_checkpoint: "latest" });
  assert.deepEqual(again.summary.collapse, whole.summary.collapse);
  assert.deepEqual(
    tensorsOf(`${dir}/model/model.safetensors`),
    tensorsOf(`${whole.dir}/model/model.safetensors`),
  );
  assert.deepEqual(recordsOf(dir), recordsOf(whole.dir));
});

test("a collapse before there is any best checkpoint: nothing is exported, and the command line says so", async () => {
  const file = fixture.path("early.yaml");
  const values = {
    ...(await common()),
    ...watched,
    ...collapsing,
    learning_rate: 0.05,
    eval_steps: 4,
    output_dir: fixture.path("early"),
  };
  writeFileSync(
    file,
    Object.entries(values)
      .map(([k, v]) => `${k}: ${JSON.stringify(v)}\n`)
      .join(""),
  );
  const { status, stdout } = await preftune("train", file);
  assert.equal(status, 6, stdout);
  const lines = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const { end } = lines.at(-1);
  assert.deepEqual(
    [end.reason, end.collapse.restored, end.exported, end.best],
    ["collapsed", null, [], null],
  );
  assert.match(
    stdout,
    /"note":"step 4: the watch sees a collapse, stops the run and goes back to the best checkpoint before it: /,
  );
});

test("a best checkpoint that is gone is not gone back to: the best is tracked from there, with a note", async () => {
  const dir = fixture.path("lost");
  const base: Values = {
    ...watched,
    ...healthy,
    output_dir: dir,
    lr_scheduler_type: "constant",
    // the loss falls all the while, so that the first step counts as the best
    greater_is_better: true,
    watch_action: "warn",
    save_strategy: "steps",
    save_steps: 1,
  };
  const first = await run({ ...base, max_steps: 3 });
  assert.equal(first.summary.best?.step, 1);
  rmSync(checkpointOf(dir, 1), { recursive: true });
  const again = await run({
    ...base,
    max_steps: 5,
    watch_action: "restore",
    resume_from_checkpoint: "latest",
  });
  assert.match(
    notesOf(again).join("\n"),
    /^the checkpoint of step 1, the best so far, is missing: the best from here on counts$/m,
  );
  assert.equal(again.summary.best?.step, 4);
});

test("another question is another start: resumed with other prompts, their first answers are what later ones are held to", async () => {
  const dir = fixture.path("asked-again");
  const base: Values = { ...watched, ...healthy, output_dir: dir, lr_scheduler_type: "constant" };
  await run({ ...base, max_steps: 2 });
  const start = () => JSON.parse(readFileSync(`${dir}/evaluation-start.json`, "utf8"));
  const before = start();
  assert.equal(before.watch.step, 0);
  await run({ ...base, max_steps: 4, watch_samples: 1, resume_from_checkpoint: "latest" });
  const now = start();
  assert.equal(now.watch.step, 3);
  assert.deepEqual([now.step, now.means], [0, before.means]);
  assert.ok(
    rowsOf(dir).every((row) => row.global_step <= 2 === "eval_samples/self_bleu" in row),
    "one answer has no Self-BLEU",
  );
});

test("a faulty file of prompts is reported before anything is computed; a good one is asked", async () => {
  for (const [row, message] of [
    [
      { note: "b" },
      /bad-prompts\.jsonl:2: expected "prompt", "messages", "question", "instruction" or "turns"/,
    ],
    [{ prompt: "b ".repeat(999) }, /bad-prompts\.jsonl:2: the prompt has \d+ tokens; the model was made for/],
  ] as const) {
    const bad = writeRows(fixture.path("bad-prompts.jsonl"), [{ prompt: "a" }, row]);
    const events: string[] = [];
    const again = run(
      { ...watched, ...healthy, watch_prompts: bad },
      { onEvent: ({ type }) => events.push(type) },
    );
    await assert.rejects(again, (error: unknown) => {
      assert.ok(error instanceof DataError);
      assert.match(error.message, message);
      return true;
    });
    assert.ok(!events.includes("start"));
  }
  const good = writeRows(fixture.path("prompts.jsonl"), [
    { prompt: "who?" },
    { turns: ["where?", "and then?"] },
  ]);
  const { dir } = await run({ ...watched, ...healthy, max_steps: 1, watch_prompts: good });
  assert.deepEqual(
    recordsOf(dir)[0]?.samples.map(({ prompt }) => prompt),
    ["who?", "where?"],
  );
});
