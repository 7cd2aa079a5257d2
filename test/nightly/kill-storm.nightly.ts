/**
 * A training that is killed again and again (SIGKILL) at random moments, half of them aimed at the writing of a
 * checkpoint, comes to the weights of one that was left alone, bit for bit.
 *
 * PREFTUNE_KILLS sets the number of kills (200), PREFTUNE_SEED the seed of the moments.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { Random } from "../../src/base/random.ts";
import { latestCheckpoint } from "../../src/runs/checkpoints.ts";
import {
  assertSameRun,
  childEnd,
  filesOf,
  runTraining,
  trainInChild,
  type Values,
  workshop,
} from "../support/runs.ts";

const wanted = Number(process.env["PREFTUNE_KILLS"] ?? 200);
const seed = Number(process.env["PREFTUNE_SEED"] ?? 1);
const lastStep = 20;

const shop = workshop({ rows: 13, held: 4 });
after(() => shop[Symbol.dispose]());
const recipe: Values = {
  ...shop.values,
  objective: "dpo",
  use_peft: true,
  lora_r: 4,
  lora_dropout: 0.2,
  learning_rate: 5e-3,
  lr_scheduler_type: "cosine",
  warmup_steps: 3,
  weight_decay: 0.1,
  per_device_train_batch_size: 2,
  gradient_accumulation_steps: 2,
  max_steps: lastStep,
  logging_steps: 3,
  eval_steps: 4,
  save_steps: 1,
  save_total_limit: 3,
  export_merged: true,
};

/** What the storm came to. */
const tally = {
  kills: 0,
  beforeFirstCheckpoint: 0,
  whileSaving: 0,
  whileRemoving: 0,
  afterLastStep: 0,
  finishedRuns: 0,
  mostStepsLost: 0,
};

/** Trains in `dir` in a process of its own until it is killed; true when it got to the end before. */
async function trainUntilKilled(dir: string, random: Random): Promise<boolean> {
  const before = latestCheckpoint(join(dir, "checkpoints")).checkpoint;
  const goesOn = before === null ? {} : { resume_from_checkpoint: "latest" };
  const child = trainInChild({ ...recipe, output_dir: dir, ...goesOn });
  const end = childEnd(child);
  const steps = 1 + random.below(6);
  const aimed = random.next() < 0.5;
  let seen = 0;
  let step = before?.step ?? 0;
  const due = new Promise<void>((resolve) => {
    child.stdout.on("data", (chunk: Buffer) => {
      const lines = chunk.toString("utf8").trim().split("\n");
      seen += lines.length;
      step = Number(lines.at(-1));
      // a checkpoint is written right after each step
      if (seen >= steps) resolve();
    });
  });
  if (random.next() < 0.1) await Promise.race([end, wait(random.next() * 1000)]);
  else await Promise.race([end, due]);
  await wait(random.next() * (aimed ? 12 : 100));
  child.kill("SIGKILL");
  const { code, signal, stderr } = await end;
  if (signal !== "SIGKILL") {
    assert.equal(code, 0, stderr);
    return true;
  }
  count(dir, step);
  return false;
}

/** Looks at what a kill left behind. */
function count(dir: string, step: number): void {
  tally.kills += 1;
  const checkpoints = join(dir, "checkpoints");
  const { checkpoint, rejected } = latestCheckpoint(checkpoints);
  assert.deepEqual(rejected, [], "a checkpoint that cannot be loaded");
  const hidden = existsSync(checkpoints)
    ? readdirSync(checkpoints).filter((name) => name.startsWith("."))
    : [];
  if (hidden.some((name) => name.includes(".new-"))) tally.whileSaving += 1;
  if (hidden.some((name) => name.includes(".gone-"))) tally.whileRemoving += 1;
  if (checkpoint === null) tally.beforeFirstCheckpoint += 1;
  if (checkpoint?.step === lastStep) tally.afterLastStep += 1;
  tally.mostStepsLost = Math.max(tally.mostStepsLost, step - (checkpoint?.step ?? 0));
}

test(`${wanted} kills, seed ${seed}`, async () => {
  const random = new Random(seed);
  const whole = shop.path("whole");
  await runTraining({ ...recipe, output_dir: whole });
  const began = performance.now();
  while (tally.kills < wanted) {
    const dir = shop.path(`run-${tally.finishedRuns}`);
    let finished = false;
    while (!finished && tally.kills < wanted) finished = await trainUntilKilled(dir, random);
    if (!finished) {
      const last = latestCheckpoint(join(dir, "checkpoints")).checkpoint;
      const goesOn = last === null ? {} : { resume_from_checkpoint: "latest" };
      await runTraining({ ...recipe, output_dir: dir, ...goesOn });
    }
    assertSameRun(dir, whole, lastStep);
    const left = Object.keys(filesOf(dir)).filter((name) => /(^|\/)\.|run\.lock/.test(name));
    assert.deepEqual(left, [], "left over");
    rmSync(dir, { recursive: true });
    tally.finishedRuns += 1;
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  console.log(
    `kill storm: ${JSON.stringify(tally)}, every run bit for bit as the one left alone, ${seconds} s`,
  );
  assert.ok(tally.mostStepsLost <= 1, `${tally.mostStepsLost} steps lost at once`);
});
