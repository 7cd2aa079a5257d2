/**
 * A training that is killed again and again (SIGKILL) at random moments, half of them aimed at the writing of a
 * checkpoint, and resumed by `--resume`, comes to the weights of one that was left alone, bit for bit.
 *
 * The campaign's kills are shared out over several files, which differ in their seed: each ends within its time.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { Random } from "../../src/base/random.ts";
import { latestCheckpoint } from "../../src/runs/checkpoints.ts";
import { campaignSeed, figure, progress } from "./campaign.ts";
import { onlineFixture } from "./online-run.ts";
import {
  assertSameRun,
  childEnd,
  filesOf,
  type RunFixture,
  runFixture,
  runTraining,
  trainInChild,
  type Values,
} from "./runs.ts";

const lastStep = 20;

const recipe: Values = {
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
interface Tally {
  kills: number;
  beforeFirstCheckpoint: number;
  whileSaving: number;
  whileRemoving: number;
  afterLastStep: number;
  finishedRuns: number;
  mostStepsLost: number;
}

/** Trains in `dir` in a separate process until it is killed; true when it got to the end before. */
async function trainUntilKilled(values: Values, random: Random, tally: Tally): Promise<boolean> {
  const dir = String(values["output_dir"]);
  const before = latestCheckpoint(join(dir, "checkpoints")).checkpoint;
  const child = trainInChild({ ...values, ...goingOn(dir) });
  const end = childEnd(child);
  const steps = 1 + random.below(6);
  const aimed = random.next() < 0.5;
  let seen = 0;
  let step = before?.step ?? 0;
  const due = new Promise<void>((resolve) => {
    child.stdout.on("data", (chunk: Buffer) => {
      const lines = chunk.toString("utf8").trim().split("\n");
      seen += lines.length;
      step = Number.parseInt(lines.at(-1) ?? "", 10);
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
  count(dir, step, tally);
  return false;
}

/** As a user resumes what a killed process left: from its start only where there is no directory yet. */
function goingOn(dir: string): Values {
  return existsSync(dir) ? { resume_from_checkpoint: "latest" } : {};
}

/** Looks at what a kill left behind. */
function count(dir: string, step: number, tally: Tally): void {
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

/** What is trained: its fixture, and what follows "SIGKILL at random moments" in the figure. */
interface StormSubject {
  fixture: RunFixture;
  values: Values;
  what: string;
}

function pairsSubject(): StormSubject {
  const fixture = runFixture({ rows: 13, held: 4 });
  return { fixture, values: { ...fixture.values, ...recipe }, what: "" };
}

/**
 * An on-policy run with rollouts of four steps: kills come while it samples, scores, trains and saves.
 *
 * @param max_staleness - above 0: another process samples and scores, which must end with the run
 */
export function rolloutsSubject(max_staleness = 0): StormSubject {
  const fixture = onlineFixture({ held: 2 });
  const values = {
    ...fixture.online,
    ...{
      use_peft: true,
      lora_r: 4,
      learning_rate: 5e-3,
      beta: 0.05,
      max_steps: lastStep,
      save_total_limit: 3,
      max_staleness,
    },
    ...{ steps_per_generation: 2, num_iterations: 2, eval_steps: 4, save_steps: 1, logging_steps: 3 },
  };
  const ahead = max_staleness > 0 ? ", sampled ahead" : "";
  return { fixture, values, what: ` of an on-policy run${ahead}` };
}

/**
 * Kills trainings `kills` times, and compares each with the one left alone.
 *
 * @param part - decides the moments, with PREFTUNE_SEED
 */
export async function killStorm(
  kills: number,
  part: number,
  subject: StormSubject = pairsSubject(),
): Promise<void> {
  const seed = campaignSeed * 10 + part;
  using fixture = subject.fixture;
  const { values, what } = subject;
  const whole = fixture.path("whole");
  const alone = await childEnd(trainInChild({ ...values, output_dir: whole }));
  assert.equal(alone.code, 0, alone.stderr);
  const random = new Random(seed);
  const tally: Tally = {
    kills: 0,
    beforeFirstCheckpoint: 0,
    whileSaving: 0,
    whileRemoving: 0,
    afterLastStep: 0,
    finishedRuns: 0,
    mostStepsLost: 0,
  };
  const tell = progress();
  while (tally.kills < kills) {
    const dir = fixture.path(`run-${tally.finishedRuns}`);
    let finished = false;
    while (!finished && tally.kills < kills) {
      finished = await trainUntilKilled({ ...values, output_dir: dir }, random, tally);
      tell(() => `${tally.kills} of ${kills} kills, ${tally.finishedRuns} runs finished`);
    }
    if (!finished) await runTraining({ ...values, output_dir: dir, ...goingOn(dir) });
    assertSameRun(dir, whole, lastStep);
    const left = Object.keys(filesOf(dir)).filter((name) => /(^|\/)\.|run\.lock/.test(name));
    assert.deepEqual(left, [], "left over");
    rmSync(dir, { recursive: true });
    tally.finishedRuns += 1;
  }
  const { whileSaving, whileRemoving, beforeFirstCheckpoint, mostStepsLost, finishedRuns } = tally;
  figure(
    4,
    `SIGKILL at random moments${what}, half aimed at the writing of a checkpoint, seed ${seed}`,
    `${kills} kills (${whileSaving} left a half-written checkpoint, ${whileRemoving} a half-removed one, ${beforeFirstCheckpoint} came before the first), ` +
      `0 unloadable, at most ${mostStepsLost} step lost, ${finishedRuns} of ${finishedRuns} runs with the bytes of the one left alone`,
    "0 unloadable, at most one interval (1 step) lost, all runs the same bytes",
    mostStepsLost <= 1,
  );
}
