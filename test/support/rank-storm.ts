/** One round of the storm of lost ranks: what happens to which rank in which moment, and what all must say of it. */
import assert from "node:assert/strict";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { Random } from "../../src/base/random.ts";
import { listCheckpoints, verifyCheckpoint } from "../../src/runs/checkpoints.ts";
import type { Ended, Running } from "./command.ts";
import type { Hosts } from "./hosts.ts";
import { allEnded, freePort, placesOn, startRanks, type Variables } from "./rank-processes.ts";

export const faults = ["SIGKILL", "SIGSTOP", "exit", "SIGTERM", "cut link", "full disk"] as const;
type Fault = (typeof faults)[number];
export const moments = ["loading", "step", "evaluation", "saving", "export"] as const;
type Moment = (typeof moments)[number];

/** Hosts that ranks are started on. */
export const hostCount = 4;
/** Size of their disk: room for two runs of the storm. */
export const diskBytes: number = 64 * 2 ** 20;

/** Milliseconds in which all ranks of a run must have ended after one is lost. */
const patience = 90_000;

/** What a round draws. */
export interface Round {
  fault: Fault;
  moment: Moment;
  size: number;
  victim: number;
  shard: "none" | "all";
  /** The host of each rank; all 0 where there are no hosts. */
  places: number[];
}

/** What round `number` is; faults come by turns, those that need hosts only where there are some. */
export function drawRound(random: Random, number: number, hasHosts: boolean): Round {
  const size = 2 + random.below(3);
  const possible = hasHosts ? faults : faults.slice(0, 4);
  const fault = possible[number % possible.length] ?? "SIGKILL";
  const first = hasHosts ? random.below(hostCount) : 0;
  const isApart = random.below(2) === 0 || fault === "cut link";
  return {
    fault,
    moment: random.pick(moments),
    size,
    victim: random.below(size),
    shard: random.pick(["none", "all"] as const),
    places: Array.from({ length: size }, (_, rank) =>
      hasHosts && isApart ? (first + rank) % hostCount : first,
    ),
  };
}

/** The ranks of a start of the run, and the hosts that they are on. */
export interface Start {
  round: Round;
  ranks: readonly Running[];
  hosts: Hosts | null;
}

/** Exits between two turns of the event loop, on SIGUSR2. */
const exitsOnSignal = `--import=data:text/javascript,${encodeURIComponent("process.on('SIGUSR2', () => process.exit(7))")}`;

/** Starts the run of `yaml` as the launcher of `job` does for the `restarts`-th time. */
export async function startRound(
  round: Round,
  hosts: Hosts | null,
  yaml: string,
  { job, restarts }: { job: string; restarts: number },
): Promise<Start> {
  const { places } = round;
  const started = {
    TORCHELASTIC_RUN_ID: job,
    TORCHELASTIC_RESTART_COUNT: String(restarts),
    NODE_OPTIONS: exitsOnSignal,
  };
  const address = hosts?.address(places[0] ?? 0);
  const variables = placesOn(places, await freePort(), address).map(
    (place): Variables => ({ ...place, ...started }),
  );
  const main = join(import.meta.dirname, "../../src/cli/main.ts");
  const ranks =
    hosts === null
      ? startRanks(["train", yaml], variables)
      : variables.map((each, rank) => hosts.start(places[rank] ?? 0, [main, "train", yaml], each));
  return { round, ranks, hosts };
}

/** What a round came to. */
export interface Outcome {
  /** Ranks that said who was lost. */
  named: number;
  isDone: boolean;
  /** Whether the run was still there when its moment came. */
  isDisturbed: boolean;
}

/** Waits for the moment of the round, does its fault, and checks how all ranks end. */
export async function disturb(start: Start, random: Random): Promise<Outcome> {
  const { round, ranks } = start;
  const all = allEnded(ranks);
  await Promise.race([momentOf(round.moment, ranks[0] as Running, random), all]);
  const { child } = ranks[round.victim] as Running;
  if (ranks.some((rank) => rank.child.exitCode !== null)) {
    const ends = await within(all, "a run that nobody disturbed");
    for (const { status, stderr } of ends) assert.equal(status, 0, stderr);
    return { named: 0, isDone: true, isDisturbed: false };
  }
  const undo = act(start, round.fault);
  try {
    // one that is stopped ends when it is killed
    const awaited = round.fault === "SIGSTOP" ? ranks.filter((_, rank) => rank !== round.victim) : ranks;
    await within(allEnded(awaited), `${round.fault} of rank ${round.victim}`);
    child.kill("SIGKILL");
    return judge(start, await within(all, `rank ${round.victim} itself`));
  } finally {
    undo();
  }
}

async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  const late = Symbol("late");
  const first = await Promise.race([promise, wait(patience, late, { ref: false })]);
  if (first === late) assert.fail(`${what}: not ended after ${patience / 1000} s`);
  return first as T;
}

