/** A rank that starts as a run does and does what PLAN says, for tests: prints a line of JSON, what it has or its error. */
import { setTimeout as sleep } from "node:timers/promises";
import { exitCodes, PreftuneError } from "../../src/base/errors.ts";
import { agreedAsync } from "../../src/base/ranks.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { readLaunch } from "../../src/distributed/launch.ts";
import { openStore, prefixOf } from "../../src/distributed/meeting.ts";
import { agreeOnDirectory } from "../../src/distributed/shared-directory.ts";
import { failingTogether, stopTogether } from "../../src/distributed/together.ts";
import { settleEnvironment } from "../../src/forward/environment.ts";
import {
  agreeOnEnvironment,
  agreeOnInputs,
  agreeOnPlan,
  matmulOfRanks,
  openRanks,
  type Ranks,
} from "../../src/recipes/ranks.ts";
import type { Fingerprints } from "../../src/runs/run-directory.ts";
import { ops, watchStopSignals } from "../../src/torch/index.ts";
import { EpochSteps } from "../../src/train/step-source.ts";

/** What a rank does. */
export interface StartPlan {
  values: Record<string, unknown>;
  /** Directory that is to be the same for all. */
  directory?: string;
  /** What the fingerprint of the model is, and that of its rows. */
  model?: string;
  /** Seed of the order of rows, and layout, of its plan. */
  plan?: { seed: number; shard: "none" | "all" };
  rows?: string;
  /** Fails in work that it does alone, before a collective that the others wait in, or by ending without a word. */
  fails?: "in work" | "in a collective" | "at once";
  /** Does nothing in common; leaves once another rank is gone, and is busy for so long, in ms, before it ends. */
  leaves?: number;
  /** Is in work for this many seconds that nothing interrupts. */
  isBusyFor?: number;
  /** Waits this long, in ms, before it looks whether a rank was asked to stop. */
  isHeardAfter?: number;
}

const {
  values,
  directory,
  model,
  plan,
  rows: rowsDigest = "",
  fails,
  leaves,
  isBusyFor = 0,
  isHeardAfter = 0,
} = JSON.parse(process.env["PLAN"] ?? "{}") as StartPlan;

using stop = watchStopSignals();
stop.say("");

/** Holds the thread up, as a kernel does. @param time - in ms */
function beBusy(time: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, time);
}

/** Reads the verdict where the ranks leave it for each other, which is not to hear it: the first to notice has noticed then. */
async function untilRankIsGone(): Promise<void> {
  const launch = readLaunch();
  if (launch === null) throw new Error("expected the variables of a launcher");
  const store = await openStore({ ...launch, isStoreOurs: false }, 10_000);
  while (ops.storeGet(store, `${prefixOf(launch)}/lost`) === "") beBusy(20);
  beBusy(100);
}

async function started({ group, machine, resolved }: Ranks): Promise<object> {
  if (group === null) return { group: null };
  if (directory !== undefined) await agreeOnDirectory(group, directory, 1000);
  const matmul = matmulOfRanks(group, null);
  agreeOnEnvironment(group, settleEnvironment({ ...resolved.config, ...machine, dtype: "float32" }, matmul));
  if (model !== undefined)
    agreeOnInputs(group, { model, data: { rows: rowsDigest }, tokenizer: "" } as unknown as Fingerprints);
  if (plan !== undefined) {
    const rows = Array.from({ length: 12 }, (_, line) => ({
      origin: { file: "rows.jsonl", line },
      promptIds: [1],
      completions: [{ ids: [2] }, { ids: [3, 4] }],
    }));
    const keys = { ...resolved.config, seed: plan.seed, ranks: group.size };
    agreeOnPlan(group, { shard: plan.shard, keep_gathered: false }, new EpochSteps(rows, keys));
  }
  if (isHeardAfter > 0) {
    process.stdout.write("waits\n");
    await sleep(isHeardAfter);
    await stopTogether(group, stop.signal);
  }
  if (isBusyFor > 0) {
    process.stdout.write("busy\n");
    beBusy(1000 * isBusyFor);
  }
  if (leaves !== undefined) {
    await untilRankIsGone();
    return {};
  }
  if (fails === "at once") process.exit(3);
  if (fails === "in a collective") throw new TypeError("a bug");
  await agreedAsync(group, async () => {
    if (fails === "in work") throw new PreftuneError("the disk is full");
  });
  const all = group.gather(group.rank);
  const { resume_from_checkpoint } = resolved.config;
  return { all, hosts: group.hosts, ...machine, resume_from_checkpoint };
}

async function main(): Promise<object> {
  let before = 0;
  const onPhase = (_: string, come: number, size: number | null): void => {
    if (come !== before) process.stdout.write(`${come} of ${size} have come\n`);
    before = come;
  };
  const ranks = await openRanks(loadConfig({ values }), { onPhase, signal: stop.signal, endsProcess: true });
  using _ = ranks.group;
  return await failingTogether(ranks.group, () => started(ranks));
}

try {
  process.stdout.write(`${JSON.stringify(await main())}\n`);
  beBusy(leaves ?? 0);
} catch (error) {
  const { name, message } = error as Error;
  process.stdout.write(`${JSON.stringify({ name, message })}\n`);
  process.exitCode = error instanceof PreftuneError ? error.exitCode : 1;
  if (process.exitCode === exitCodes.LostRankError) setTimeout(() => process.exit(), 1000);
}
