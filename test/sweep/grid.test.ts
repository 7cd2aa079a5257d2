/** Grids and sweeps as a user meets them: interrupted and resumed, and with runs that fail. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ConfigError } from "../../src/base/errors.ts";
import { makeDirectory } from "../../src/base/files.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { measureScales } from "../../src/recipes/scale.ts";
import { train } from "../../src/recipes/train.ts";
import { readJsonLines } from "../../src/runs/json-lines.ts";
import { readScales, scalePath } from "../../src/runs/scale-record.ts";
import { gridPaths, runGrid } from "../../src/sweep/grid.ts";
import { readMeasured } from "../../src/sweep/measured.ts";
import { type RunTask, runTrial } from "../../src/sweep/run-trial.ts";
import { runSweep } from "../../src/sweep/sweep.ts";
import { parseSweep } from "../../src/sweep/sweep-file.ts";
import type { Trial } from "../../src/sweep/trial.ts";
import { meanOfRun } from "../../src/sweep/trial-metrics.ts";
import { filesOf, metricsOf, type RunFixture, runFixture } from "../support/runs.ts";

const silent = { write: () => true };

/** Values of a short run. */
const short = {
  max_steps: 2,
  per_device_train_batch_size: 4,
  learning_rate: 1e-2,
  max_length: 96,
  save_strategy: "no",
};

function trialsOf({ values }: RunFixture, lambdas: readonly number[]): Trial[] {
  return lambdas.flatMap((lambda) =>
    [1, 2].map((seed) => ({
      id: `lambda-${lambda}-s${seed}`,
      condition: `lambda ${lambda}`,
      seed,
      file: null,
      values: { ...values, ...short },
      overrides: [],
      changes: { lambda_w: lambda },
      extra: null,
    })),
  );
}

test("a grid that was interrupted and resumed leaves the same files as one that was not", async () => {
  using place = runFixture({ rows: 12, held: 4 });
  const trials = trialsOf(place, [0.1, 1]);
  const whole = gridPaths(place.path("whole"));
  await runGrid(trials, whole, { jobs: 1, out: silent, runTask: runTrial });
  const cut = gridPaths(place.path("cut"));
  let started = 0;
  const dying = async (task: RunTask): Promise<void> => {
    started += 1;
    if (started > 2) throw new Error("the machine went off");
    await runTrial(task);
  };
  const first = await runGrid(trials, cut, { jobs: 1, out: silent, runTask: dying });
  assert.deepEqual(
    first.map(({ reason }) => reason),
    [null, null, "the machine went off", "the machine went off"],
  );
  // and one that had begun: trained, but not measured
  rmSync(join(cut.run("lambda-0.1-s2"), "measured.json"));
  let again = 0;
  const outcomes = await runGrid(trials, cut, {
    jobs: 1,
    out: silent,
    runTask: async (task) => {
      again += 1;
      await runTrial(task);
    },
  });
  assert.equal(again, 3, "the finished run is kept");
  assert.ok(outcomes.every(({ reason }) => reason === null));
  for (const { id } of trials) {
    for (const name of ["held-out.jsonl", "measured.json", "config.yaml"]) {
      const text = (dir: string): string => readFileSync(join(dir, name), "utf8");
      assert.equal(
        text(cut.run(id)).replaceAll(place.path("cut"), ""),
        text(whole.run(id)).replaceAll(place.path("whole"), ""),
        `${id}/${name}`,
      );
    }
    assert.deepEqual(metricsOf(cut.run(id)), metricsOf(whole.run(id)));
  }
});

test("trials that begin alike share the pairs scored before; those that hold or mask the start otherwise do not", () => {
  using place = runFixture({ rows: 12, held: 4 });
  const [trial] = trialsOf(place, [0.1]) as [Trial];
  const paths = gridPaths(place.path("grid"));
  const before = (changes: Trial["changes"]) => paths.before({ ...trial, changes });
  assert.equal(before({ lambda_w: 1 }), before({ lambda_w: 0.1, learning_rate: 1e-3 }));
  const held = { load_in_4bit: true };
  const starts: Trial["changes"][] = [
    {},
    held,
    { load_in_8bit: true },
    { ...held, bnb_4bit_quant_type: "fp4" },
    { ...held, bnb_4bit_use_double_quant: true },
    { ...held, llm_int8_skip_modules: ["down_proj"] },
    { mask_tool_output: false },
  ];
  assert.equal(new Set(starts.map(before)).size, starts.length);
});

