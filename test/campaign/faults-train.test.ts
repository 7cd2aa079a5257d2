/**
 * Row 5: every system call of a training that writes is made to fail in turn, as SQLite's tests do. Each time the error names a
 * path, the checkpoints that were there stay good, and a resumed run comes to the same weights.
 */
import assert from "node:assert/strict";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { amount, figure } from "../support/campaign.ts";
import {
  assertFinishes,
  failEachCall,
  failingTraining,
  fillDisk,
  runWith,
} from "../support/failing-training.ts";
import { assertTells } from "../support/fault-loop.ts";
import { changingCalls, type Fault, shortWrites } from "../support/faults.ts";
import { assertSameRun, runFixture, runTraining } from "../support/runs.ts";

const fixture = runFixture({ rows: 2, held: 1, config: { num_hidden_layers: 1 } });
after(() => fixture[Symbol.dispose]());
// two steps, a checkpoint and a removed one, log, metrics, reference, evaluation and export: one of each
const run = {
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
const training = await failingTraining({ fixture, values: run, what: "train" });
const { calls, whole } = training;

test("the loops below have calls of every kind to fail", () => {
  const counts = (name: string) => calls.filter((call) => call.name === name).length;
  const rare = ["ftruncateSync", "symlinkSync", "linkSync", "utimesSync"];
  for (const name of changingCalls) assert.ok(counts(name) > 0 || rare.includes(name), name);
  assert.ok(calls.length > 150, `${calls.length} calls`);
});

test("each call fails once, for want of space or files or for a broken disk", () =>
  failEachCall(training, { stride: 7, inEveryWay: true }));

test("the disk is full from one call on, until there is space again", () => fillDisk(training, 27));

test("the first error is told, not that of the log on the same full disk", async () => {
  const optimizer = calls.findIndex(({ path }) => path?.endsWith("optimizer.safetensors") === true);
  const dir = fixture.path("first-error");
  const fault: Fault = { code: "ENOSPC", at: optimizer + 2, names: changingCalls, stays: true };
  const { error, failed } = await runWith(training, fault, dir);
  assertTells(error, dir, failed[0]?.name);
  assert.match((error as Error).message, /optimizer\.safetensors|checkpoint-1/);
  assert.match((error as Error).message, /\d+ bytes .* are needed/);
  assert.ok(!existsSync(join(dir, "checkpoints", "checkpoint-1")));
});

test("a system that takes a few bytes at a time loses none", async () => {
  const most = [1, 7, 997].slice(amount(2, 0));
  for (const bytes of most) {
    using writes = shortWrites(bytes);
    const dir = fixture.path(`short-writes-${bytes}`);
    await runTraining({ ...run, output_dir: dir });
    assertSameRun(dir, whole, 2);
    assert.ok(writes.cut > 0);
  }
  figure(
    5,
    `train: each write takes at most ${most.join(", ")} bytes of what it is given`,
    `${most.length} of ${most.length} runs end bit for bit`,
    "all",
    true,
  );
});

test("a disk that takes a part of a write before it is full", async () => {
  let tried = 0;
  for (let at = 2; ; at += amount(400, 7)) {
    const dir = fixture.path(`half-${at}`);
    using writes = shortWrites(97);
    const { error, failed } = await runWith(
      training,
      { code: "ENOSPC", at, names: ["writeSync"], stays: true },
      dir,
    );
    writes[Symbol.dispose]();
    if (failed.length === 0) break;
    await assert.doesNotReject(async () => {
      assertTells(error, dir, "writeSync");
      await assertFinishes(training, dir);
    }, `write ${at}`);
    rmSync(dir, { recursive: true, force: true });
    tried += 1;
  }
  figure(
    5,
    "train: the disk takes a part of a write and is full then, until there is room",
    `${tried} of ${tried} moments told with path, bytes needed and status 5, resumed bit for bit`,
    "all",
    tried > 0,
  );
});
