/**
 * Every system call that writes is made to fail in turn, as SQLite's tests do. Each time the error names a path, the
 * checkpoints that were there stay good, and a resumed run comes to the same weights.
 */
import assert from "node:assert/strict";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { FileError } from "../../src/base/errors.ts";
import { latestCheckpoint, listCheckpoints, verifyCheckpoint } from "../../src/runs/checkpoints.ts";
import { armFault, type Call, changingCalls, type Fault, shortWrites } from "../support/faults.ts";
import { assertSameRun, filesOf, runTraining, type Values, workshop } from "../support/runs.ts";

const shop = workshop({ rows: 2, held: 1, config: { num_hidden_layers: 1 } });
const whole = shop.path("whole");
// two steps, a checkpoint and a removed one, log, metrics, reference, evaluation and export: one of each
const run: Values = {
  ...shop.values,
  objective: "dpo",
  use_peft: true,
  lora_r: 2,
  lora_target_modules: ["q_proj"],
  learning_rate: 1e-2,
  per_device_train_batch_size: 2,
  max_steps: 2,
  logging_steps: 1,
  eval_steps: 2,
  save_steps: 1,
  save_total_limit: 1,
};
let calls: Call[] = [];

before(async () => {
  using counting = armFault({ code: "EIO", at: Number.POSITIVE_INFINITY, names: changingCalls });
  await runTraining({ ...run, output_dir: whole });
  calls = counting.calls;
});
after(() => shop[Symbol.dispose]());

/** How a run with a fault ended; the fault is gone afterwards. */
async function runWith(fault: Fault, dir: string): Promise<{ error: unknown; failed: Call[] }> {
  using faults = armFault(fault);
  try {
    await runTraining({ ...run, output_dir: dir });
    return { error: null, failed: faults.failed };
  } catch (error) {
    return { error, failed: faults.failed };
  }
}

function assertTells(error: unknown, dir: string): void {
  assert.ok(error instanceof FileError, `expected a FileError, got ${error}`);
  assert.equal(error.exitCode, 5);
  assert.ok(error.message.includes(dir), `no path of the run in: ${error.message}`);
  assert.match(error.message, /Free space under .* or choose another place|Check the path and the disk/);
}

/** Finishes the run in `dir` as its user would, and compares with the run that nothing befell. */
async function assertFinishes(dir: string): Promise<void> {
  const checkpoints = join(dir, "checkpoints");
  for (const checkpoint of listCheckpoints(checkpoints)) assert.deepEqual(verifyCheckpoint(checkpoint), []);
  const canResume = latestCheckpoint(checkpoints).checkpoint !== null;
  if (!canResume) rmSync(dir, { recursive: true, force: true });
  await runTraining({ ...run, output_dir: dir, ...(canResume ? { resume_from_checkpoint: "latest" } : {}) });
  assertSameRun(dir, whole, 2);
  const leftOver = Object.keys(filesOf(dir)).filter((name) => /(^|\/)\.|run\.lock/.test(name));
  assert.deepEqual(leftOver, [], "left over from the write that failed");
}

test("the loops below have calls of every kind to fail", () => {
  const counts = (name: string) => calls.filter((call) => call.name === name).length;
  for (const name of changingCalls) assert.ok(counts(name) > 0, name);
  assert.ok(calls.length > 150, `${calls.length} calls`);
});

test("each call fails once, for want of space or for a broken disk", async () => {
  const last = calls.at(-1);
  assert.deepEqual([last?.name, last?.path], ["rmSync", join(whole, "run.lock")]);
  for (let at = 1; at < calls.length; at++) {
    const dir = shop.path(`once-${at}`);
    const code = at % 2 === 0 ? "EIO" : "ENOSPC";
    const { error, failed } = await runWith({ code, at, names: changingCalls }, dir);
    const where = `call ${at} (${failed[0]?.name} ${failed[0]?.path})`;
    assert.equal(failed.length, 1, where);
    await assert.doesNotReject(async () => {
      assertTells(error, dir);
      await assertFinishes(dir);
    }, where);
    rmSync(dir, { recursive: true, force: true });
  }
});

test("the disk is full from one call on, until there is space again", async () => {
  for (let at = 2; at < calls.length; at += 9) {
    const dir = shop.path(`full-${at}`);
    const { error, failed } = await runWith({ code: "ENOSPC", at, names: ["writeSync"], stays: true }, dir);
    if (failed.length === 0) break;
    await assert.doesNotReject(async () => {
      assertTells(error, dir);
      assert.match((error as Error).message, /disk is full \(ENOSPC\)/);
      await assertFinishes(dir);
    }, `write ${at}`);
  }
});

test("the first error is told, not that of the log on the same full disk", async () => {
  const optimizer = calls.findIndex(({ path }) => path?.endsWith("optimizer.safetensors") === true);
  const dir = shop.path("first-error");
  const fault: Fault = { code: "ENOSPC", at: optimizer + 2, names: changingCalls, stays: true };
  const { error } = await runWith(fault, dir);
  assertTells(error, dir);
  assert.match((error as Error).message, /optimizer\.safetensors|checkpoint-1/);
  assert.match((error as Error).message, /\d+ bytes .* are needed/);
  assert.ok(!existsSync(join(dir, "checkpoints", "checkpoint-1")));
});

test("a system that takes a few bytes at a time loses none", async () => {
  using _ = shortWrites(997);
  const dir = shop.path("short-writes");
  await runTraining({ ...run, output_dir: dir });
  assertSameRun(dir, whole, 2);
});