/** Comes at a random time of what the run is to be at, as rank 0 prints it, or not at all. */
async function momentOf(moment: Moment, first: Running, random: Random): Promise<void> {
  const never = new Promise<void>(() => {});
  const [early, some, brief] = [random.below(2500), random.below(40), random.below(15)];
  const steps = 1 + random.below(4);
  const comes = {
    loading: () => Promise.race([wait(early), first.saw('"grad_norm"')]),
    step: () => rows(first, steps).then(() => wait(some)),
    evaluation: () => first.said('"phase":"evaluation at step').then(() => wait(brief)),
    // a checkpoint is written after each second row
    saving: () => rows(first, steps).then(() => wait(brief)),
    export: () => first.said('"phase":"export"').then(() => wait(some)),
  }[moment];
  await comes().catch(() => never);
}

/** Resolves when so many rows of steps have been printed. */
async function rows({ child, saw }: Running, count: number): Promise<void> {
  let seen = 0;
  const enough = new Promise<void>((resolve) => {
    child.stdout?.on("data", (chunk: Buffer) => {
      seen += chunk.toString().split('"grad_norm"').length - 1;
      if (seen >= count) resolve();
    });
  });
  await saw('"grad_norm"');
  await enough;
}

/** Does the fault; gives what undoes it. */
function act({ round, ranks, hosts }: Start, fault: Fault): () => void {
  const { child } = ranks[round.victim] as Running;
  const host = round.places[round.victim] ?? 0;
  if (fault === "cut link") {
    hosts?.link(host, "down");
    return () => hosts?.link(host, "up");
  }
  if (fault === "full disk") {
    const ballast = join(hosts?.diskFromHere ?? "", "ballast");
    fill(ballast);
    return () => rmSync(ballast, { force: true });
  }
  child.kill(fault === "exit" ? "SIGUSR2" : fault);
  return () => {};
}

/** Fills the disk that `path` is on. */
function fill(path: string): void {
  for (let bytes = 2 ** 20; bytes >= 1; bytes /= 16) {
    try {
      for (;;) writeFileSync(path, Buffer.alloc(bytes), { flag: "a" });
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOSPC") throw error;
    }
  }
}

/** No rank names another than the one that is lost, and none ends by a bug. */
function judge({ round, ranks }: Start, ends: readonly Ended[]): Outcome {
  const { fault, victim } = round;
  const isDone = ends.every(({ status }, rank) => status === 0 || (fault === "SIGSTOP" && rank === victim));
  let named = 0;
  for (const [rank, { status, stderr, signal }] of ends.entries()) {
    const what = `${fault} of rank ${victim} of ${ranks.length}, rank ${rank}, status ${status}: ${stderr}`;
    if (rank === victim && fault !== "cut link" && fault !== "full disk" && fault !== "SIGTERM") continue;
    // the run had ended; before it listens to signals, one kills a rank
    if (status === 0 || (fault === "SIGTERM" && rank === victim && signal === "SIGTERM")) continue;
    assert.notEqual(status, 1, what);
    const said = /preftune: (.*)/s.exec(stderr)?.[1] ?? "";
    if (isNamed(round, rank, said, what)) named += 1;
  }
  return { named, isDone, isDisturbed: true };
}

/** Whether `said` names who is lost, who must be the right one. */
function isNamed({ fault, victim }: Round, rank: number, said: string, what: string): boolean {
  if (fault === "full disk") {
    assert.match(said, /disk is full|ENOSPC|are needed/, what);
    return true;
  }
  if (fault === "SIGTERM" && /was asked to stop|stopped after step/.test(said)) return false;
  const missing = /missing: ([\d, ]+)\./.exec(said)?.[1]?.split(", ").map(Number);
  if (missing !== undefined) {
    // those that a cut link lies before, or behind
    assert.ok(missing.includes(victim) || fault === "cut link", what);
    return true;
  }
  const lost = /^rank (\d+) \(host|^rank (\d+) gave no sign of life/.exec(said);
  if (lost === null) {
    assert.match(said, /cannot be reached|cannot connect|has not come/, what);
    return false;
  }
  const who = Number(lost[1] ?? lost[2]);
  // for one whose link is cut the others are gone
  if (fault === "cut link" && rank === victim) assert.notEqual(who, rank, what);
  else assert.equal(who, victim, what);
  return true;
}

/** The newest step that is saved under `run`, of which no checkpoint is damaged. */
export function assertIntact(run: string): number {
  const folder = join(run, "checkpoints");
  if (!existsSync(folder)) return 0;
  const all = listCheckpoints(folder);
  for (const checkpoint of all) assert.deepEqual(verifyCheckpoint(checkpoint), [], checkpoint.path);
  return all.at(-1)?.step ?? 0;
}
