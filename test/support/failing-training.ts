/** A training whose system calls fail in turn, as SQLite's tests do. */
import assert from "node:assert/strict";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { listCheckpoints, verifyCheckpoint } from "../../src/runs/checkpoints.ts";
import { isRun } from "../../src/runs/run-directory.ts";
import { amount, figure, isNightly } from "./campaign.ts";
import { assertTells, codes } from "./fault-loop.ts";
import { armFault, type Call, changingCalls, type Fault } from "./faults.ts";
import { assertSameRun, filesOf, type RunFixture, runTraining, type Values } from "./runs.ts";

/** What is trained, and what it comes to when nothing befalls it. */
export interface FailingTraining {
  fixture: RunFixture;
  /** Without its directory. */
  values: Values & { max_steps: number };
  /** The directory of the run that nothing befell. */
  whole: string;
  /** The calls of that run. */
  calls: Call[];
  /** Before "each system call" in the figure. */
  what: string;
}

/** Trains once without a fault. */
export async function failingTraining(
  given: Pick<FailingTraining, "fixture" | "values" | "what">,
): Promise<FailingTraining> {
  const whole = given.fixture.path("whole");
  using counting = armFault({ code: "EIO", at: Number.POSITIVE_INFINITY, names: changingCalls });
  await runTraining({ ...given.values, output_dir: whole });
  return { ...given, whole, calls: counting.calls };
}

/** How a run with a fault ended; the fault is gone afterwards. */
export async function runWith(
  { values }: FailingTraining,
  fault: Fault,
  dir: string,
): Promise<{ error: unknown; failed: Call[] }> {
  using faults = armFault(fault);
  try {
    await runTraining({ ...values, output_dir: dir });
    return { error: null, failed: faults.failed };
  } catch (error) {
    return { error, failed: faults.failed };
  }
}

/** Finishes the run in `dir` as its user would, and compares with the run that nothing befell. */
export async function assertFinishes({ values, whole }: FailingTraining, dir: string): Promise<void> {
  const checkpoints = join(dir, "checkpoints");
  for (const checkpoint of listCheckpoints(checkpoints)) assert.deepEqual(verifyCheckpoint(checkpoint), []);
  await runTraining({
    ...values,
    output_dir: dir,
    ...(isRun(dir) ? { resume_from_checkpoint: "latest" } : {}),
  });
  assertSameRun(dir, whole, values.max_steps);
  assert.equal(filesOf(dir)["rollouts.jsonl.gz"], filesOf(whole)["rollouts.jsonl.gz"], "rollouts");
  const leftOver = Object.keys(filesOf(dir)).filter((name) => /(^|\/)\.|run\.lock/.test(name));
  assert.deepEqual(leftOver, [], "left over from the write that failed");
}

/** The run has ended as the one that nothing befell, and its log says that a report could not be written. */
function assertContinued({ values, whole }: FailingTraining, dir: string): void {
  assert.match(readFileSync(join(dir, "log.jsonl"), "utf8"), /"no report"/);
  assertSameRun(dir, whole, values.max_steps);
}

/** How many of a training's calls are tried. */
interface Extent {
  /** In the short form every n-th call fails, n being this. */
  stride: number;
  /** In the full form each call fails in every way that it can, rather than in one of them. */
  inEveryWay: boolean;
}

/** Lets each call fail, once in a run, for want of space or files or for a broken disk. */
export async function failEachCall(training: FailingTraining, { stride, inEveryWay }: Extent): Promise<void> {
  const { whole, calls, what } = training;
  const every = amount(stride, 1);
  const isInEveryWay = inEveryWay && isNightly;
  let [tried, failures] = [0, 0];
  const last = calls.at(-1);
  assert.deepEqual([last?.name, last?.path], ["rmSync", join(whole, "run.lock")]);
  for (let at = 1; at < calls.length; at += every) {
    const ways = codes[(calls[at - 1] as Call).name];
    for (const code of isInEveryWay ? ways : [ways[at % ways.length] as Fault["code"]]) {
      await failOnce(training, { code, at });
      failures += 1;
    }
    tried += 1;
    if (isNightly && tried % 20 === 0) console.log(`${what}: ${at} of ${calls.length} calls`);
  }
  const once = isInEveryWay ? "fails in every way that it can" : "fails in one of the ways that it can";
  const count = isInEveryWay ? `${failures} failures of ` : "";
  figure(
    5,
    `${what}: each system call that writes ${once} (EIO, ENOSPC, EDQUOT, EROFS, EMFILE)`,
    `${count}${tried} of ${calls.length - 1} calls tried, all reported with path and status 5, the bytes needed where a write finds no room, resumed bit for bit`,
    "100 % of calls",
    tried >= Math.floor((calls.length - 1) / every) && (!isInEveryWay || failures > 2 * tried),
  );
}

async function failOnce(training: FailingTraining, { code, at }: Pick<Fault, "code" | "at">): Promise<void> {
  const dir = training.fixture.path(`once-${at}-${code}`);
  const { error, failed } = await runWith(training, { code, at, names: changingCalls }, dir);
  const where = `call ${at} (${failed[0]?.name} ${failed[0]?.path}, ${code})`;
  assert.equal(failed.length, 1, where);
  await assert.doesNotReject(async () => {
    // a report before the end may fail: training continues
    if (error === null) return assertContinued(training, dir);
    assertTells(error, dir, failed[0]?.name);
    await assertFinishes(training, dir);
  }, where);
  rmSync(dir, { recursive: true, force: true });
}

/** A disk that is full from one write on, until there is space again; every `stride`-th write in the short form. */
export async function fillDisk(training: FailingTraining, stride: number): Promise<void> {
  const { fixture, calls } = training;
  for (let at = 2; at < calls.length; at += amount(stride, 5)) {
    const dir = fixture.path(`full-${at}`);
    const fault: Fault = { code: "ENOSPC", at, names: ["writeSync"], stays: true };
    const { error, failed } = await runWith(training, fault, dir);
    if (failed.length === 0) break;
    await assert.doesNotReject(async () => {
      assertTells(error, dir, failed[0]?.name);
      assert.match((error as Error).message, /disk is full \(ENOSPC\)/);
      await assertFinishes(training, dir);
    }, `write ${at}`);
    rmSync(dir, { recursive: true, force: true });
  }
}
