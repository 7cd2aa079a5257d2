/** The end of a run: the best checkpoint kept and put back, early stop, retention, and the gate on exports. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readAdapter } from "../../src/formats/adapter.ts";
import { readSafetensorsHeader, readTensorBytes } from "../../src/formats/safetensors.ts";
import { loadModel } from "../../src/models/load.ts";
import { installAdapter } from "../../src/models/load-adapter.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { scope } from "../../src/torch/index.ts";
import { checkParity } from "../../src/train/parity.ts";
import { microBatch } from "../support/fixtures.ts";
import { losses, runFixture, runTraining } from "../support/runs.ts";

/** Bytes of every tensor of a file. */
function tensorsOf(path: string): string[] {
  const file = readSafetensorsHeader(path);
  return [...file.tensors.values()].map(
    (e) => `${e.name} ${Buffer.from(readTensorBytes(file, e)).toString("hex")}`,
  );
}

/** A run at a rate far too large, so that evaluations go up and down. */
const overshooting = {
  objective: "sft",
  use_peft: true,
  learning_rate: 0.2,
  lr_scheduler_type: "constant",
  max_steps: 12,
  eval_steps: 2,
  eval_strategy: "steps",
  save_steps: 2,
  per_device_train_batch_size: 4,
};

/** Rhythms of checkpoints, and the steps of those that are kept besides the best. */
const rhythms: readonly [string, Record<string, unknown>, readonly number[]][] = [
  ["as evaluations", {}, [12]],
  ["none", { save_strategy: "no", save_steps: null }, []],
  ["other steps than evaluations", { save_steps: 5 }, [12]],
];

for (const [name, rhythm, others] of rhythms) {
  test(`checkpoints: ${name}: the best survives retention and is what is exported`, () =>
    assertBestExported(rhythm, others));
}

async function assertBestExported(
  { save_steps = overshooting.save_steps, ...rhythm }: Record<string, unknown>,
  others: readonly number[],
): Promise<void> {
  using fixture = runFixture();
  const run = fixture.path("run");
  const { save_steps: _, ...rest } = overshooting;
  const { summary } = await runTraining({
    ...{ ...fixture.values, ...rest, ...rhythm, ...(save_steps === null ? {} : { save_steps }) },
    output_dir: run,
    load_best_model_at_end: true,
    // the worst loss counts as the best here, so that the best checkpoint is an early one
    greater_is_better: true,
    save_total_limit: 1,
  });
  const losses = readMetrics(join(run, "metrics.jsonl")).flatMap((row) =>
    typeof row["eval_loss"] === "number" && row.global_step > 0
      ? [[row.global_step, row["eval_loss"]] as const]
      : [],
  );
  const [bestStep, bestLoss] = losses.reduce((a, b) => (b[1] > a[1] ? b : a));
  assert.deepEqual(summary.best, { step: bestStep, value: bestLoss });
  assert.notEqual(bestStep, 12, "the best was meant to be an early one");
  const kept = readdirSync(join(run, "checkpoints")).sort();
  assert.deepEqual(kept, [...others, bestStep].map((step) => `checkpoint-${step}`).sort());
  const name = "adapter_model.safetensors";
  assert.deepEqual(
    tensorsOf(join(run, "adapter", name)),
    tensorsOf(join(run, "checkpoints", `checkpoint-${bestStep}`, name)),
  );
}

test("resumed by another metric the best before is forgotten, with a note: the two values cannot be compared", async () => {
  using fixture = runFixture();
  const values = {
    ...fixture.values,
    ...overshooting,
    output_dir: fixture.path("run"),
    load_best_model_at_end: true,
    save_strategy: "steps",
  };
  const notes: string[] = [];
  const resumed = async (given: Record<string, unknown>) => {
    notes.length = 0;
    const { summary } = await runTraining(
      { ...values, ...given, resume_from_checkpoint: "latest" },
      { onEvent: (e) => e.type === "note" && notes.push(e.text) },
    );
    return summary;
  };
  const first = await runTraining({ ...values, max_steps: 4 });
  const same = await resumed({ max_steps: 6, metric_for_best_model: "loss" });
  assert.ok(!notes.some((text) => text.includes("the best so far")), "loss is eval_loss by another name");
  const other = await resumed({ max_steps: 8, metric_for_best_model: "eval_logps/chosen" });
  assert.ok(first.summary.best !== null && same.best !== null);
  assert.ok(
    notes.includes(
      `step ${same.best.step} was the best so far by the least eval_loss: by the greatest eval_logps/chosen the best from here on counts`,
    ),
    notes.join("\n"),
  );
  assert.equal(other.best?.step, 8);
  const row = readMetrics(fixture.path("run", "metrics.jsonl")).find(
    (one) => one.global_step === 8 && "eval_loss" in one,
  );
  assert.equal(other.best?.value, row?.["eval_logps/chosen"]);
});

