/**
 * Row 7: after a power cut at any moment of a training (every prefix of what was written, with what was not synced missing, torn,
 * zeros or in another order) the run goes on from its last checkpoint and ends bit for bit as one that was left alone.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { Random } from "../../src/base/random.ts";
import { latestCheckpoint } from "../../src/runs/checkpoints.ts";
import { readEvaluations } from "../../src/runs/evaluation-records.ts";
import { RolloutsFile } from "../../src/runs/rollouts.ts";
import { isRun, runPaths } from "../../src/runs/run-directory.ts";
import type { TrainEvent } from "../../src/runs/train-events.ts";
import { amount, campaignSeed, figure, isNightly } from "../support/campaign.ts";
import { onlineFixture } from "../support/online-run.ts";
import {
  Disk,
  type DiskState,
  fates,
  logWrites,
  stateKey,
  type WriteLog,
  writeState,
} from "../support/power-loss.ts";
import { assertSameRun, filesOf, runFixture, runTraining, type Values } from "../support/runs.ts";

const lastStep = 3;
const fixture = runFixture({ rows: 4, held: 1, config: { num_hidden_layers: 1 } });
after(() => fixture[Symbol.dispose]());
const keys: Values = {
  use_peft: true,
  lora_r: 2,
  lora_target_modules: ["q_proj"],
  learning_rate: 1e-2,
  max_steps: lastStep,
  logging_steps: 1,
  eval_steps: 2,
  save_steps: 1,
  save_total_limit: 2,
};
const recipe: Values = { ...fixture.values, ...keys, objective: "dpo", per_device_train_batch_size: 2 };
const onlineRuns = onlineFixture({ rows: 2, held: 1, config: { num_hidden_layers: 1 } });
after(() => onlineRuns[Symbol.dispose]());
// two rollouts of two steps: checkpoints with a rollout in them and without
const online: Values = { ...onlineRuns.online, ...keys, gradient_accumulation_steps: 1, num_iterations: 2 };

/** How much had been done when the checkpoint of a step was told of. */
interface Promised {
  at: number;
  step: number;
}

/** A state of the disk, and what was promised to be on it. */
interface Cut {
  state: DiskState;
  /** Step of the newest checkpoint that the run had told of. */
  promised: number;
  at: number;
}

/** Trains once below `root`, logging what is written and when a checkpoint was told of. */
async function trainLogged(root: string, values: Values): Promise<{ log: WriteLog; promises: Promised[] }> {
  mkdirSync(root);
  const promises: Promised[] = [];
  using log = logWrites(root);
  const onEvent = (event: TrainEvent): void => {
    if (event.type === "checkpoint") promises.push({ at: log.ops.length, step: event.step });
  };
  await runTraining({ ...values, output_dir: join(root, "run") }, { onEvent });
  return { log, promises };
}

/** The distinct states in which a power cut may leave the disk. */
function cutsOf(ops: WriteLog["ops"], promises: readonly Promised[]): { states: Cut[]; tried: number } {
  const disk = new Disk();
  const random = new Random(campaignSeed);
  const found = new Map<string, Cut>();
  let tried = 0;
  for (let at = 0; at <= ops.length; at++) {
    const promised = promises.findLast((promise) => promise.at <= at)?.step ?? 0;
    for (const fate of fates(random, amount(1, 4))) {
      const state = disk.cut(fate);
      const key = `${promised} ${stateKey(state)}`;
      tried += 1;
      if (!found.has(key)) found.set(key, { state, promised, at });
    }
    const op = ops[at];
    if (op !== undefined) disk.do(op);
  }
  return { states: [...found.values()], tried };
}

/** Fails when a checkpoint that was told of is not there, or rollouts before it are not. */
function assertKept(dir: string, { promised }: Cut): void {
  const { checkpoint } = latestCheckpoint(join(dir, "checkpoints"));
  assert.ok((checkpoint?.step ?? 0) >= promised, `the checkpoint of step ${promised} is not there`);
  assert.deepEqual(new RolloutsFile(runPaths(dir).rollouts).cutTo(checkpoint), []);
}

/** What a new start of the machine does to a lock: its process is gone, and some time has passed. */
function startAgain(dir: string): void {
  const lock = join(dir, "run.lock");
  if (!existsSync(lock)) return;
  try {
    writeFileSync(lock, JSON.stringify({ ...JSON.parse(readFileSync(lock, "utf8")), pid: 2 ** 22 + 1 }));
  } catch {
    // torn: it stays as it is
  }
  utimesSync(lock, 0, 0);
}