test("a run of the grid repeats from its own config.yaml", async () => {
  using place = runFixture({ rows: 12, held: 4 });
  const paths = gridPaths(place.path("grid"));
  const [trial] = trialsOf(place, [0.5]) as [Trial];
  await runGrid([trial], paths, { jobs: 1, out: silent, runTask: runTrial });
  const file = join(paths.run(trial.id), "config.yaml");
  const again = loadConfig({ file, overrides: [["output_dir", place.path("again")]] });
  const { method } = again.config;
  assert.equal(method.objective === "slime" && method.lambda_w, 0.5);
  let last = "";
  for await (const { type } of train(again)) last = type;
  assert.equal(last, "end");
  assert.deepEqual(filesOf(place.path("again", "model")), filesOf(join(paths.run(trial.id), "model")));
});

test("a folder whose run had other values is left alone", async () => {
  using place = runFixture({ rows: 12, held: 4 });
  const paths = gridPaths(place.path("grid"));
  const [trial] = trialsOf(place, [0.5]) as [Trial];
  await runGrid([trial], paths, { jobs: 1, out: silent, runTask: runTrial });
  const other = { ...trial, changes: { lambda_w: 0.6 } };
  await assert.rejects(runGrid([other], paths, { jobs: 1, out: silent, runTask: runTrial }), ConfigError);
});

test("a run that another folder holds is taken from there, whatever it is called", async () => {
  using place = runFixture({ rows: 12, held: 4 });
  const script = { preset: "script", lambda_w: 0.8 };
  const [one, two] = trialsOf(place, [0.8]) as [Trial, Trial];
  const [trial, twin] = [
    { ...one, changes: script },
    { ...two, changes: script },
  ];
  const first = gridPaths(place.path("first"));
  await runGrid([trial], first, { jobs: 1, out: silent, runTask: runTrial });
  const weights = ["adapter", "checkpoints", "model", "value_model", "whole"];
  for (const name of weights) makeDirectory(join(first.run(trial.id), name));
  // λw 0.8 by a value, or by a preset with the rest set back
  const same = { ...trial, id: "same-s1", condition: "same", changes: { preset: "config", delta: 1.25 } };
  const other = { ...twin, id: "other-s2", condition: "other" };
  const ran: string[] = [];
  const counting = async (task: RunTask): Promise<void> => {
    ran.push(task.dir);
    await runTrial(task);
  };
  const second = gridPaths(place.path("second"));
  const options = { jobs: 1, out: silent, reuse: [place.path("first")], runTask: counting };
  const outcomes = await runGrid([same, other], second, options);
  assert.ok(outcomes.every(({ reason }) => reason === null));
  assert.deepEqual(ran, [second.run("other-s2")], "only what is not there is run: another seed is");
  const taken = readdirSync(second.run("same-s1"));
  assert.deepEqual(
    taken.filter((name) => weights.includes(name)),
    [],
    "weights stay where they are",
  );
  const pairs = (dir: string): string => readFileSync(join(dir, "held-out.jsonl"), "utf8");
  assert.equal(pairs(second.run("same-s1")), pairs(first.run(trial.id)));
  const measured = readMeasured(second, outcomes);
  assert.deepEqual(
    [...measured.values()].map(({ runs }) => runs.length),
    [1, 1],
  );
  await runGrid([same, other], second, options);
  assert.equal(ran.length, 1, "what was taken is finished");
  await assert.rejects(
    runGrid([same], gridPaths(place.path("third")), { ...options, reuse: [place.path("nothing")] }),
    /--reuse .*nothing: expected the folder of a study/,
  );
});

test("a run that fails is reported with its reason, in a separate process, and the rest stands", async () => {
  using place = runFixture({ rows: 12, held: 4 });
  const [good, bad] = trialsOf(place, [0.5]) as [Trial, Trial];
  const paths = gridPaths(place.path("grid"));
  const missing = place.path("missing.jsonl");
  const trials = [{ ...bad, values: { ...bad.values, train_data: missing } }, good];
  const outcomes = await runGrid(trials, paths, { jobs: 2, out: silent });
  assert.match(outcomes[0]?.reason ?? "", /missing\.jsonl/);
  assert.equal(outcomes[1]?.reason, null);
});

