/** How ranks meet: in a store that one of them, or their launcher, serves; what each says there of itself, and of its failure. */
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { ConfigError, LostRankError, messageOf, TorchError } from "../base/errors.ts";
import { readFileBytes } from "../base/open-file.ts";
import { ops } from "../torch/index.ts";
import type { Launch } from "./launch.ts";
import { answerRound, enterRound } from "./rounds.ts";
import { StoppedEarlyError } from "./stopped-early.ts";

/** Called with how many ranks have come, of how many. */
export type ComingListener = (come: number, size: number) => void;

/** What the word of a rank that fails begins with, among the verdicts that name a silent one. */
const failing = "failed: ";
/** And that of one that is asked to stop while it waits for others. */
const stopping = "stopped: ";
/** Longest time, in ms, in which no signal is heard while the store is looked for. */
const slice = 2000;

/** Key of the address that a rank's host has on the way to the store. */
function addressKey(launch: Launch, rank: number): string {
  return `${prefixOf(launch)}/address/${rank}`;
}

/**
 * This host's address, as the others reach it, once all ranks have said theirs. Seen from the store's own host that may be 127.0.0.1,
 * as its name resolves there: then it is the one from which this host reaches another.
 */
function ownAddress(store: number, launch: Launch): string {
  const { rank, size, port } = launch;
  const said = (r: number) => ops.storeGet(store, addressKey(launch, r));
  const isLocal = (address: string) => address.startsWith("127.") || address === "::1";
  const own = said(rank);
  if (!isLocal(own)) return own;
  for (let r = 0; r < size; r++) if (!isLocal(said(r))) return ops.addressTowards(said(r), port);
  return own;
}

/** Opens the store; another rank's is looked for until `timeout` ms have passed, or the signal comes. */
export async function openStore(launch: Launch, timeout: number, signal?: AbortSignal): Promise<number> {
  const { host, port, rank, size, localSize, isStoreOurs } = launch;
  const serves = isStoreOurs && rank === 0;
  const until = performance.now() + timeout;
  for (;;) {
    const left = until - performance.now();
    try {
      return ops.storeOpen(host, port, serves, localSize === size, Math.max(1, Math.min(left, slice)));
    } catch (error) {
      if (serves || left <= slice) throw noStore(launch, serves, error);
    }
    await sleep(100);
    if (signal?.aborted === true) throw new StoppedEarlyError(`rank ${rank} (host ${hostname()})`);
  }
}

function noStore({ host, port }: Launch, serves: boolean, cause: unknown): ConfigError {
  const what = serves
    ? `rank 0 cannot listen on port ${port}: another program has it, or ${host} is not this host. Set MASTER_PORT to a free port, MASTER_ADDR to this host`
    : `the store at ${host}:${port} cannot be reached. Check MASTER_ADDR and MASTER_PORT, that rank 0 was started, that no other program has its port, and that no firewall is between`;
  return new ConfigError(`MASTER_ADDR ${host}, MASTER_PORT ${port}: ${what}.`, { cause });
}

/** Keys of the store begin so, differently for each start of the run. */
export function prefixOf({ round }: Launch): string {
  return `preftune/${round}`;
}

export function nameOf({ rank }: Launch): string {
  return `rank ${rank} (host ${hostname()}, pid ${process.pid})`;
}

/** What follows the verdict on a rank that is gone. */
export const theRunEnds = ". The run ends; resume it from its last checkpoint.";

export function lostRank(verdict: string, cause?: unknown): LostRankError | StoppedEarlyError {
  if (verdict.startsWith(stopping)) return new StoppedEarlyError(verdict.slice(stopping.length));
  const text = verdict.startsWith(failing) ? verdict.slice(failing.length) : verdict + theRunEnds;
  return new LostRankError(text, { cause });
}

/** Leaves what this rank fails with where the others look for lost ranks. The first word counts. */
function leaveWord(store: number, launch: Launch, error: unknown): void {
  try {
    if (ops.storeAdd(store, `${prefixOf(launch)}/words`, 1) > 1) return;
    const word =
      error instanceof StoppedEarlyError
        ? stopping + error.who
        : `${failing}${nameOf(launch)}: ${messageOf(error)}`;
    ops.storeSet(store, `${prefixOf(launch)}/lost`, word);
  } catch {
    // a store that is gone: the others notice that themselves
  }
}

/** Time in which a store is looked for, and ranks that fail are waited for, in ms. */
const brief = 10_000;
/** Time in which others read what is left for them, in ms. */
const reading = 1000;

/** Tells the other ranks, which wait for this one, that it fails before it has come, and why. */
export async function tellOthers(given: Launch, error: unknown): Promise<void> {
  try {
    const store = await openStore(given, brief);
    const launch = await enterRound(store, given, { timeout: brief });
    leaveWord(store, launch, error);
    ops.storeAdd(store, `${prefixOf(launch)}/here/count/${launch.rank}`, 1);
    if (launch.rank === 0) await untilAllAreHere(store, launch);
  } catch {
    // a store that cannot be reached, or is gone: the others notice that themselves
  }
}

/** On rank 0, whose process the store goes with, or the number of this start. */
async function untilAllAreHere(store: number, launch: Launch): Promise<void> {
  const until = performance.now() + brief;
  const isHere = (rank: number) => ops.storeGet(store, `${prefixOf(launch)}/here/count/${rank}`) !== "";
  const all = Array.from({ length: launch.size }, (_, rank) => rank);
  while (!all.every(isHere) && performance.now() < until) {
    answerRound(store, launch);
    await sleep(50);
  }
  await sleep(reading);
}

