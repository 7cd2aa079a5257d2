/** A launcher that is killed or held up, a second signal, `nohup`, and output that nobody reads. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { Random } from "../../src/base/random.ts";
import { latestCheckpoint } from "../../src/runs/checkpoints.ts";
import { amount, campaignSeed, figure, isNightly } from "../support/campaign.ts";
import { shell } from "../support/command.ts";
import { runFixture } from "../support/runs.ts";
import {
  endlessRun,
  leftWell,
  stayingLauncher,
  stoppedWell,
  Training,
  until,
  type Way,
} from "../support/signalled.ts";

const fixture = runFixture({ rows: 8, held: 0 });
after(() => fixture[Symbol.dispose]());
const random = new Random(campaignSeed);
const way: Way = { ...stayingLauncher(), onTerminal: false };
const yaml = endlessRun(fixture);
/** Steps that last long enough to be met in their middle, each with a checkpoint. */
const longSteps = ["--gradient_accumulation_steps", "200", "--save_strategy", "steps", "--save_steps", "1"];

/** Waits until `signal` has come to process `pid`, which is stopped and so has not heard it. */
async function isPending(pid: number, signal: number): Promise<void> {
  const pending = (): bigint => {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return BigInt(`0x${/^ShdPnd:\s*(\w+)$/m.exec(status)?.[1] ?? "0"}`);
  };
  await until(() => (pending() >> BigInt(signal - 1)) % 2n === 1n, `signal ${signal} to come`);
}

const times = amount(1, 20);
const short = { skip: process.platform === "linux" ? false : "looks into /proc" };

test("the launcher is killed: the training stops with a checkpoint, and is nobody's orphan", async () => {
  for (let time = 0; time < times; time++) {
    const training = new Training(fixture, way, { yaml, name: "orphan" });
    await training.reaches(1 + random.below(5));
    await wait(random.next() * 30);
    process.kill(training.launcherPid, "SIGKILL");
    // ends when nobody has its output open any more: the training has ended too
    assert.equal((await training.ended).signal, "SIGKILL");
    const hint = leftWell(training, training.output);
    assert.ok(hint !== null, training.output);
    rmSync(training.dir, { recursive: true });
    if (isNightly) console.log(`launcher killed: ${time + 1} of ${times}`);
  }
  figure(
    17,
    `SIGKILL to the launcher, ${way.name}`,
    `${times} of ${times} trainings stopped with a checkpoint of the step they had reached`,
    "0 orphans, 0 lost",
    true,
  );
});

test("a training that is watched over stops the same, whatever signal comes to which of its processes", async () => {
  const cases = (["SIGINT", "SIGTERM", "SIGHUP"] as const).flatMap((signal) =>
    (["trainer", "launcher", "group"] as const).map((target) => ({ signal, target })),
  );
  const tried = isNightly ? cases : cases.slice(5, 6);
  for (const { signal, target } of tried) {
    const more = ["--max-restarts", "2"];
    const training = new Training(fixture, way, { yaml, name: "watched", more });
    await training.reaches(1 + random.below(5));
    const pid = { trainer: training.trainerPid, launcher: training.launcherPid, group: null }[target];
    training.send(signal, pid);
    const hint = await stoppedWell(training, `${signal} to the ${target}`);
    assert.ok(hint !== null, training.output);
    rmSync(training.dir, { recursive: true });
    if (isNightly) console.log(`watched over, ${signal} to the ${target}`);
  }
  const reached = `${tried.length} of ${tried.length} stopped with status 0 and a checkpoint of the step they had reached`;
  figure(17, `one signal to a training with --max-restarts, ${way.name}`, reached, "0 lost", true);
});

/** A training with a checkpoint that heard `signal` twice, more than a second apart, before it could end by itself. */
async function signalledTwice(signal: NodeJS.Signals): Promise<{ training: Training; trainerPid: number }> {
  for (let tries = 0; tries < 20; tries++) {
    const training = new Training(fixture, way, { yaml, name: "left", more: longSteps });
    await training.reaches(1);
    const { trainerPid } = training;
    await until(() => existsSync(join(training.dir, "checkpoints", "checkpoint-1")), "a checkpoint");
    training.send(signal, null);
    await training.says("stopping after step");
    training.send("SIGSTOP", trainerPid);
    await wait(1100);
    training.send(signal, null);
    training.send("SIGCONT", trainerPid);
    const { status } = await training.ended;
    if (status !== 0) return { training, trainerPid };
    // on a busy machine the step may be over before this test has heard of it
    assert.match(training.output, /stopped after step \d+; resume with:/);
    rmSync(training.dir, { recursive: true });
  }
  return assert.fail(`a second ${signal} did not end any of 20 runs`);
}