test("a run that a killed study left alone, and that begins and stops in between, is resumed", async () => {
  using place = runFixture({ rows: 12, held: 4 });
  const [trial] = trialsOf(place, [0.5]) as [Trial];
  const paths = gridPaths(place.path("grid"));
  let calls = 0;
  const overtaken = async (task: RunTask): Promise<void> => {
    calls += 1;
    // the other process, whose study is gone: it stops after a step, with a checkpoint
    if (calls === 1) {
      for await (const event of train(loadConfig(task.config), { signal: AbortSignal.abort() }))
        if (event.type === "end") assert.equal(event.summary.reason, "stopped");
    }
    await runTrial(task);
  };
  const [outcome] = await runGrid([trial], paths, { jobs: 1, out: silent, runTask: overtaken });
  assert.deepEqual([outcome?.reason, calls], [null, 2]);
});

test("what else is measured comes from the grid's module, in the run's own process", async () => {
  using place = runFixture({ rows: 6, held: 4 });
  const [trial] = trialsOf(place, [0.5]) as [Trial];
  const module = new URL("../../studies/extras.ts", import.meta.url).href;
  const paths = gridPaths(place.path("grid"), module);
  const trials = [{ ...trial, extra: "coupling" }];
  const outcomes = await runGrid(trials, paths, { jobs: 1, out: silent });
  const [run] = readMeasured(paths, outcomes).get(trial.condition)?.runs ?? [];
  const coupling = run?.extra as { place: string; pairs: unknown[] }[] | undefined;
  assert.deepEqual(
    coupling?.map(({ place, pairs }) => [place, pairs.length]),
    [
      ["start", 6],
      ["end", 6],
    ],
  );
  const unknown = [{ ...trial, id: "unknown-s1", extra: "nothing" }];
  const [failed] = await runGrid(unknown, paths, { jobs: 1, out: silent });
  assert.match(failed?.reason ?? "", /extras\.ts: expected a measurement "nothing", found none/);
});

/** A sweep's file: the fixture's values and those of a short run, without some of them. */
function sweepText({ values }: RunFixture, rest: string, without: string): string {
  const shared = Object.entries({ ...values, ...short }).filter(([key]) => key !== without);
  return `values: ${JSON.stringify(Object.fromEntries(shared))}\n${rest}`;
}

test("a metric that the runs cannot have is refused before anything runs", async () => {
  using place = runFixture({ rows: 12, held: 4 });
  const refused: [string, object, RegExp][] = [
    ["gold", {}, /metric: gold cannot be measured: the run scores no completions/],
    ["reward", {}, /metric: reward .*Take a metric of pairs, such as accuracy/],
    ["repetition", { watch_prompts: null }, /no answers are sampled.*Give watch_prompts/],
    ["self_bleu", { watch_prompts: "eval", watch_samples: 1 }, /Set watch_samples to 2/],
    [
      "gold",
      { reward_funcs: ["length"], num_generations: 2, max_completion_length: 8 },
      /Give eval_reward_funcs/,
    ],
  ];
  for (const [metric, more, expected] of refused) {
    const values = { ...place.values, ...short, ...more };
    const text = `parameters:\n  lambda_w: [0.1, 1]\nmetric: ${metric}\nvalues: ${JSON.stringify(values)}\n`;
    const options = { output: place.path("none"), jobs: 1, command: "", out: silent };
    await assert.rejects(runSweep(parseSweep(text, "sweep.yaml"), options), (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, expected);
      return true;
    });
    assert.equal(existsSync(place.path("none")), false);
  }
});

test("a sweep whose runs partly fail ranks the others; started again it gives the same tables", async () => {
  using place = runFixture({ rows: 12, held: 4 });
  const tried = "parameters:\n  lambda_w: [0.1, 5]\n  learning_rate: [1e-3, 1e-1]\nmetric: chosen_change\n";
  const sweep = parseSweep(sweepText(place, tried, "learning_rate"), "sweep.yaml");
  const options = { output: place.path("sweep"), jobs: 1, command: "preftune sweep sweep.yaml", out: silent };
  const failing = async (task: RunTask): Promise<void> => {
    if (task.dir.includes("lambda-w-5-learning-rate-0.1")) throw new Error("out of memory");
    await runTrial(task);
  };
  const first = await runSweep(sweep, { ...options, runTask: failing });
  assert.match(first.summary, /Failed: lambda_w 5, learning_rate 0\.1, seed 1: out of memory/);
  assert.match(
    first.summary,
    /best by change of chosen: the first, lambda_w|Best by change of chosen: lambda_w/,
  );
  const rows = readJsonLines(first.runs).map(({ value }) => value as { status: string; reason?: string });
  assert.deepEqual(rows.map(({ status }) => status).sort(), ["done", "done", "done", "failed"]);
  assert.match(readFileSync(first.report, "utf8"), /1 runs? failed/);
  const compared = readJsonLines(first.results)
    .map(({ value }) => value as { condition: string; minus?: string })
    .filter(({ minus }) => minus !== undefined);
  assert.deepEqual([...new Set(compared.map(({ minus }) => minus))], ["lambda_w 0.1, learning_rate 0.001"]);
  const tables = [readFileSync(first.results, "utf8"), readFileSync(first.runs, "utf8")];
  const second = await runSweep(sweep, { ...options, runTask: failing });
  assert.deepEqual([readFileSync(second.results, "utf8"), readFileSync(second.runs, "utf8")], tables);
});

