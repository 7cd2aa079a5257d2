/** The command line as a user meets it: what it prints, its exit statuses, signals, and the files it leaves. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { listCheckpoints } from "../../src/runs/checkpoints.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { preftune, shell, start, startLaunched, startProgram } from "../support/command.ts";
import { filesOf, type RunFixture, runFixture } from "../support/runs.ts";
import { writeRows } from "../support/tiny-model.ts";

/** A YAML file with the fixture's values and more. */
function yaml(fixture: RunFixture, output: string, more: Record<string, unknown> = {}): string {
  const values = { ...fixture.values, output_dir: fixture.path(output), ...more };
  const path = fixture.path(`${output}.yaml`);
  writeFileSync(
    path,
    Object.entries(values)
      .map(([k, v]) => `${k}: ${JSON.stringify(v)}\n`)
      .join(""),
  );
  return path;
}

function lines(text: string): Record<string, unknown>[] {
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

test("train, then score, merge and check the data: every command works on what the one before wrote", async () => {
  using fixture = runFixture();
  const file = yaml(fixture, "run", { use_peft: true, max_steps: 3, logging_steps: 1, save_steps: 2 });
  const trained = await preftune("train", file, "--learning_rate", "1e-3", "--lora_r=4");
  assert.equal(trained.status, 0, trained.stderr);
  assert.match(trained.stdout, /"global_step":3/);
  assert.match(
    `${trained.stdout}${trained.stderr}`,
    /columns used: prompt, chosen, rejected; passed over: none/,
  );
  const { columns } = JSON.parse(readFileSync(fixture.path("run", "preflight.json"), "utf8"));
  assert.deepEqual(Object.keys(columns.used), ["prompt", "chosen", "rejected"]);
  const { provenance } = JSON.parse(readFileSync(fixture.path("run", "run.json"), "utf8"));
  assert.equal(provenance.lora_r, "command line");
  for (const name of [
    "adapter/adapter_model.safetensors",
    "report.html",
    "checkpoints/checkpoint-2/checkpoint.json",
  ]) {
    assert.ok(existsSync(fixture.path("run", name)), name);
  }

  const model = String(fixture.values["model_name_or_path"]);
  const data = String(fixture.values["eval_data"] ?? fixture.values["train_data"]);
  const adapter = fixture.path("run", "adapter");
  const out = fixture.path("scores.jsonl");
  const common = ["--model", model, "--data", data, "--dtype", "float32"];
  const scored = await preftune(
    "score",
    ...common,
    "--adapter",
    adapter,
    "--output",
    out,
    "--objective",
    "dpo",
    "--per-token",
    "--columns",
    "{prompt: prompt}",
    "--plain-strings",
    "text",
  );
  assert.equal(scored.status, 0, scored.stderr);
  const rows = lines(readFileSync(out, "utf8"));
  const last = rows.pop() ?? {};
  assert.equal(last["objective"], "dpo");
  for (const row of rows) {
    const tokens = row["token_logps/chosen"] as number[];
    assert.equal(tokens.length, row["num_tokens/chosen"]);
    const sum = tokens.reduce((a, b) => a + b, 0);
    assert.ok(Math.abs(sum - Number(row["logps/chosen"])) < 1e-4);
    assert.ok(Number(row["logps/rejected"]) < 0);
  }

  const merged = fixture.path("merged");
  const result = await preftune("merge", "--model", model, "--adapter", adapter, "--output", merged);
  assert.equal(result.status, 0, result.stderr);
  assert.match(result.stdout, /re-scored \d+ tokens, largest difference/);
  const again = fixture.path("merged.jsonl");
  await preftune(
    "score",
    ...common,
    "--model",
    merged,
    "--output",
    again,
    "--objective",
    "dpo",
    "--reference",
    model,
  );
  const mergedLast = lines(readFileSync(again, "utf8")).at(-1) ?? {};
  assert.ok(
    Math.abs(Number(mergedLast["loss"]) - Number(last["loss"])) < 1e-5,
    "merged and adapter score alike",
  );

  const checked = await preftune("data", "check", file, "--show", "1");
  assert.equal(checked.status, 0, checked.stderr);
  assert.match(checked.stdout, /0 errors/);
  assert.match(checked.stdout, /^\S+:1\n {2}prompt +\d+ tokens\n {4}prompt /);
  assert.match(checked.stdout, /^ {4}learned .*\n {4}end /m);
  assert.match(checked.stdout, /^chat template /m);
  const shown = await preftune("data", "check", file, "--json", "--show", "2");
  const report = JSON.parse(shown.stdout);
  assert.equal(report.rows.length, 2);
  assert.ok(Array.isArray(report.templates) && Array.isArray(report.findings));
  const [, chosen] = report.rows[0].parts;
  assert.equal(chosen.name, "chosen");
  assert.ok(chosen.ids.length > 0 && chosen.ids.length === chosen.mask.length);
});

test("score leaves out faulty rows where its refusal says how", async () => {
  using fixture = runFixture({ rows: 3, held: 0 });
  const data = String(fixture.values["train_data"]);
  const fault = { prompt: "a", chosen: "same", rejected: "same" };
  writeFileSync(data, `${readFileSync(data, "utf8").trimEnd()}\n${JSON.stringify(fault)}\n`);
  const model = String(fixture.values["model_name_or_path"]);
  const output = fixture.path("scores.jsonl");
  const args = ["score", "--model", model, "--data", data, "--output", output, "--dtype", "float32"];
  const refused = await preftune(...args);
  assert.equal(refused.status, 4, refused.stderr);
  assert.match(
    refused.stderr,
    /1 row: .*:4\]\. There is nothing to prefer\. Fix or remove the rows, or set invalid_rows: drop\./,
  );
  const scored = await preftune(...args, "--invalid-rows", "drop");
  assert.equal(scored.status, 0, scored.stderr);
  assert.match(scored.stdout, /^3 rows scored: .*\n1 of 4 rows were left out: 1 identical_pair$/m);
  assert.equal(lines(readFileSync(output, "utf8")).length, 3);
});