function evaluationsOf(dir: string): unknown[] {
  return readEvaluations(join(dir, "evaluations.jsonl"));
}

/** Goes on with the run as its user would, and compares it with the one that was left alone. */
async function assertGoesOn(dir: string, whole: string, values: Values): Promise<void> {
  startAgain(dir);
  const goesOn = isRun(dir) ? { resume_from_checkpoint: "latest" } : {};
  await runTraining({ ...values, output_dir: dir, ...goesOn });
  assertSameRun(dir, whole, lastStep);
  assert.deepEqual(evaluationsOf(dir), evaluationsOf(whole));
  const metrics = readFileSync(join(dir, "metrics.jsonl"), "utf8");
  assert.ok(
    metrics.endsWith("\n") &&
      metrics
        .trim()
        .split("\n")
        .every((line) => JSON.parse(line) !== null),
  );
  const leftOver = Object.keys(filesOf(dir)).filter((name) => /(^|\/)\.|run\.lock/.test(name));
  assert.deepEqual(leftOver, [], "left over");
}

/** `count` of the numbers below `below`, at random. */
function sample(below: number, count: number, random: Random): ReadonlySet<number> {
  const order = Array.from({ length: below }, (_, i) => [random.next(), i] as const).sort(
    ([a], [b]) => a - b,
  );
  return new Set(order.slice(0, count).map(([, i]) => i));
}

/** Cuts the power in every state of a training, and resumes from `count` of them at most. */
async function cutEverywhere(what: string, values: Values, count: number): Promise<void> {
  const root = fixture.path(what.replaceAll(" ", "-"));
  const whole = join(root, "run");
  const { log, promises } = await trainLogged(root, values);
  const { states, tried } = cutsOf(log.ops, promises);
  assert.ok(
    log.ops.length > 150 && states.length > 200,
    `${log.ops.length} operations, ${states.length} states`,
  );
  const chosen = sample(states.length, count, new Random(campaignSeed + 1));
  const began = performance.now();
  const bad: string[] = [];
  for (const [i, cut] of states.entries()) {
    const place = `${root}-cut-${i}`;
    writeState(place, cut.state);
    const dir = join(place, "run");
    try {
      assertKept(dir, cut);
      if (chosen.has(i)) await assertGoesOn(dir, whole, values);
    } catch (error) {
      bad.push(`after operation ${cut.at} (state ${i}): ${(error as Error).message}`);
    }
    rmSync(place, { recursive: true, force: true });
    const seconds = ((performance.now() - began) / 1000).toFixed(0);
    if (isNightly && i % 100 === 0) console.log(`${i} of ${states.length} states, ${seconds} s`);
  }
  assert.deepEqual(bad.slice(0, 5), []);
  figure(
    7,
    `power cut after each of ${log.ops.length} writes, syncs and renames of ${what}: ${tried} states, ${states.length} distinct`,
    `all keep every checkpoint told of; ${chosen.size} resumed, ${chosen.size} end bit for bit`,
    "100 % recover",
    bad.length === 0,
  );
}

test("every state that a power cut may leave recovers", () =>
  cutEverywhere("a training", recipe, amount(15, Number.POSITIVE_INFINITY)));

test("every state that a power cut may leave of an on-policy training recovers, its rollouts too", () =>
  cutEverywhere("an on-policy training", online, amount(6, Number.POSITIVE_INFINITY)));

test("the same finds what is lost where files or directories are not synced", async () => {
  const { log } = await trainLogged(fixture.path("unsynced"), recipe);
  const isDirectory = ({ path }: { path: string }): boolean => !/\.\w+(-[\w-]+)?$/.test(path) || path === ".";
  const without = (lacks: "files" | "directories") =>
    log.ops.filter((op) => op.kind !== "sync" || isDirectory(op) !== (lacks === "directories"));
  for (const lacks of ["files", "directories"] as const) {
    const ops = without(lacks);
    assert.ok(ops.length < log.ops.length, lacks);
    const { states } = cutsOf(ops, [{ at: ops.length, step: lastStep }]);
    const lost = states.filter((cut, i) => {
      if (cut.promised === 0) return false;
      const place = fixture.path(`${lacks}-${i}`);
      writeState(place, cut.state);
      try {
        assertKept(join(place, "run"), cut);
        return false;
      } catch {
        return true;
      }
    });
    assert.ok(lost.length > 0, `nothing is lost without synced ${lacks}`);
  }
});
