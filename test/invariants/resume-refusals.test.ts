/** What a resumed run refuses before it touches anything, how it begins again without a checkpoint, what it keeps and frees. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { TrainingError } from "../../src/base/errors.ts";
import { readSealed, sealed } from "../../src/base/sealed.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { runPaths } from "../../src/runs/run-directory.ts";
import { liveTensorCount, matmulLibrary } from "../../src/torch/index.ts";
import { native } from "../../src/torch/native.ts";
import { collectGarbage } from "../support/memory.ts";
import { filesOf, type RunFixture, runFixture, runTraining } from "../support/runs.ts";
import { makeTinyModel, pairRows, writeRows } from "../support/tiny-model.ts";

const keys = { use_peft: true, max_steps: 6, save_steps: 3, logging_steps: 1, lr_scheduler_type: "constant" };

/** Hashes of what the run was computed from and of its results; logs may grow. */
function essence(run: string): Record<string, string> {
  const { "log.jsonl": _, ...rest } = filesOf(run);
  return rest;
}

for (const [what, change] of Object.entries({
  "other weights of the base model": (model: string) => {
    rmSync(model, { recursive: true, force: true });
    makeTinyModel(model, { seed: 2 });
  },
  "other rows": (_model: string, train: string) => writeRows(train, pairRows(20, 99)),
})) {
  test(`resuming with ${what} is refused and changes nothing`, async () => {
    using fixture = runFixture();
    const run = fixture.path("run");
    const values = { ...fixture.values, ...keys, output_dir: run };
    await runTraining(values);
    const before = essence(run);
    const model = String(fixture.values["model_name_or_path"]);
    change(model, String(fixture.values["train_data"]));
    const resumed = runTraining({ ...values, max_steps: 8, resume_from_checkpoint: "latest" });
    await assert.rejects(resumed, (error: unknown) => {
      assert.ok(error instanceof TrainingError);
      assert.match(error.message, /began with something else: .*changed since/);
      return true;
    });
    assert.deepEqual(essence(run), before);
  });
}

/** Resumes a run whose record says `library`: what made the products, and what was noted. */
async function resumedWith(library: string, values: Record<string, unknown>) {
  const path = runPaths(String(values["output_dir"])).fingerprints;
  writeFileSync(path, sealed(JSON.stringify({ ...readSealed(path), matmul: library })));
  const used = new Set<string>();
  const notes: string[] = [];
  await runTraining(
    { ...values, resume_from_checkpoint: "latest" },
    {
      onEvent: (e) => {
        if (e.type === "step") used.add(matmulLibrary());
        if (e.type === "note") notes.push(e.text);
      },
    },
  );
  return { used: [...used], notes: notes.filter((text) => text.includes("matmul")) };
}

test("a resumed run keeps the library of matrix products it began with; PREFTUNE_MATMUL stands above it", async (t) => {
  if (!native.hasOnednn()) return t.skip("there is one library only");
  using fixture = runFixture();
  const values = { ...fixture.values, ...keys, output_dir: fixture.path("run") };
  await runTraining({ ...values, max_steps: 3 });
  const before = process.env["PREFTUNE_MATMUL"];
  t.after(() => {
    if (before === undefined) delete process.env["PREFTUNE_MATMUL"];
    else process.env["PREFTUNE_MATMUL"] = before;
  });
  delete process.env["PREFTUNE_MATMUL"];
  for (const [i, library] of ["torch", "onednn"].entries()) {
    const { used, notes } = await resumedWith(library, { ...values, max_steps: 4 + i });
    assert.deepEqual([used, notes], [[library], []]);
  }
  process.env["PREFTUNE_MATMUL"] = "torch";
  const { used, notes } = await resumedWith("onednn", { ...values, max_steps: 6 });
  assert.deepEqual(used, ["torch"]);
  assert.deepEqual(notes, ["changed since the run began: matmul: onednn, now torch"]);
});

test("a run without any checkpoint begins again and ends as a new run", async () => {
  using fixture = runFixture();
  const stop = new AbortController();
  const values = { ...fixture.values, ...keys, output_dir: fixture.path("run") };
  await runTraining(values, {
    signal: stop.signal,
    onEvent: (e) => e.type === "step" && e.step === 2 && stop.abort(),
  });
  await runTraining({ ...values, output_dir: fixture.path("whole") });
  const checkpoints = fixture.path("run", "checkpoints");
  const states: Record<string, () => void> = {
    "no folder of checkpoints": () => {},
    "an empty folder of checkpoints": () => mkdirSync(checkpoints),
    "a checkpoint that was being written": () =>
      mkdirSync(join(checkpoints, ".checkpoint-2.new-4194304-0123abcd"), { recursive: true }),
    "no run.json either": () => {
      // with an export beside it, it would be left alone
      for (const name of ["run.json", "adapter", "export.json"])
        rmSync(fixture.path("run", name), { recursive: true });
      // the report of an evaluation, and what a kill leaves of a run with these keys
      assert.ok(existsSync(fixture.path("run", "report.html")));
      for (const name of ["tensorboard", "sampler"]) mkdirSync(fixture.path("run", name));
      for (const name of ["judgments.sqlite-wal", ".metrics.jsonl.tmp-4194304-0123abcd"])
        writeFileSync(fixture.path("run", name), "");
    },
  };
  for (const [what, make] of Object.entries(states)) {
    rmSync(checkpoints, { recursive: true });
    make();
    await assertBeginsAgain(fixture, values, what);
  }
});

/** Resumes the run and compares it with the one of `whole`. */
async function assertBeginsAgain(
  fixture: RunFixture,
  values: Record<string, unknown>,
  what: string,
): Promise<void> {
  const notes: string[] = [];
  await runTraining(
    { ...values, resume_from_checkpoint: "latest" },
    { onEvent: (e) => e.type === "note" && notes.push(e.text) },
  );
  assert.ok(
    notes.some((text) => /no checkpoint was written yet: the run begins again/.test(text)),
    what,
  );
  const losses = (run: string) =>
    readMetrics(fixture.path(run, "metrics.jsonl")).map((row) => [
      row.global_step,
      row["loss"],
      row["eval_loss"],
    ]);
  assert.deepEqual(losses("run"), losses("whole"), what);
  const name = "adapter_model.safetensors";
  assert.equal(
    filesOf(fixture.path("run", "adapter"))[name],
    filesOf(fixture.path("whole", "adapter"))[name],
  );
}

/** Live tensors once finalizers have run: those of earlier runs' file maps wait for the garbage collector. */
async function settledTensorCount(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    collectGarbage();
    await setImmediate();
  }
  return liveTensorCount();
}

for (const usePeft of [true, false]) {
  const tuning = usePeft ? "LoRA with a trained head" : "full tuning";
  test(`a finished run frees its tensors at once, ${tuning}`, async () => {
    using fixture = runFixture({ family: "llama_untied" });
    const before = await settledTensorCount();
    const more = usePeft ? { lora_modules_to_save: ["lm_head"] } : {};
    const outputDir = fixture.path("run");
    await runTraining({ ...fixture.values, output_dir: outputDir, use_peft: usePeft, ...more, max_steps: 2 });
    // what is left are maps of files, which the collector frees
    assert.ok(liveTensorCount() - before <= 4, `${liveTensorCount() - before} tensors are left`);
    assert.equal(await settledTensorCount(), before);
  });
}
