/** The processes of a run as a group: they meet in a store, pass numbers to each other, and notice when one is lost. */
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { ConfigError, LostRankError, messageOf } from "../base/errors.ts";
import { parseNumbers, stringifyNumbers } from "../base/json-numbers.ts";
import { readFileBytes } from "../base/open-file.ts";
import { ops, scope, type Tensor, tensor } from "../torch/index.ts";
import type { Launch } from "./launch.ts";

/** Limits of a group. */
export interface GroupLimits {
  /** Seconds in which all ranks have to come. */
  rank_start_timeout: number;
  /** Seconds without a sign of life after which a rank is lost. */
  rank_timeout: number;
}

/** Longest time of a collective, in ms: lost ranks are noticed by their beats, long before. */
const longest = 7 * 24 * 3600 * 1000;
/** Bytes of a text that one collective carries, and of its length before it. */
const [usualText, lengthBytes] = [4092, 4];
/** What the word of a rank that fails begins with, among the verdicts that name a silent one. */
const failing = "failed: ";

/** A collective under way. Its tensors must not be touched until it was waited for. */
export interface Pending {
  /** @throws {LostRankError} naming the rank that is lost */
  wait(): void;
}

/** Called with how many ranks have come, of how many. */
export type ComingListener = (come: number, size: number) => void;

/** This process among the others of a run. */
export class RankGroup implements Disposable {
  readonly rank: number;
  readonly size: number;
  readonly launch: Launch;
  /** Name of the host that this rank runs on. */
  readonly host: string = hostname();
  /** The ranks of each host, ascending, in order of their first. */
  readonly hosts: readonly (readonly number[])[];
  /** This rank in a message: "rank 2 (host b, pid 812)". */
  readonly name: string;
  readonly #store: number;
  readonly #beats: number;
  readonly #group: number;
  #isLost = false;

  private constructor(
    launch: Launch,
    hosts: readonly (readonly number[])[],
    handles: { store: number; beats: number; group: number },
  ) {
    this.launch = launch;
    this.hosts = hosts;
    this.rank = launch.rank;
    this.size = launch.size;
    this.name = nameOf(launch);
    this.#store = handles.store;
    this.#beats = handles.beats;
    this.#group = handles.group;
  }

  /**
   * Meets the other ranks.
   *
   * @throws {ConfigError} naming the ranks that have not come, or the address that cannot be reached
   * @throws {LostRankError} with what another rank failed with before it came
   */
  static async join(
    launch: Launch,
    limits: GroupLimits,
    onComing: ComingListener = () => {},
  ): Promise<RankGroup> {
    const { rank, size, host, port } = launch;
    const prefix = prefixOf(launch);
    const timeout = 1000 * limits.rank_start_timeout;
    const store = openStore(launch, timeout);
    const self = `host ${hostname()}, pid ${process.pid}`;
    const hosts = await meet(store, launch, { self, timeout, onComing });
    const beats = ops.beatsBegin(
      host,
      port,
      prefix,
      rank,
      size,
      self,
      launch.isStoreOurs,
      1000 * limits.rank_timeout,
    );
    const address = ops.addressTowards(host, port);
    const group = ops.groupJoin(store, `${prefix}/group`, rank, size, address, longest);
    return new RankGroup(launch, hosts, { store, beats, group });
  }

