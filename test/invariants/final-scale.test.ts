/** `final_scale: auto`: the export takes the part that the rule picks, says so, and the whole stays beside it; the same after a resume. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { ConfigError, FileError } from "../../src/base/errors.ts";
import { uniqueTag } from "../../src/base/file-io.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { readGguf, readNumbers } from "../../src/gguf/read.ts";
import { loadModel } from "../../src/models/load.ts";
import type { ExportGgufOptions } from "../../src/recipes/export-gguf.ts";
import { merge } from "../../src/recipes/merge.ts";
import { plan } from "../../src/recipes/plan.ts";
import { measureScales } from "../../src/recipes/scale.ts";
import { score } from "../../src/recipes/score.ts";
import { comparisonPage } from "../../src/report/comparison.ts";
import { modelCard } from "../../src/report/model-card.ts";
import { openRun } from "../../src/runs/run-directory.ts";
import { readScales } from "../../src/runs/scale-record.ts";
import { noGrad, scope } from "../../src/torch/index.ts";
import { start } from "../support/command.ts";
import { armFault } from "../support/faults.ts";
import { ggufOf } from "../support/gguf-files.ts";
import { evaluationsOf, notesOf, runFixture, runTraining, type Values } from "../support/runs.ts";
import { checkpointTensors, logitsOf, writeCheckpoint } from "../support/tiny-models.ts";

const fixture = runFixture({ rows: 12, held: 32 });
after(() => fixture[Symbol.dispose]());
const base = String(fixture.values["model_name_or_path"]);
const ids = [3, 9, 4, 7, 12, 5];
const common: Values = {
  ...fixture.values,
  per_device_train_batch_size: 6,
  per_device_eval_batch_size: 16,
  max_steps: 4,
  save_steps: 4,
};
const facts = { base: null, baseCommit: null, license: null, version: "0" };

function logits(dir: string, adapter: string | null = null): number[] {
  using _ = scope();
  return noGrad(() => logitsOf(loadModel(dir, { adapter }), ids));
}

function alphaOf(dir: string): number {
  return JSON.parse(readFileSync(join(dir, "adapter_config.json"), "utf8")).lora_alpha;
}

/** The numbers of a GGUF file. */
function numbersOf(path: string): unknown {
  const file = readGguf(path);
  return [...file.tensors.values()].map((tensor) => [tensor.name, readNumbers(file, tensor)]);
}

/** The words of the command that a message names, as a shell reads them. */
function namedCommand(message: string, name: string): string[] {
  const [command = ""] = new RegExp(`preftune ${name} [^\n]*?(?=\\. |$)`).exec(message) ?? [];
  return execFileSync("sh", ["-c", `printf '%s\\n' ${command}`], { encoding: "utf8" })
    .trimEnd()
    .split("\n");
}

/** The scale that a file of a run or a model says. */
async function ggufScale(source: string): Promise<unknown> {
  return readGguf(await ggufOf(source, fixture.path("."), uniqueTag(), {})).keys.get("preftune.adapter_scale")
    ?.value;
}

/** Those of the file that recipes write of a model. */
async function ggufNumbers(source: string, options: Partial<ExportGgufOptions> = {}): Promise<unknown> {
  return numbersOf(await ggufOf(source, fixture.path("."), uniqueTag(), options));
}

/** Those of the file that the command writes of a run. */
async function commandNumbers(run: string, ...options: string[]): Promise<unknown> {
  const output = fixture.path(`${uniqueTag()}.gguf`);
  const given = ["export", "gguf", run, "--type", "f32", "--device", "cpu", "--output", output];
  const { status, stderr } = await start([...given, ...options]).ended;
  assert.equal(status, 0, stderr);
  return numbersOf(output);
}

/** Half of the drift of the whole run, as a bound. */
async function halfOfDrift(values: Values): Promise<number> {
  const evaluations = evaluationsOf(await runTraining(values));
  return Number(evaluations.at(-1)?.["eval_displacement/token_change_mean_abs"]) / 2;
}

const auto = (rule: Values): Values => ({
  final_scale: "auto",
  final_scale_rule: rule,
  resume_from_checkpoint: "latest",
});