test("early stop ends a run whose evaluation gets no better", async () => {
  using fixture = runFixture();
  const { summary } = await runTraining({
    ...fixture.values,
    ...overshooting,
    max_steps: 60,
    output_dir: fixture.path("run"),
    early_stopping_patience: 2,
  });
  assert.equal(summary.reason, "early stop");
  assert.ok(summary.step < 60 && summary.best !== null);
  assert.equal(summary.step, summary.best.step + 4, "two evaluations, two steps apart, after the best");
  assert.ok(summary.exported.length > 0);
});

test("a metric_for_best_model that evaluations lack ends a run at its first evaluation, before any step", async () => {
  using fixture = runFixture();
  const seen: string[] = [];
  const run = runTraining(
    {
      ...fixture.values,
      ...overshooting,
      metric_for_best_model: "eval_los",
      output_dir: fixture.path("run"),
    },
    { onEvent: ({ type }) => seen.push(type) },
  );
  await assert.rejects(run, /an evaluation has no "eval_los"\. Did you mean "eval_loss"/);
  assert.ok(seen.includes("evaluation") && !seen.includes("step"));
});

test("killed between its early stop and its export, a run resumed exports and takes no step, however rare its checkpoints", async () => {
  using fixture = runFixture();
  const run = fixture.path("run");
  const { save_steps: _, ...rest } = overshooting;
  const values = { ...fixture.values, ...rest, save_steps: 500, early_stopping_patience: 2, output_dir: run };
  const first = await runTraining({ ...values, max_steps: 60 });
  assert.equal(first.summary.reason, "early stop");
  const weights = tensorsOf(join(run, "adapter", "adapter_model.safetensors"));
  for (const name of ["adapter", "export.json"]) rmSync(join(run, name), { recursive: true });
  const again = await runTraining({ ...values, max_steps: 60, resume_from_checkpoint: "latest" });
  assert.deepEqual([again.summary.reason, again.summary.step], ["early stop", first.summary.step]);
  assert.deepEqual(losses(again), []);
  assert.deepEqual(tensorsOf(join(run, "adapter", "adapter_model.safetensors")), weights);
});

test("resumed after an early stop whose best checkpoint is gone, a run continues: the best from there on counts", async () => {
  using fixture = runFixture();
  const run = fixture.path("run");
  const values = {
    ...{ ...fixture.values, ...overshooting, output_dir: run, max_steps: 60 },
    ...{ early_stopping_patience: 2, load_best_model_at_end: true },
  };
  const { summary } = await runTraining(values);
  assert.ok(summary.reason === "early stop" && summary.best !== null);
  rmSync(join(run, "checkpoints", `checkpoint-${summary.best.step}`), { recursive: true });
  const again = await runTraining({ ...values, resume_from_checkpoint: "latest" });
  assert.ok(again.summary.best !== null && again.summary.best.step > summary.step);
  assert.equal(again.summary.step, again.summary.best.step + 4);
});

