/**
 * Row 5: every system call of a training that writes is made to fail in turn, as SQLite's tests do. Each time the error names a
 * path, the checkpoints that were there stay good, and a resumed run comes to the same weights.
 */
import assert from "node:assert/strict";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { listCheckpoints, verifyCheckpoint } from "../../src/runs/checkpoints.ts";
import { isRun } from "../../src/runs/run-directory.ts";
import { amount, figure, isNightly } from "../support/campaign.ts";
import { assertTells, codes } from "../support/fault-loop.ts";
import { armFault, type Call, changingCalls, type Fault, shortWrites } from "../support/faults.ts";
import { assertSameRun, filesOf, runFixture, runTraining, type Values } from "../support/runs.ts";

const fixture = runFixture({ rows: 2, held: 1, config: { num_hidden_layers: 1 } });
const whole = fixture.path("whole");
// two steps, a checkpoint and a removed one, log, metrics, reference, evaluation and export: one of each
const run: Values = {
  ...fixture.values,
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
after(() => fixture[Symbol.dispose]());

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

/** Finishes the run in `dir` as its user would, and compares with the run that nothing befell. */
async function assertFinishes(dir: string): Promise<void> {
  const checkpoints = join(dir, "checkpoints");
  for (const checkpoint of listCheckpoints(checkpoints)) assert.deepEqual(verifyCheckpoint(checkpoint), []);
  await runTraining({ ...run, output_dir: dir, ...(isRun(dir) ? { resume_from_checkpoint: "latest" } : {}) });
  assertSameRun(dir, whole, 2);
  const leftOver = Object.keys(filesOf(dir)).filter((name) => /(^|\/)\.|run\.lock/.test(name));
  assert.deepEqual(leftOver, [], "left over from the write that failed");
}

test("the loops below have calls of every kind to fail", () => {
  const counts = (name: string) => calls.filter((call) => call.name === name).length;
  const rare = ["ftruncateSync", "symlinkSync"];
  for (const name of changingCalls) assert.ok(counts(name) > 0 || rare.includes(name), name);
  assert.ok(calls.length > 150, `${calls.length} calls`);
});

test("each call fails once, for want of space or files or for a broken disk", async () => {
  const stride = amount(7, 1);
  let failures = 0;
  const last = calls.at(-1);
  assert.deepEqual([last?.name, last?.path], ["rmSync", join(whole, "run.lock")]);
  for (let at = 1; at < calls.length; at += stride) {
    const dir = fixture.path(`once-${at}`);
    const ways = codes[(calls[at - 1] as Call).name];
    const code = ways[at % ways.length] as Fault["code"];
    const { error, failed } = await runWith({ code, at, names: changingCalls }, dir);
    const where = `call ${at} (${failed[0]?.name} ${failed[0]?.path})`;
    assert.equal(failed.length, 1, where);
    await assert.doesNotReject(async () => {
      assertTells(error, dir);
      await assertFinishes(dir);
    }, where);
    rmSync(dir, { recursive: true, force: true });
    failures += 1;
    if (isNightly && failures % 20 === 0) console.log(`train: ${at} of ${calls.length} calls`);
  }
  figure(
    5,
    "train: each system call that writes fails once (EIO, ENOSPC, EDQUOT, EROFS, EMFILE)",
    `${failures} of ${calls.length - 1} calls tried, all told with path and status 5, resumed bit for bit`,
    "100 % of calls",
    failures >= Math.floor((calls.length - 1) / stride),
  );
});

test("the disk is full from one call on, until there is space again", async () => {
  for (let at = 2; at < calls.length; at += amount(27, 5)) {
    const dir = fixture.path(`full-${at}`);
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
  const dir = fixture.path("first-error");
  const fault: Fault = { code: "ENOSPC", at: optimizer + 2, names: changingCalls, stays: true };
  const { error } = await runWith(fault, dir);
  assertTells(error, dir);
  assert.match((error as Error).message, /optimizer\.safetensors|checkpoint-1/);
  assert.match((error as Error).message, /\d+ bytes .* are needed/);
  assert.ok(!existsSync(join(dir, "checkpoints", "checkpoint-1")));
});

test("a system that takes a few bytes at a time loses none", async () => {
  using _ = shortWrites(997);
  const dir = fixture.path("short-writes");
  await runTraining({ ...run, output_dir: dir });
  assertSameRun(dir, whole, 2);
});