test("an adapter: alpha, record, card and report say the scale; a resumed run chooses again, and the same", async () => {
  const dir = fixture.path("it's an adapter");
  const values = {
    ...common,
    ...{ use_peft: true, lora_r: 4, lora_alpha: 6, use_dora: true, lora_modules_to_save: ["lm_head"] },
    ...{ learning_rate: 5e-3, export_merged: true, output_dir: dir },
  };
  const driftMax = await halfOfDrift(values);
  const rule = { max: "chosen", chosen_min: null, drift_max: driftMax };
  const { summary, events } = await runTraining({ ...values, ...auto(rule) });
  const choice = readScales(dir)?.choice;
  const scale = Number(choice?.scale);
  assert.ok(scale > 0.2 && scale < 0.8, String(scale));
  assert.ok(choice !== null && choice !== undefined && choice.figures.drift > 0);
  assert.equal(alphaOf(join(dir, "adapter")), 6 * scale);
  assert.equal(alphaOf(join(dir, "whole", "adapter")), 6);
  const want = logits(base, `${join(dir, "whole", "adapter")}@scale=${scale}`);
  assert.deepEqual(logits(base, join(dir, "adapter")), want);
  assert.ok(logits(join(dir, "model")).every((value, i) => Math.abs(value - Number(want[i])) < 1e-5));
  assert.deepEqual(summary.exported, [join(dir, "adapter"), join(dir, "model")]);
  const ofAdapter = (adapter: string) => ggufNumbers(base, { adapter: join(dir, adapter) });
  assert.deepEqual(await ggufNumbers(dir), await ofAdapter("adapter"));
  assert.ok(Math.abs(Number(await ggufScale(dir)) - scale) < 1e-6);
  assert.deepEqual(await ggufNumbers(dir, { adapterScale: 1 }), await ofAdapter("whole/adapter"));
  const results = JSON.parse(readFileSync(join(dir, "export.json"), "utf8"));
  assert.deepEqual(
    results.map((one: { scale: number }) => one.scale),
    [scale, scale],
  );
  assert.match(notesOf({ events }).join("\n"), /final_scale: 11 scales: as many passes over 32 pairs/);
  const card = modelCard(openRun(dir), { ...facts, kind: "adapter" });
  assert.match(card, new RegExp(`LoRA of rank 4, at scale ${scale} of the training\\.`));
  assert.match(card, new RegExp(`The table is of the whole training; these files take ${scale} of it`));
  const report = readFileSync(join(dir, "report.html"), "utf8");
  assert.match(report, new RegExp(`the adapter in float32, at scale ${scale} of the training`));
  assert.match(comparisonPage([dir], null), /scale of the export/);
  // chosen again from the same checkpoint
  await runTraining({ ...values, ...auto(rule) });
  assert.deepEqual(logits(base, join(dir, "adapter")), want);
  // 0 is the start, and a file that can be read
  await runTraining({ ...values, ...auto({ ...rule, drift_max: 0 }) });
  assert.deepEqual(logits(base, join(dir, "adapter")), logits(base));
  assert.match(modelCard(openRun(dir), { ...facts, kind: "adapter" }), /these files take 0 of it/);
  // no scale has that much
  const failure = await runTraining({ ...values, ...auto({ chosen_min: 100 }) }).catch((error) => error);
  assert.ok(failure instanceof ConfigError);
  assert.match(failure.message, /the nearest is .*whole training is in /);
  // the commands it names work
  const [, merging = "", , model = "", , adapter = ""] = namedCommand(failure.message, "merge");
  assert.equal(merging, "merge");
  const output = fixture.path("merged-after");
  await merge({ model, adapter: `${adapter}@scale=${scale}`, output, device: "cpu", threads: null });
  assert.ok(logits(output).every((value, i) => Math.abs(value - Number(want[i])) < 1e-5));
  assert.equal(existsSync(join(dir, "adapter")), false);
  assert.equal(alphaOf(join(dir, "whole", "adapter")), 6);
  // and the whole again
  const resumed = await start(namedCommand(failure.message, "train").slice(1)).ended;
  assert.equal(resumed.status, 0, resumed.stderr);
  assert.equal(alphaOf(join(dir, "adapter")), 6);
  assert.equal(existsSync(join(dir, "whole")), false);
  assert.equal(readScales(dir), null);
  // `preftune scale` with bounds that no scale meets writes nothing either
  const asked = { run: dir, scales: [1], prompts: 0, choose: { max: "chosen", chosen_min: 100 } } as const;
  await assert.rejects(measureScales({ ...asked, device: "cpu", threads: 1 }), {
    name: "ConfigError",
    message: /the nearest is /,
  });
  assert.equal(readScales(dir), null);
  // the start is measured in any case, and chosen only where it was asked for
  const still = { run: dir, prompts: 0, choose: { max: "margin", drift_max: 1e-9 } } as const;
  await assert.rejects(measureScales({ ...still, scales: [0.5, 1], device: "cpu", threads: 1 }), {
    message: /the nearest is 0\.5, /,
  });
  const { rows, choice: kept } = await measureScales({
    ...still,
    ...{ scales: [0, 0.5], device: "cpu", threads: 1 },
  });
  assert.deepEqual([rows.length, kept?.scale, kept?.allowed], [2, 0, [0]]);
  // a power cut before the export was moved there
  mkdirSync(join(dir, "whole"));
  assert.deepEqual(await ggufNumbers(dir, { adapterScale: 1 }), await ofAdapter("adapter"));
  // the move fails, after that of the adapter that the new one replaces, and is done after a resume
  {
    using _ = armFault({ code: "EROFS", at: 2, names: ["renameSync"], on: /adapter\/adapter$/ });
    const failed = await runTraining({ ...values, ...auto(rule) }).catch((error) => error);
    assert.ok(failed instanceof FileError, String(failed));
    assert.match(failed.message, /Cannot move the export to .*whole: .*EROFS/);
  }
  await runTraining({ ...values, ...auto(rule) });
  assert.deepEqual(logits(base, join(dir, "adapter")), want);
});