test("the gate refuses an export that does not score as the trained model", async () => {
  using fixture = runFixture();
  const { summary } = await runTraining({
    ...fixture.values,
    output_dir: fixture.path("run"),
    use_peft: true,
    learning_rate: 0.01,
    max_steps: 4,
  });
  using _ = scope();
  const base = String(fixture.values["model_name_or_path"]);
  const adapter = summary.exported[0] ?? "";
  const model = loadModel(base);
  installAdapter(model, readAdapter(adapter));
  const example = { origin: { file: "x", line: 1 }, promptIds: [3, 4], completions: [{ ids: [5, 6, 7] }] };
  const gate = {
    baseDir: base,
    model,
    batches: [microBatch([example])],
    numerics: { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null },
    dtype: "float32",
    tolerance: 1e-4,
  } as const;
  const good = checkParity({ ...gate, kind: "adapter", path: adapter });
  assert.equal(good.maxDifference, 0);
  assert.throws(
    () => checkParity({ ...gate, kind: "model", path: base }),
    /does not score held-out rows.*It was not written[^.]*\.$/s,
  );
  // a half type may have lost what was trained, which a user may accept
  const half = { ...gate, kind: "model", path: base, dtype: "bfloat16" } as const;
  let accepted = Number.NaN;
  assert.throws(
    () => checkParity({ ...half, tolerance: 1e-12 }),
    ({ message }: Error) => {
      accepted = Number(/resume the run with --export_parity_tolerance (\S+)\.$/.exec(message)?.[1]);
      return accepted > 0;
    },
  );
  assert.ok(checkParity({ ...half, tolerance: accepted }).meanDifference > 0);
});

test("LoRA in bfloat16 on a float32 checkpoint is merged: the gate compares in float32", async () => {
  using fixture = runFixture();
  const { summary } = await runTraining({
    ...{ ...fixture.values, output_dir: fixture.path("run"), dtype: "bfloat16", use_peft: true },
    ...{ export_merged: true, learning_rate: 0.01, max_steps: 4 },
  });
  assert.deepEqual(
    summary.exported.map((path) => path.slice(fixture.path("run").length)),
    ["/adapter", "/model"],
  );
  assert.equal(loadModel(summary.exported[1] ?? "").lm_head.weight.dtype, "float32");
});

test("an export that the gate refuses is not put in place, and the record of an earlier one does not stand for it", async () => {
  using fixture = runFixture();
  const run = fixture.path("run");
  const values = {
    ...{ ...fixture.values, use_peft: true, learning_rate: 0.05, lora_alpha: 37, lora_r: 7 },
    ...{ export_merged: true, lr_scheduler_type: "constant", max_steps: 12, output_dir: run },
  };
  await runTraining(values);
  const files = ["adapter/adapter_model.safetensors", "model/model.safetensors"];
  const [adapter, merged] = files.map((name) => tensorsOf(join(run, name)));
  // an adapter scores to the bit as it did; merging rounds
  const strict = { max_steps: 14, export_parity_tolerance: 1e-12, resume_from_checkpoint: "latest" };
  await assert.rejects(runTraining({ ...values, ...strict }), {
    name: "FormatError",
    exitCode: 3,
    message: /run\/model: the exported model does not score held-out rows .* It was not written/,
  });
  assert.notDeepEqual(tensorsOf(join(run, files[0] ?? "")), adapter);
  assert.deepEqual(tensorsOf(join(run, files[1] ?? "")), merged);
  assert.ok(!existsSync(join(run, "export.json")));
  assert.deepEqual(
    readdirSync(run).filter((name) => name.startsWith(".")),
    [],
  );
});

test("an export that is refused leaves the training in a checkpoint, with save_strategy: no too", async () => {
  using fixture = runFixture();
  const run = fixture.path("run");
  const values = {
    ...{ ...fixture.values, use_peft: true, learning_rate: 0.05, lora_alpha: 37, lora_r: 7, max_steps: 12 },
    ...{ export_merged: true, export_parity_tolerance: 1e-12, save_strategy: "no", output_dir: run },
  };
  let hint: string | undefined;
  await assert.rejects(runTraining(values), ({ message }: Error) => {
    hint = /resume the run with --export_parity_tolerance (\S+)\./.exec(message)?.[1];
    return true;
  });
  assert.deepEqual(readdirSync(join(run, "checkpoints")), ["checkpoint-12"]);
  const accepted = { export_parity_tolerance: Number(hint ?? 1), resume_from_checkpoint: "latest" };
  const { summary, events } = await runTraining({ ...values, ...accepted });
  assert.equal(events.filter(({ type }) => type === "step").length, 0);
  assert.equal(summary.exported.length, 2);
});