  /** Says what this rank does, for the others' messages should it be lost: "step 1240, saving". */
  note(doing: string): void {
    ops.beatsNote(this.#beats, doing);
  }

  /** @throws {LostRankError} if a rank is lost */
  check(): void {
    const verdict = ops.beatsVerdict(this.#beats);
    if (verdict !== "") throw this.#lost(verdict);
  }

  /** Tells the others that this rank fails and why: what they wait for in common ends with it. The group is of no use from then on. */
  fail(error: unknown): void {
    if (this.#isLost) return;
    this.#isLost = true;
    leaveWord(this.#store, this.launch, error);
  }

  /** The parts of all ranks, in order. @param output - (size · n) @param input - (n) */
  allGather(output: Tensor, input: Tensor): Pending {
    return this.#pending(ops.groupAllGather(output, input, this.#group));
  }

  /**
   * Gives each rank its part of `input`; `output` gets the parts for this rank, in order of the ranks.
   *
   * @param output - (size · n) @param counts - numbers of `input` for each rank, n for this one; left out: equally many
   */
  exchange(output: Tensor, input: Tensor, counts: readonly number[] = []): Pending {
    return this.#pending(ops.groupExchange(output, input, counts, this.#group));
  }

  /** Adds the numbers of all ranks up, in place. */
  allReduce(values: Tensor): Pending {
    return this.#pending(ops.groupAllReduce(values, this.#group));
  }

  /** Gives all ranks the numbers of rank `from`. */
  broadcast(values: Tensor, from: number): Pending {
    return this.#pending(ops.groupBroadcast(values, from, this.#group));
  }

  /** What each rank gives, in order of the ranks: something small, as JSON has it, and numbers that are not finite. */
  gather<T>(value: T): T[] {
    const text = new TextEncoder().encode(stringifyNumbers(value));
    let { texts, longest } = this.#gatherTexts(text, usualText);
    if (longest > usualText) ({ texts } = this.#gatherTexts(text, longest));
    return texts.map((one) => parseNumbers(new TextDecoder().decode(one)) as T);
  }

  /** One collective: the texts of all ranks, each cut to `room` bytes, and the length of the longest. */
  #gatherTexts(text: Uint8Array, room: number): { texts: Uint8Array[]; longest: number } {
    using _ = scope();
    const own = new Uint8Array(lengthBytes + room);
    new DataView(own.buffer).setUint32(0, text.length);
    own.set(text.subarray(0, room), lengthBytes);
    const all = ops.zeros([this.size * own.length], { dtype: "uint8" });
    this.allGather(all, tensor(own)).wait();
    const bytes = all.data() as Uint8Array<ArrayBuffer>;
    const slots = Array.from({ length: this.size }, (_, r) =>
      bytes.subarray(r * own.length, (r + 1) * own.length),
    );
    const lengths = slots.map((slot) => new DataView(slot.buffer, slot.byteOffset).getUint32(0));
    const texts = slots.map((slot, r) =>
      slot.subarray(lengthBytes, lengthBytes + Math.min(room, lengths[r] ?? 0)),
    );
    return { texts, longest: Math.max(...lengths) };
  }

  /** Waits for all ranks. */
  barrier(): void {
    this.#pending(ops.groupBarrier(this.#group)).wait();
  }

  #pending(work: number): Pending {
    return {
      wait: () => {
        try {
          ops.groupWait(work, this.#beats);
        } catch (error) {
          const verdict = ops.beatsVerdict(this.#beats);
          throw verdict === "" ? error : this.#lost(verdict, error);
        }
      },
    };
  }

  #lost(verdict: string, cause?: unknown): LostRankError {
    this.#isLost = true;
    return lostRank(verdict, cause);
  }

  [Symbol.dispose](): void {
    ops.beatsEnd(this.#beats);
    // Gloo would wait for the collective that the lost rank is missing in
    if (this.#isLost) return;
    ops.groupLeave(this.#group);
    ops.storeClose(this.#store);
  }
}

function openStore({ host, port, rank, isStoreOurs }: Launch, timeout: number): number {
  const serves = isStoreOurs && rank === 0;
  try {
    return ops.storeOpen(host, port, serves, timeout);
  } catch (error) {
    const what = serves
      ? `rank 0 cannot listen on port ${port}: another program has it, or ${host} is not this host. Set MASTER_PORT to a free port`
      : `the store at ${host}:${port} cannot be reached. Check MASTER_ADDR and MASTER_PORT, that rank 0 was started, and that no firewall is between`;
    throw new ConfigError(`MASTER_ADDR ${host}, MASTER_PORT ${port}: ${what}.`, { cause: error });
  }
}

/** Keys of the store begin so, differently for each start of the run. */
function prefixOf({ restarts }: Launch): string {
  return `preftune/${restarts}`;
}

function nameOf({ rank }: Launch): string {
  return `rank ${rank} (host ${hostname()}, pid ${process.pid})`;
}

function lostRank(verdict: string, cause?: unknown): LostRankError {
  const text = verdict.startsWith(failing)
    ? verdict.slice(failing.length)
    : `${verdict}. The run ends; resume it from its last checkpoint.`;
  return new LostRankError(text, { cause });
}

/** Leaves what this rank fails with where the others look for lost ranks. The first word counts. */
function leaveWord(store: number, launch: Launch, error: unknown): void {
  try {
    if (ops.storeAdd(store, `${prefixOf(launch)}/words`, 1) > 1) return;
    ops.storeSet(store, `${prefixOf(launch)}/lost`, `${failing}${nameOf(launch)}: ${messageOf(error)}`);
  } catch {
    // a store that is gone: the others notice that themselves
  }
}

/** Time in which a store is looked for, and ranks that fail are waited for, in ms. */
const brief = 10_000;

/** Tells the other ranks, which wait for this one, that it fails before it has come, and why. */
export async function tellOthers(launch: Launch, error: unknown): Promise<void> {
  let store: number;
  try {
    store = openStore(launch, brief);
  } catch {
    return;
  }
  leaveWord(store, launch, error);
  ops.storeAdd(store, `${prefixOf(launch)}/here/count/${launch.rank}`, 1);
  if (!launch.isStoreOurs || launch.rank !== 0) return;
  // the store goes with this process
  const until = performance.now() + brief;
  const isHere = (rank: number) => ops.storeGet(store, `${prefixOf(launch)}/here/count/${rank}`) !== "";
  const all = Array.from({ length: launch.size }, (_, rank) => rank);
  while (!all.every(isHere) && performance.now() < until) await sleep(50);
  await sleep(500);
}

interface Meeting {
  self: string;
  timeout: number;
  onComing: ComingListener;
}

/** Says that this rank is here and waits for the others; the ranks of each host. */
async function meet(
  store: number,
  launch: Launch,
  { self, timeout, onComing }: Meeting,
): Promise<number[][]> {
  const { rank, size } = launch;
  const key = `${prefixOf(launch)}/here`;
  const everyone = Array.from({ length: size }, (_, r) => r);
  const before = ops.storeAdd(store, `${key}/count/${rank}`, 1);
  const other = ops.storeGet(store, `${key}/${rank}`);
  if (before > 1) {
    throw new ConfigError(
      `rank ${rank} is there twice: ${other} and ${self}. Each process needs a RANK of its own.`,
    );
  }
  ops.storeSet(store, `${prefixOf(launch)}/machine/${rank}`, machineId());
  ops.storeSet(store, `${key}/${rank}`, self);
  const until = performance.now() + timeout;
  for (;;) {
    const missing = everyone.filter((r) => ops.storeGet(store, `${key}/${r}`) === "");
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
  }
  return [...Map.groupBy(everyone, (r) => ops.storeGet(store, `${prefixOf(launch)}/machine/${r}`)).values()];
}

/** Tells this host from others: names may be the same on several, and containers of one host have names of their own. */
function machineId(): string {
  return `${hostname()} ${readFileBytes("/proc/sys/kernel/random/boot_id").toString("latin1").trim()}`;
}
