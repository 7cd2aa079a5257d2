/** `preftune study` and `preftune sweep` as a user meets them. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { listCheckpoints } from "../../src/runs/checkpoints.ts";
import { preftune, start, startLaunched } from "../support/command.ts";
import { runFixture } from "../support/runs.ts";
import { until } from "../support/signalled.ts";

test("a sweep runs each setting in a separate process, prints a table and says where everything is", async () => {
  using place = runFixture({ rows: 8, held: 4 });
  const values = { ...place.values, max_steps: 1, warmup_ratio: 0, max_length: 96, save_strategy: "no" };
  const file = place.path("sweep.yaml");
  writeFileSync(file, `values: ${JSON.stringify(values)}\nparameters:\n  lambda_w: [0.1, 0.8]\n`);
  const output = place.path("out");
  const { status, stdout, stderr } = await preftune("sweep", file, "--output", output, "--jobs", "2");
  assert.equal(status, 0, stderr);
  assert.match(stdout, /\[2\/2\] lambda-w-0\.\d-s1/);
  assert.match(stdout, /lambda_w 0\.1 +0\.\d\d \[0\.\d\d,\s0\.\d\d|lambda_w 0\.1 +\d\.\d\d \[/);
  assert.match(
    stdout,
    /No best by held-out accuracy: the first, lambda_w 0\.\d, .*distinguished from lambda_w 0\.\d on/,
  );
  for (const name of ["report.html", "results.jsonl", "runs.jsonl"]) {
    assert.ok(stdout.includes(join(output, name)));
    assert.ok(existsSync(join(output, name)));
  }
  const again = await preftune("sweep", file, "--output", output);
  assert.match(again.stdout, /2 of 2 runs are finished already/);
  writeFileSync(file, readFileSync(file, "utf8").replace("0.8", "0.9"));
  const other = await preftune("sweep", file, "--output", output);
  assert.equal(other.status, 2);
  assert.match(
    other.stderr,
    /one of the same study to resume.*It is left as it is: give another with --output/s,
  );
});

test("a study refuses a method it lacks, and own answers that nothing would train on, before it makes anything", async () => {
  using place = runFixture({ rows: 0, held: 0 });
  const refusals: [args: string[], message: RegExp][] = [
    [["long", "--method", "SimPO", "--method", "Simpo"], /expected one of long's methods, .*got "Simpo"/],
    [["frontier", "--method", "DPOO"], /expected one of frontier's methods, .*got "DPOO"/],
    [["sensitivity", "--method", "DPO"], /sensitivity makes its tables of all of its conditions/],
    [["anchoring", "--own-answers"], /anchoring trains on rows as they are: --own-answers has no effect/],
    [["anchoring", "--own-answers", "rewards.mjs#short"], /--own-answers has no effect/],
  ];
  for (const [args, message] of refusals) {
    const output = place.path(args.join("-").replaceAll("/", ""));
    const { status, stderr } = await preftune("study", ...args, "--output", output);
    assert.equal(status, 2, stderr);
    assert.match(stderr, message);
    assert.equal(existsSync(output), false);
  }
});

test("Ctrl-C: a sweep's runs end after their step, and the same command resumes them", async () => {
  using place = runFixture({ rows: 8, held: 4 });
  const values = {
    ...place.values,
    max_steps: 300,
    logging_steps: 1,
    warmup_ratio: 0,
    max_length: 96,
    eval_strategy: "no",
    eval_on_start: false,
    export_parity_tolerance: 0.1,
  };
  const file = place.path("sweep.yaml");
  writeFileSync(file, `values: ${JSON.stringify(values)}\nparameters:\n  lambda_w: [0.1, 0.8]\n`);
  const output = place.path("out");
  const running = startLaunched(["sweep", file, "--output", output]);
  await running.saw("2 settings × 1 seed: 2 runs, 1 at a time");
  const [metrics, checkpoints] = ["metrics.jsonl", "checkpoints"].map((name) =>
    join(output, "runs", "lambda-w-0.1-s1", name),
  ) as [string, string];
  await until(() => existsSync(metrics) && readFileSync(metrics, "utf8") !== "", "a step");
  // as a terminal sends it: to the launcher, to the sweep and to the run under way
  process.kill(-(running.child.pid as number), "SIGINT");
  const { status, stdout, stderr } = await running.ended;
  assert.equal(status, 0, stderr);
  assert.match(stderr, /stopping: runs under way end after their step, with a checkpoint; again to leave/);
  assert.doesNotMatch(stdout, /failed/);
  const [, hint] = /stopped: 0 of 2 runs are finished; resume with:\n {2}(.*)\n/.exec(stdout) ?? [];
  assert.equal(hint, `node bin/preftune.mjs sweep ${file} --output ${output}`);
  assert.equal(listCheckpoints(checkpoints).length, 1);
  assert.ok(!existsSync(join(output, "runs", "lambda-w-0.8-s1")), "no other run was begun");
});

test("when no run comes to its end, the reasons are reported and the status is not 0", async () => {
  using place = runFixture({ rows: 8, held: 4 });
  const file = place.path("sweep.yaml");
  const values = { ...place.values, train_data: place.path("nowhere.jsonl"), max_steps: 1 };
  writeFileSync(file, `values: ${JSON.stringify(values)}\nparameters:\n  lambda_w: [0.1]\n`);
  const { status, stdout, stderr } = await preftune("sweep", file, "--output", place.path("out"));
  assert.equal(status, 6);
  assert.match(stdout, /Failed: lambda_w 0\.1, seed 1: .*nowhere\.jsonl/);
  assert.match(stderr, /no run finished/);
});

test("slips of the pen end with what was meant", async () => {
  using place = runFixture({ rows: 8, held: 4 });
  const name = await preftune("study", "anchring");
  assert.equal(name.status, 2);
  assert.match(name.stderr, /anchoring/);
  const half = await preftune("study", "anchoring", "--model", "m", "--output", place.path("a"));
  assert.equal(half.status, 2);
  assert.match(half.stderr, /--model DIR, --data FILE and --eval-data FILE together/);
  const judge = "http://127.0.0.1:9/v1#m";
  const judged = await preftune("study", "anchoring", "--judge", judge, "--output", place.path("a"));
  assert.equal(judged.status, 2);
  assert.match(judged.stderr, /anchoring samples no answers that --judge could read/);
  const file = place.path("sweep.yaml");
  writeFileSync(file, "config: run.yaml\nparametrs:\n  kappa: [1]\n");
  const key = await preftune("sweep", file, "--output", place.path("b"));
  assert.equal(key.status, 2);
  assert.match(key.stderr, /sweep\.yaml:2: unknown key "parametrs"\. Did you mean "parameters"\?/);
  assert.ok(!existsSync(place.path("b")));
});

test("a study that was killed and started again has the tables of one that was not", async () => {
  using place = runFixture({ rows: 8, held: 4 });
  const { model_name_or_path: model, train_data: data, eval_data: held } = place.values;
  const words = (output: string): string[] => [
    ...["study", "thumbs", "--model", String(model), "--data", String(data), "--eval-data", String(held)],
    ...["--seeds", "1", "--jobs", "2", "--output", output, "--max_steps", "3", "--eval_steps", "1"],
    ...[
      "--warmup_ratio",
      "0",
      "--max_length",
      "96",
      "--lora_r",
      "2",
      "--device",
      "cpu",
      "--dtype",
      "float32",
    ],
    ...["--save_steps", "1", "--watch_max_new_tokens", "4", "--export_parity_tolerance", "0.1"],
  ];
  const cut = place.path("cut");
  const running = start(words(cut));
  await running.saw("[2/");
  running.child.kill("SIGKILL");
  assert.equal((await running.ended).signal, "SIGKILL");
  const again = await preftune(...words(cut));
  assert.equal(again.status, 0, again.stderr);
  assert.match(again.stdout, /[2-9] of \d+ runs are finished already/);
  assert.doesNotMatch(again.stdout, /failed/);
  const whole = place.path("whole");
  assert.equal((await preftune(...words(whole))).status, 0);
  for (const name of ["results.jsonl", "runs.jsonl"]) {
    assert.equal(readFileSync(join(cut, name), "utf8"), readFileSync(join(whole, name), "utf8"), name);
  }
  const third = place.path("third");
  const taken = await preftune(...words(third), "--reuse", whole);
  assert.match(taken.stdout, /\d+ runs taken from .*whole/);
  assert.equal(
    readFileSync(join(third, "results.jsonl"), "utf8"),
    readFileSync(join(whole, "results.jsonl"), "utf8"),
  );
});
