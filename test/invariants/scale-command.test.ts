/** `preftune scale`: its figures are those of evaluations of the run, its choice is of one half of the pairs and its report of the other. */
import assert from "node:assert/strict";
import { appendFileSync, cpSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { scaleText } from "../../src/cli/scale-command.ts";
import { measureScales } from "../../src/recipes/scale.ts";
import { start } from "../support/command.ts";
import { evaluationsOf, runFixture, runTraining, type Values } from "../support/runs.ts";
import { listenToWarnings } from "../support/warnings.ts";

const fixture = runFixture({ rows: 12, held: 8 });
after(() => fixture[Symbol.dispose]());
const common: Values = {
  ...fixture.values,
  learning_rate: 1e-2,
  per_device_train_batch_size: 6,
  max_steps: 3,
  save_strategy: "no",
};
const machine = { device: "cpu", threads: 1, prompts: 1 };

for (const [kind, values] of [
  ["an adapter", { use_peft: true, lora_r: 4 }],
  ["all weights", { use_peft: false, learning_rate: 1e-3 }],
] as const) {
  test(`${kind}: 0 changes nothing, 1 is the run's last evaluation, and between them lies the rest`, async () => {
    const run = fixture.path(kind.replace(" ", "-"));
    const evaluations = evaluationsOf(await runTraining({ ...common, ...values, output_dir: run }));
    let cost = "";
    const { rows, pairs } = await measureScales({
      ...machine,
      run,
      scales: [1, 0.4],
      onCost: (text) => {
        cost = text;
      },
    });
    assert.match(
      cost,
      /^3 scales: as many passes over 8 pairs, [\d,]+ tokens each; and over other text, [\d,]+ tokens each; 1 answers of up to 64 tokens at each; .* read once/,
    );
    assert.deepEqual([pairs, rows.map(({ scale }) => scale)], [8, [0, 0.4, 1]]);
    const [start, part, end] = rows;
    const drift = "displacement/token_change_mean_abs";
    const names = [
      drift,
      "displacement/token_change_p01",
      "logps/chosen_delta_init",
      "logps/rejected_delta_init",
    ];
    for (const name of names) {
      assert.equal(start?.figures[name], 0);
      const last = Number(evaluations.at(-1)?.[`eval_${name}`]);
      assert.ok(
        Math.abs(Number(end?.figures[name]) - last) < 1e-5,
        `${name}: ${end?.figures[name]}, ${last}`,
      );
    }
    assert.ok(Number(part?.figures[drift]) > 0 && Number(part?.figures[drift]) < Number(end?.figures[drift]));
    const report = readFileSync(join(run, "report.html"), "utf8");
    assert.match(report, /How much of it to take\?/);
    assert.match(report, /Damage at each scale/);
    assert.match(report, /Margin against likelihood, by scale/);
    assert.equal(report.match(/<input type="radio" name="scale"/g)?.length, 3);
    assert.match(
      scaleText({ rows, pairs, other_text: null, choice: null }),
      /^scale +chosen +rejected +margin/m,
    );
  });
}

test("the command: its table and status 0; options that cannot be meant, and what is no run here, end as the user's errors", async () => {
  const run = fixture.path("by-command");
  await runTraining({ ...common, use_peft: true, max_steps: 1, output_dir: run });
  const given = ["--prompts", "0", "--device", "cpu", "--threads", "1"];
  const ends = await Promise.all(
    [
      ["--scales", "0,1", ...given],
      ["--scales", "1,2.5"],
      ["--chosen-min", "0"],
      ["--max", "margin", "--drift-max", "-1"],
      ["--max", "margin", "--tail-min", "1"],
    ].map((options) => start(["scale", run, ...options]).ended),
  );
  assert.deepEqual(
    ends.map(({ status }) => status),
    [0, 2, 2, 2, 2],
  );
  const [{ stdout } = { stdout: "" }, ...wrong] = ends;
  assert.match(stdout, /^2 scales: as many passes over 8 pairs.*\nscale +chosen .*\n[-─ ]*\n?.*0 .*\n.*1 /s);
  const said = wrong.map(({ stderr }) => stderr).join("\n");
  for (const expected of [
    /numbers from 0, the start, over 1/,
    /Add --max margin, or leave them out/,
    /--drift-max.*at least 0/,
    /--tail-min.*at most 0/,
  ])
    assert.match(said, expected);
  // a name that may be a model's is not looked for elsewhere
  const { status, stderr } = await start(["scale", "owner/name"]).ended;
  assert.equal(status, 2);
  assert.match(stderr, /owner\/name: expected the directory of a run, which has a run\.json/);
});

/** Runs nothing: what is wrong is said right before the cost, and before a model is read. */
const onCost = () => assert.fail("the work had begun");

test("a choice with too few pairs, and a run without its export or over single completions, are refused; nothing is written", async () => {
  const run = fixture.path("refused");
  await runTraining({ ...common, use_peft: true, output_dir: run });
  await assert.rejects(
    measureScales({ ...machine, run, scales: [1], choose: { max: "margin" }, onCost }),
    /expected at least 30 pairs, got 8/,
  );
  assert.equal(existsSync(join(run, "scale.json")), false);
  await assert.rejects(
    measureScales({ ...machine, run, scales: [2.5] }),
    /--scales: expected a number from 0/,
  );
  rmSync(join(run, "adapter"), { recursive: true });
  await assert.rejects(measureScales({ ...machine, run, scales: [1], onCost }), {
    name: "FileError",
    message: /expected a finished run with its export in adapter\/ or model\//,
  });
  const single = fixture.path("single");
  await runTraining({ ...common, objective: "sft", max_steps: 1, use_peft: true, output_dir: single });
  await assert.rejects(
    measureScales({ ...machine, run: single, scales: [1], onCost }),
    /expected a run over pairs, .* got sft\. .*--adapter-scale/,
  );
  const without = fixture.path("without-held-out");
  const alone = { eval_data: null, eval_strategy: "no", max_steps: 1, use_peft: true } as const;
  await runTraining({ ...common, ...alone, output_dir: without });
  await assert.rejects(
    measureScales({ ...machine, run: without, scales: [1], onCost }),
    /expected held-out pairs, got 0.*eval_data or eval_fraction/,
  );
});

test("a start that has changed, or that is an adapter, is refused; changed rows and drift_data that is trained on are warned of", async (t) => {
  const base = fixture.path("own-base");
  cpSync(String(fixture.values["model_name_or_path"]), base, { recursive: true });
  const rows = fixture.path("own-rows.jsonl");
  cpSync(String(fixture.values["train_data"]), rows);
  const run = fixture.path("changed");
  const own = { model_name_or_path: base, train_data: rows, drift_data: rows, max_steps: 1, use_peft: true };
  await runTraining({ ...common, ...own, output_dir: run });
  const warnings = listenToWarnings(t);
  await measureScales({ ...machine, run, scales: [1], prompts: 0 });
  assert.match((await warnings("drift_data")).join(), /: 12 of its 12 rows are training rows too/);
  assert.deepEqual(await warnings(run), []);
  appendFileSync(rows, `${readFileSync(rows, "utf8").split("\n")[0]}\n`);
  await measureScales({ ...machine, run, scales: [1], prompts: 0 });
  assert.match(
    (await warnings(run)).join(),
    /the rows of its data are others than those it was trained with/,
  );
  const further = fixture.path("further");
  await runTraining({
    ...common,
    ...own,
    adapter_name_or_path: join(run, "adapter"),
    output_dir: further,
  });
  await assert.rejects(
    measureScales({ ...machine, run: further, scales: [1], onCost }),
    /began with the adapter .*Merge that adapter/,
  );
  renameSync(base, `${base}-away`);
  await assert.rejects(measureScales({ ...machine, run, scales: [1], onCost }), {
    name: "FileError",
    message: /changed: a scale needs the model that the run began with, which is scale 0.*own-base/,
  });
  renameSync(`${base}-away`, base);
  const weights = join(base, "model.safetensors");
  const bytes = readFileSync(weights);
  bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 64;
  writeFileSync(weights, bytes);
  await assert.rejects(measureScales({ ...machine, run, scales: [1], onCost }), {
    name: "ConfigError",
    message: /own-base has changed since the run began with it/,
  });
});

test("a run that is written, or that was continued while it was measured, is refused, and nothing is written", async () => {
  const run = fixture.path("continued");
  await runTraining({ ...common, use_peft: true, lora_r: 4, output_dir: run });
  const lock = join(run, "run.lock");
  writeFileSync(lock, JSON.stringify({ pid: process.pid, host: hostname(), started: null }));
  const measure = (onCost: () => void = () => {}) =>
    measureScales({ ...machine, run, prompts: 0, scales: [1], onCost });
  await assert.rejects(measure(), /run\.lock: the run is being written by process \d+/);
  rmSync(lock);
  const continued = () => appendFileSync(join(run, "export.json"), "\n");
  await assert.rejects(measure(continued), /continued: the run was continued meanwhile/);
  assert.equal(existsSync(join(run, "scale.json")), false);
  await measure();
  assert.ok(existsSync(join(run, "scale.json")));
});
