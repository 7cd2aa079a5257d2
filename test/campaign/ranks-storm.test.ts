/**
 * Runs on several ranks of which one is killed, stopped or ended at a random moment: of loading, a step, an evaluation, a save, the
 * export. All others end soon and name it; the run, resumed on a random number of ranks again and again, comes to the weights of
 * one process. Four rounds in `npm test`, 200 in the nightly run.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { after, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { Random } from "../../src/base/random.ts";
import { listCheckpoints, verifyCheckpoint } from "../../src/runs/checkpoints.ts";
import { amount, campaignSeed, isNightly, progress } from "../support/campaign.ts";
import type { Ended, Running } from "../support/command.ts";
import { freePort, placesOf, startRanks } from "../support/rank-processes.ts";
import { distanceOf, runFixture, runTraining, tensorsOf, type Values } from "../support/runs.ts";

const rounds = amount(4, 200);
const fixture = runFixture({ family: "qwen3", rows: 20, held: 4 });
after(() => fixture[Symbol.dispose]());

const recipe: Values = {
  ...fixture.values,
  objective: "dpo",
  use_peft: true,
  lora_r: 4,
  lora_dropout: 0.1,
  per_device_train_batch_size: 1,
  train_batch_size: 4,
  learning_rate: 1e-3,
  max_steps: 24,
  eval_steps: 5,
  save_steps: 2,
  logging_steps: 1,
  save_total_limit: 3,
  // a stopped rank is found by its silence
  rank_timeout: 3,
  rank_start_timeout: 20,
};

/** What all of it came to. */
const tally = { SIGKILL: 0, SIGSTOP: 0, SIGTERM: 0, finished: 0, named: 0 };

/** Milliseconds in which the others of a rank that is lost must have ended. */
const patience = 60_000;

/** Starts the run in `dir` on `size` ranks; it resumes what is there. */
async function startRun(dir: string, size: number, shard: string): Promise<Running[]> {
  const yaml = `${dir}.yaml`;
  writeFileSync(yaml, JSON.stringify({ ...recipe, shard, output_dir: dir }));
  const resume = existsSync(`${dir}/run.json`) || existsSync(`${dir}/checkpoints`) ? ["--resume"] : [];
  return startRanks(["train", yaml, ...resume], placesOf(size, await freePort()));
}

async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  const late = Symbol("late");
  const first = await Promise.race([promise, wait(patience, late, { ref: false })]);
  if (first === late) assert.fail(`${what}: not ended after ${patience / 1000} s`);
  return first as T;
}

/** The fault of a round, and what must follow. Gives whether the run came to its end. */
async function disturbed(ranks: readonly Running[], random: Random): Promise<boolean> {
  const fault = (["SIGKILL", "SIGKILL", "SIGSTOP", "SIGTERM"] as const)[random.below(4)] ?? "SIGKILL";
  const victim = random.below(ranks.length);
  const all = Promise.all(ranks.map(({ ended }) => ended));
  // once in four while it starts or loads, else from its first step on
  const first = random.below(4) === 0 ? wait(300) : (ranks[0] as Running).saw('"grad_norm"').catch(() => {});
  await Promise.race([first.then(() => wait(random.below(1000))), all]);
  const { child } = ranks[victim] as Running;
  if (child.exitCode !== null) {
    const ends = await within(Promise.all(ranks.map(({ ended }) => ended)), "a run that nobody disturbed");
    for (const { status, stderr } of ends) assert.equal(status, 0, stderr);
    return true;
  }
  child.kill(fault);
  const others = ranks.filter((_, rank) => rank !== victim);
  const ends = await within(Promise.all(others.map(({ ended }) => ended)), `${fault} of rank ${victim}`);
  if (fault === "SIGSTOP") child.kill("SIGKILL");
  const own = await within((ranks[victim] as Running).ended, `rank ${victim} itself`);
  tally[fault] += 1;
  judge(fault, victim, { own, ends });
  return ends.every(({ status }) => status === 0) && own.status === 0;
}

/** No rank says that another is lost than the one that is; after SIGTERM all end as a stopped run does. */
function judge(fault: string, victim: number, { own, ends }: { own: Ended; ends: readonly Ended[] }): void {
  // before it listens to signals, this one kills it
  if (fault === "SIGTERM" && own.signal === null) {
    for (const end of [own, ...ends]) assert.ok(end.status === 0 || end.status === 143, JSON.stringify(end));
    return;
  }
  for (const { status, stderr } of ends) {
    // the run had ended, or was not yet one of several
    if (status === 0) continue;
    const named = /\brank (\d+) \(host/.exec(stderr);
    if (named !== null) {
      assert.equal(Number(named[1]), victim, `${fault} of rank ${victim}: ${stderr}`);
      tally.named += 1;
    } else
      assert.match(stderr, /missing: |cannot be reached|rank 0, whose store/, `${fault} of rank ${victim}`);
  }
}

/** No checkpoint that the run lists is damaged. */
function assertIntact(dir: string): void {
  if (!existsSync(`${dir}/checkpoints`)) return;
  for (const checkpoint of listCheckpoints(`${dir}/checkpoints`)) {
    assert.deepEqual(verifyCheckpoint(checkpoint), [], checkpoint.path);
  }
}

test("storm of lost ranks", { timeout: isNightly ? 7_200_000 : 900_000 }, async () => {
  const random = new Random(campaignSeed);
  const alone = fixture.path("alone");
  await runTraining({ ...recipe, output_dir: alone });
  const file = "adapter/adapter_model.safetensors";
  const expected = tensorsOf(`${alone}/${file}`);
  const told = progress();
  let run = 0;
  mkdirSync(fixture.path("runs"));
  const assertDone = (dir: string) => {
    const far = distanceOf(tensorsOf(`${dir}/${file}`), expected);
    assert.ok(far < 1e-5, `weights differ by ${far}`);
    tally.finished += 1;
    run += 1;
  };
  for (let round = 0; round < rounds; round++) {
    const dir = fixture.path("runs", `run-${run}`);
    const ranks = await startRun(dir, 2 + random.below(3), random.below(2) === 0 ? "none" : "all");
    try {
      const isDone = await disturbed(ranks, random);
      assertIntact(dir);
      if (isDone && existsSync(`${dir}/${file}`)) assertDone(dir);
    } finally {
      for (const { child } of ranks) child.kill("SIGKILL");
    }
    told(() => `${round + 1} of ${rounds} rounds: ${JSON.stringify(tally)}`);
  }
  // what is left of the last run
  const dir = fixture.path("runs", `run-${run}`);
  if (existsSync(`${dir}.yaml`)) {
    const ends = await within(
      Promise.all((await startRun(dir, 2, "all")).map(({ ended }) => ended)),
      "the last",
    );
    for (const { status, stderr } of ends) assert.equal(status, 0, stderr);
    assertDone(dir);
  }
  console.log(`${rounds} rounds: ${JSON.stringify(tally)}`);
});