/** How a rank waits for the others. */
interface Meeting {
  self: string;
  timeout: number;
  onComing: ComingListener;
  signal: AbortSignal | undefined;
}

/** How the ranks have met. */
interface Met {
  /** With the number of this start. */
  launch: Launch;
  /** The ranks of each host. */
  hosts: number[][];
  /** This host's, as the others reach it. */
  address: string;
}

/**
 * Says that this rank is here and waits for the others.
 *
 * @throws {ConfigError} naming the ranks that have not come, or that are there twice
 * @throws {LostRankError} with what another rank has failed with meanwhile, or if the store is gone
 * @throws {StoppedEarlyError} if a rank is asked to stop meanwhile
 */
export async function meet(store: number, given: Launch, meeting: Meeting): Promise<Met> {
  try {
    const launch = await enterRound(store, given, meeting);
    try {
      const hosts = await untilAllCome(store, launch, meeting);
      return { launch, hosts, address: ownAddress(store, launch) };
    } catch (error) {
      // the store may go with this process: the others are to read why
      if (launch.rank === 0) await leaveWordInTime(store, launch, error);
      throw error;
    }
  } catch (error) {
    throw error instanceof TorchError ? storeIsLost(given, error) : error;
  }
}

async function leaveWordInTime(store: number, launch: Launch, error: unknown): Promise<void> {
  leaveWord(store, launch, error);
  await sleep(reading);
}

function storeIsLost({ host, port, isStoreOurs }: Launch, cause: unknown): LostRankError {
  const whose = isStoreOurs
    ? "rank 0, whose store the ranks meet in,"
    : "the launcher's store, in which the ranks meet,";
  const [why = ""] = messageOf(cause).split("\n");
  const here = `(host ${hostname()}, pid ${process.pid})`;
  return new LostRankError(`${whose} at ${host}:${port} cannot be reached from here ${here}: ${why}`, {
    cause,
  });
}

async function untilAllCome(
  store: number,
  launch: Launch,
  { self, timeout, onComing, signal }: Meeting,
): Promise<number[][]> {
  const { rank, size } = launch;
  const key = `${prefixOf(launch)}/here`;
  const everyone = Array.from({ length: size }, (_, r) => r);
  const before = ops.storeAdd(store, `${key}/count/${rank}`, 1);
  const other = cameAs(ops.storeGet(store, `${key}/${rank}`));
  if (before > 1) {
    throw new ConfigError(
      `rank ${rank} is there twice: ${other?.self ?? "another process"} and ${self}. Each process needs a RANK of its own.`,
    );
  }
  ops.storeSet(store, `${prefixOf(launch)}/machine/${rank}`, machineId());
  ops.storeSet(store, addressKey(launch, rank), ops.addressTowards(launch.host, launch.port));
  ops.storeSet(store, `${key}/${rank}`, JSON.stringify({ self, size } satisfies Came));
  const until = performance.now() + timeout;
  for (;;) {
    answerRound(store, launch);
    const came = everyone.map((r) => cameAs(ops.storeGet(store, `${key}/${r}`)));
    requireSameSize(came);
    const missing = everyone.filter((r) => came[r] === null);
    const word = ops.storeGet(store, `${prefixOf(launch)}/lost`);
    if (word !== "") throw lostRank(word);
    onComing(size - missing.length, size);
    if (missing.length === 0) break;
    if (performance.now() > until) {
      const seconds = Math.round(timeout / 1000);
      throw new ConfigError(
        `after ${seconds} s ${size - missing.length} of ${size} ranks have come; missing: ${missing.join(", ")}. ` +
          "See what these processes printed, or whether they were started with the same MASTER_ADDR and MASTER_PORT.",
      );
    }
    await sleep(50);
    if (signal?.aborted === true) {
      const stopped = new StoppedEarlyError(`rank ${rank} (host ${hostname()})`);
      leaveWord(store, launch, stopped);
      throw stopped;
    }
  }
  return [...Map.groupBy(everyone, (r) => ops.storeGet(store, `${prefixOf(launch)}/machine/${r}`)).values()];
}

/** What a rank says of itself: where it is, and of how many ranks it takes itself to be one. */
interface Came {
  self: string;
  size: number;
}

/** Null where it has not come. */
function cameAs(text: string): Came | null {
  return text === "" ? null : (JSON.parse(text) as Came);
}

/** @throws {ConfigError} if two of the ranks that have come were started as ones of different numbers */
function requireSameSize(came: readonly (Came | null)[]): void {
  const said = came.flatMap((one, rank) => (one === null ? [] : [{ ...one, rank }]));
  const [first] = said;
  const other = said.find(({ size }) => size !== first?.size);
  if (first === undefined || other === undefined) return;
  const [a, b] = [first, other].map((one) => `rank ${one.rank} (${one.self}) is one of ${one.size} ranks`);
  throw new ConfigError(
    `${a}, and ${b}: expected the same number at all. Give each process the same WORLD_SIZE.`,
  );
}

/** Tells this host from others: names may be the same on several, and containers of one host have names of their own. */
function machineId(): string {
  return `${hostname()} ${readFileBytes("/proc/sys/kernel/random/boot_id").toString("latin1").trim()}`;
}