test("successive halving runs fewer settings for longer", async () => {
  using place = runFixture({ rows: 12, held: 4 });
  const tried =
    "method: halving\nruns: 4\nparameters:\n  lambda_w: {min: 0.1, max: 5}\nmetric: chosen_change\n";
  const rounds = "resource: max_steps\nleast: 1\nmost: 4\nfactor: 2\n";
  const sweep = parseSweep(sweepText(place, tried + rounds, "max_steps"), "sweep.yaml");
  const { runs, summary } = await runSweep(sweep, {
    output: place.path("sweep"),
    jobs: 1,
    command: "",
    out: silent,
    runTask: runTrial,
  });
  const steps = readJsonLines(runs).map(
    ({ value }) => (value as { changes: { max_steps: number } }).changes.max_steps,
  );
  assert.deepEqual(steps, [1, 1, 1, 1, 2, 2, 4]);
  assert.match(summary, /One setting came to the end: lambda_w \S+ @ max_steps 4/);
});

test("a run that exports a part of its training is measured by that part in all figures", async () => {
  using place = runFixture({ rows: 16, held: 40 });
  const rule = { max: "chosen", chosen_min: null, drift_max: 0.4 };
  const values = {
    learning_rate: 2e-2,
    max_steps: 6,
    eval_steps: 100,
    final_scale: "auto",
    final_scale_rule: rule,
    watch_prompts: "eval",
    watch_rows: 2,
    watch_max_new_tokens: 4,
  };
  const [base] = trialsOf(place, [0.5]) as [Trial];
  const trial = { ...base, values: { ...base.values, ...values } };
  const paths = gridPaths(place.path("grid"));
  const outcomes = await runGrid([trial], paths, { jobs: 1, out: silent, runTask: runTrial });
  assert.deepEqual(
    outcomes.map(({ reason }) => reason),
    [null],
  );
  const [condition] = readMeasured(paths, outcomes).values();
  const [run] = condition?.runs ?? [];
  assert.ok(run !== undefined);
  const record = readScales(paths.run(trial.id));
  const row = record?.rows.find(({ scale }) => scale === record.choice?.scale);
  const whole = record?.rows.find(({ scale }) => scale === 1);
  assert.ok(row !== undefined && row !== whole && row.scale > 0);
  const figureOf = (name: "tail" | "other_text" | "drift" | "distinct_2"): number => meanOfRun(run, name);
  assert.equal(figureOf("other_text"), row.figures["displacement/other_text_change"]);
  assert.ok(Math.abs(figureOf("tail") - Number(row.figures["displacement/token_change_p01"])) < 1e-3);
  assert.ok(Math.abs(figureOf("drift") - Number(row.figures["displacement/token_change_mean_abs"])) < 1e-4);
  // evaluations sampled the whole of it
  assert.ok(run.evaluations.some(({ samples }) => samples.length === 2));
  assert.equal(figureOf("distinct_2"), Number.NaN);
  assert.match(String(run.exportedLack), /^\d\S* of the training was exported/);
  assert.ok(Number(whole?.figures["displacement/token_change_p01"]) < figureOf("tail") - 0.1);

  // a later look at other scales keeps that of the export
  const again = () => readMeasured(paths, outcomes).values().next().value?.runs[0];
  const later = await measureScales({ run: paths.run(trial.id), scales: [1.5], prompts: 0 });
  assert.deepEqual(
    later.rows.map(({ scale }) => scale),
    [0, row.scale, 1.5],
  );
  assert.equal(again()?.otherText, run.otherText);
  const left = later.rows.filter(({ scale }) => scale !== row.scale);
  writeFileSync(scalePath(paths.run(trial.id)), JSON.stringify({ ...later, rows: left }));
  assert.equal(again()?.otherText, Number.NaN);
  assert.match(String(again()?.otherTextLack), /was written again, at scales 0, 1\.5/);
});