test("what the launcher passes on late is not a second signal", short, async () => {
  for (let time = 0; time < amount(1, 5); time++) {
    const training = new Training(fixture, way, { yaml, name: "late", more: longSteps.slice(0, 2) });
    await training.reaches(1);
    const { launcherPid, trainerPid } = training;
    process.kill(launcherPid, "SIGSTOP");
    training.send("SIGINT", null);
    await training.says("stopping after step");
    process.kill(trainerPid, "SIGSTOP");
    await wait(1100);
    process.kill(launcherPid, "SIGCONT");
    await isPending(trainerPid, 2);
    process.kill(trainerPid, "SIGCONT");
    assert.ok((await stoppedWell(training, "SIGINT, passed on late")) !== null, training.output);
    rmSync(training.dir, { recursive: true });
  }
});

test(
  "a second signal leaves at once: the last checkpoint is good, and the lock is taken over",
  short,
  async () => {
    let left = 0;
    const cases = [
      ["SIGINT", 130],
      ["SIGTERM", 143],
    ] as const;
    const rounds = cases
      .slice(0, amount(1, 2))
      .flatMap((each) => Array(amount(1, 5)).fill(each) as (typeof each)[]);
    for (const [signal, status] of rounds) {
      const { training, trainerPid } = await signalledTwice(signal);
      assert.deepEqual(await training.ended, { status, signal: null }, training.output);
      const { checkpoint, rejected } = latestCheckpoint(join(training.dir, "checkpoints"));
      assert.deepEqual(rejected, []);
      assert.ok(existsSync(join(training.dir, "run.lock")));
      const step = (checkpoint?.step ?? 0) + 1;
      const again = await shell(
        `node bin/preftune.mjs train ${training.dir}/config.yaml --resume --max_steps ${step} --save_strategy no`,
      );
      assert.equal(again.status, 0, again.stderr);
      assert.match(
        again.stdout,
        new RegExp(`locked by process ${trainerPid}, which is gone; its lock was taken over`),
      );
      assert.equal(existsSync(join(training.dir, "run.lock")), false);
      rmSync(training.dir, { recursive: true });
      left += 1;
      if (isNightly) console.log(`second signal: ${left} of ${rounds.length}`);
    }
    const reached = `${left} of ${rounds.length} left at once with a good last checkpoint; the next run took the lock over`;
    figure(
      17,
      "a second SIGINT or SIGTERM after more than a second",
      reached,
      "leaves at once",
      left === rounds.length,
    );
  },
);

/** Whether a program that is started by `words` is there. */
function isThere(program: string): boolean {
  try {
    execFileSync(program, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

test("a training started with SIGHUP ignored outlives its terminal, and stops by SIGTERM", async () => {
  const ways = { "trap '' HUP": ["sh", "-c", `trap '' HUP; "$0" "$@"; exit $?`] };
  if (isThere("bash") && isThere("nohup")) Object.assign(ways, { nohup: ["bash", "-c", 'nohup "$0" "$@"'] });
  for (const [name, before] of Object.entries(ways).slice(0, amount(2, 2))) {
    const command = [...before, ...way.command];
    const training = new Training(fixture, { name, command, onTerminal: false }, { yaml, name: "nohup" });
    await training.reaches(1);
    training.send("SIGHUP", null);
    const step = training.lastStep();
    await training.reaches(step + 5);
    process.kill(training.trainerPid, "SIGTERM");
    assert.ok((await stoppedWell(training, name)) !== null, training.output);
    rmSync(training.dir, { recursive: true });
  }
});

test("output that nobody reads any more ends nothing; a status of one's own for a stopped run", async () => {
  const more = ["--stopped-status", "75"];
  const training = new Training(fixture, way, { yaml, name: "unread", more });
  await training.reaches(1);
  training.loseOutput();
  const step = training.lastStep();
  await training.reaches(step + 3);
  training.send("SIGHUP", null);
  await stoppedWell(training, "SIGHUP, nobody reads", 75);
});