test("full tuning: the model is start + s (result − start)", async () => {
  const dir = fixture.path("full");
  const values = { ...common, use_peft: false, learning_rate: 1e-3, output_dir: dir };
  const driftMax = await halfOfDrift(values);
  await runTraining({ ...values, ...auto({ max: "chosen", chosen_min: null, drift_max: driftMax }) });
  const scale = Number(readScales(dir)?.choice?.scale);
  assert.ok(scale > 0.2 && scale < 0.8, String(scale));
  const part = logits(join(dir, "model"));
  assert.deepEqual(part, logits(base, `${join(dir, "whole", "model")}@scale=${scale}`));
  assert.notDeepEqual(part, logits(join(dir, "whole", "model")));
  assert.deepEqual(await commandNumbers(dir), await ggufNumbers(join(dir, "model")));
  assert.deepEqual(
    await commandNumbers(dir, "--adapter-scale", "1"),
    await ggufNumbers(join(dir, "whole", "model")),
  );
});

test("full tuning of a bfloat16 checkpoint in float32: what is measured and chosen is what the files hold", async () => {
  const half = fixture.path("bfloat16");
  cpSync(base, half, { recursive: true, filter: (path) => !path.endsWith(".safetensors") });
  const config = JSON.parse(readFileSync(join(half, "config.json"), "utf8"));
  {
    using _ = scope();
    const tensors = checkpointTensors(loadModel(base), "bfloat16");
    writeCheckpoint(half, { ...config, torch_dtype: "bfloat16" }, tensors);
  }
  const dir = fixture.path("from-bfloat16");
  const values = { ...common, model_name_or_path: half, use_peft: false, learning_rate: 1e-3 };
  const rule = { max: "chosen", chosen_min: null };
  const driftMax = await halfOfDrift({ ...values, output_dir: dir });
  await runTraining({ ...values, output_dir: dir, ...auto({ ...rule, drift_max: driftMax }) });
  const record = readScales(dir);
  const scale = Number(record?.choice?.scale);
  assert.ok(scale > 0.1 && scale < 0.9, String(scale));
  assert.equal(loadModel(join(dir, "model")).lm_head.weight.dtype, "bfloat16");
  const machine = { device: "cpu", dtype: "float32", threads: 1 } as const;
  const data = String(common["eval_data"]);
  const tokensOf = async (model: string) =>
    (await score({ ...machine, model, data, perToken: true })).rows.flatMap(
      (row) => row["token_logps/chosen"] ?? [],
    );
  const [before, now] = [await tokensOf(half), await tokensOf(join(dir, "model"))];
  const drift =
    now.reduce((sum, logp, i) => sum + Math.abs(logp - Number(before[i])), 0) / Math.max(1, now.length);
  const said = record?.rows.find((row) => row.scale === scale)?.figures["displacement/token_change_mean_abs"];
  assert.ok(Math.abs(drift - Number(said)) < 1e-6, `${drift}, ${said}`);
});

test("too few held-out pairs are refused before a model is read, and by the plan; so are runs without a start or pairs", async () => {
  const few = {
    ...common,
    use_peft: true,
    final_scale: "auto",
    max_eval_rows: 29,
    output_dir: fixture.path("few"),
  };
  const isFew = (error: unknown) =>
    error instanceof ConfigError && /expected at least 30 pairs, got 29/.test(error.message);
  const seen: string[] = [];
  await assert.rejects(runTraining(few, { onEvent: ({ type }) => seen.push(type) }), isFew);
  assert.ok(!seen.includes("start"));
  await assert.rejects(plan(loadConfig({ values: few }).config), isFew);
  const { finalScale } = await plan(loadConfig({ values: { ...few, max_eval_rows: 31 } }).config);
  assert.deepEqual([finalScale?.scales, finalScale?.rows], [11, 31]);
  const refused: [Values, RegExp][] = [
    [{ adapter_name_or_path: "a", use_peft: true }, /final_scale: auto takes a part of the training/],
    [{ objective: "sft" }, /sft is not over pairs/],
    [{ eval_data: null }, /there are none/],
    [{ final_scale: 0.5 }, /final_scale: expected 1 or "auto"/],
    [{ final_scale: 1, final_scale_rule: { max: "chosen" } }, /final_scale is 1, so no scale is chosen/],
  ];
  const bare = { ...fixture.values, final_scale: "auto", output_dir: "x" };
  for (const [values, expected] of refused) {
    assert.throws(() => loadConfig({ values: { ...bare, ...values } }), expected);
  }
});