test("--print-config shows where every value comes from and starts nothing", async () => {
  using fixture = runFixture();
  const file = yaml(fixture, "run");
  const { status, stdout } = await preftune("train", file, "--print-config", "--objective", "simpo");
  assert.equal(status, 0);
  assert.match(stdout, /^objective: simpo\s+# command line$/m);
  assert.match(stdout, /^beta: 2\s+# preset authors$/m);
  assert.match(stdout, /^seed: \d+\s+# default$/m);
  assert.equal(existsSync(fixture.path("run")), false);
});

test("mistakes end with separate statuses, one clear message and no stack", async () => {
  using fixture = runFixture();
  const file = yaml(fixture, "run");
  const bad = writeRows(fixture.path("bad.jsonl"), [{ prompt: "a", chosen: "b", rejected: "b" }]);
  const cases: [string[], number, RegExp][] = [
    [["train", file, "--learning_rte", "1"], 2, /Did you mean "learning_rate"/],
    [["train", file, "stray"], 2, /expected --key value/],
    [["train", fixture.path("none.yaml")], 2, /none\.yaml/],
    [["train", file, "--model_name_or_path", fixture.path("nothing")], 5, /nothing/],
    [["train", file, "--train_data", bad], 4, /bad\.jsonl:1/],
    [["scroe"], 2, /Did you mean score/],
    [["score", "--model", "x"], 2, /--data/],
  ];
  for (const [args, status, message] of cases) {
    const ended = await preftune(...args);
    assert.equal(ended.status, status, `${args.join(" ")}: ${ended.stderr}`);
    assert.match(ended.stderr, message);
    assert.doesNotMatch(ended.stderr, /\n\s+at /);
  }
});

test("stopped by a signal: announced at once, a checkpoint, and the hint's own command ends as an uninterrupted run", async () => {
  using fixture = runFixture();
  const keys = { max_steps: 40, logging_steps: 1, save_strategy: "no", use_peft: true, export_merged: false };
  // values of the command line are none of the file's: the hint has to bring them
  const given = ["--lora_r", "4"];
  const whole = await preftune("train", yaml(fixture, "whole", keys), ...given);
  assert.equal(whole.status, 0, whole.stderr);
  const toProgram = (name: string) => start(["train", yaml(fixture, name, keys), ...given]);
  const toGroup = (name: string) => startLaunched(["train", yaml(fixture, name, keys), ...given]);
  for (const [name, begin] of [
    ["SIGTERM", toProgram],
    // as a terminal sends Ctrl-C: to the launcher, which passes it on, and to the program
    ["SIGINT", toGroup],
  ] as const) {
    const running = begin(name);
    await running.saw('"global_step":2,');
    const pid = running.child.pid as number;
    process.kill(name === "SIGINT" ? -pid : pid, name);
    const ended = await running.ended;
    assert.equal(ended.status, 0, ended.stderr);
    assert.match(ended.stdout, /"reason":"stopped"/);
    const [, reported] =
      /stopping after (?:the evaluation at )?step (\d+); again to leave at once\n/.exec(ended.stderr) ?? [];
    const [checkpoint, ...others] = listCheckpoints(fixture.path(name, "checkpoints"));
    assert.equal(checkpoint?.step, Number(reported), ended.stderr);
    assert.deepEqual(others, []);
    const [, hint = ""] = /resume with:\n {2}(.*)\n/.exec(ended.stderr) ?? [];
    assert.match(hint, /^node \S+ train \S+config\.yaml --resume$/);
    const resumed = await shell(hint);
    assert.equal(resumed.status, 0, resumed.stderr);
    const file = "adapter_model.safetensors";
    assert.equal(
      filesOf(fixture.path(name, "adapter"))[file],
      filesOf(fixture.path("whole", "adapter"))[file],
      "the same bytes as without the interruption",
    );
    const losses = (run: string) => readMetrics(fixture.path(run, "metrics.jsonl")).map((row) => row["loss"]);
    assert.deepEqual(losses(name), losses("whole"));
  }
});

test("the example with a custom objective trains", async () => {
  using fixture = runFixture();
  const { model_name_or_path, train_data } = fixture.values;
  const args = [String(model_name_or_path), String(train_data), fixture.path("hinge")];
  const { status, stdout, stderr } = await startProgram(["examples/custom-objective.ts", ...args]).ended;
  assert.equal(status, 0, stderr);
  const seen = [...stdout.matchAll(/loss ([\d.]+)/g)].map((match) => Number(match[1]));
  assert.ok(seen.length >= 2, stdout);
  assert.ok(existsSync(fixture.path("hinge", "model", "model.safetensors")));
});

test("the example with an objective on rollouts trains", async () => {
  using fixture = runFixture();
  const { model_name_or_path, train_data } = fixture.values;
  const args = [String(model_name_or_path), String(train_data), fixture.path("reinforce")];
  const { status, stdout, stderr } = await startProgram(["examples/rollout-objective.ts", ...args]).ended;
  assert.equal(status, 0, stderr);
  assert.equal([...stdout.matchAll(/^step \d: reward [\d.]+$/gm)].length, 2, stdout);
  assert.match(readFileSync(fixture.path("reinforce", "metrics.jsonl"), "utf8"), /"logps\/own_mean":-/);
});
