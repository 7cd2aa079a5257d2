/** The processes of a run as a group: they meet in a store, pass numbers to each other, and notice when one is lost. */
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { ConfigError, exitCodes, type LostRankError, messageOf } from "../base/errors.ts";
import { parseNumbers, stringifyNumbers } from "../base/json-numbers.ts";
import { itemSize, loadNccl, ops, scope, type Tensor, tensor } from "../torch/index.ts";
import type { Launch } from "./launch.ts";
import { type ComingListener, lostRank, meet, nameOf, openStore, prefixOf, theRunEnds } from "./meeting.ts";
import type { StoppedEarlyError } from "./stopped-early.ts";

/** Limits of a group. */
export interface GroupLimits {
  /** Seconds in which all ranks have to come. */
  rank_start_timeout: number;
  /** Seconds without a sign of life after which a rank is lost. */
  rank_timeout: number;
}

/** Bytes of a text that one collective carries, and of its length before it. */
const [usualText, lengthBytes] = [4092, 4];

/** Time after which the store is asked again. */
const storePollMs = 50;
/** Time in which the rank that a store is lost with is found. */
const storePatienceMs = 10_000;

/** A collective under way. Its tensors must not be touched until it was waited for. */
export interface Pending {
  /** @throws {LostRankError} naming the rank that is lost */
  wait(): void;
}

/** Options of `RankGroup.join`. */
export interface JoinOptions {
  onComing?: ComingListener | undefined;
  /** Ends the wait for others. */
  signal?: AbortSignal | undefined;
  /**
   * Whether the process ends, with its status and a line on standard error, when a rank is lost while this one is in a kernel or a
   * write: for programs that do nothing else.
   */
  endsProcess?: boolean | undefined;
}

/** A collective as all ranks of a group see it. */
export interface Collective {
  operation: "allGather" | "exchange" | "allReduce" | "broadcast" | "barrier";
  /** What the numbers are of: a unit of the model, say. */
  of: string;
  /** Of the whole tensor: the output of `allGather`, the input of `exchange`. */
  bytes: number;
}

/** What the groups of a process share. */
interface Shared {
  launch: Launch;
  hosts: number[][];
  store: number;
  beats: number;
  /** This host's address, as the others reach it. */
  address: string;
  timeout: number;
  /** Whether a rank is lost: what the group of the addon waits for does not come. */
  isLost: boolean;
  record: Collective[] | null;
  hasGpus: boolean;
  usage: GroupUsage;
  /** How often ranks have met by `gatherFrom`. */
  givings: number;
}

/** What the collectives of this process have taken since it joined. */
export interface GroupUsage {
  /** Seconds in which it waited for them. Those of GPUs are not among them: NCCL lets the GPU wait. */
  waited: number;
  /** Bytes that it sent by those of numbers, by the least that each operation takes: what Gloo and NCCL send. */
  sent: number;
}

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
  readonly #shared: Shared;
  #group: number;
  readonly #isPart: boolean;
  /** Collectives that were not waited for. */
  #open = 0;

  private constructor(
    { rank, size }: { rank: number; size: number },
    shared: Shared,
    group: number,
    isPart = false,
  ) {
    this.launch = shared.launch;
    this.hosts = shared.hosts;
    this.rank = rank;
    this.size = size;
    this.name = nameOf(shared.launch);
    this.#shared = shared;
    this.#group = group;
    this.#isPart = isPart;
  }

  /**
   * Meets the other ranks.
   *
   * @throws {ConfigError} naming the ranks that have not come, or the address that cannot be reached
   * @throws {LostRankError} with what another rank failed with before it came
   * @throws {StoppedEarlyError} if one that waits for others is asked to stop
   */
  static async join(
    given: Launch,
    limits: GroupLimits,
    { onComing = () => {}, signal, endsProcess = false }: JoinOptions = {},
  ): Promise<RankGroup> {
    const timeout = 1000 * limits.rank_start_timeout;
    const store = await openStore(given, timeout, signal);
    const self = `host ${hostname()}, pid ${process.pid}`;
    const { launch, hosts, address } = await meet(store, given, { self, timeout, onComing, signal });
    const { rank, size, host, port } = launch;
    const prefix = prefixOf(launch);
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
    if (endsProcess) ops.beatsEndProcess(beats, exitCodes.LostRankError, theRunEnds);
    const shared = {
      launch,
      hosts,
      store,
      beats,
      address,
      timeout,
      isLost: false,
      record: null,
      hasGpus: false,
      usage: { waited: 0, sent: 0 },
      givings: 0,
    };
    try {
      const group = ops.groupJoin(store, `${prefix}/group`, rank, size, address, timeout, beats);
      ops.groupWatchNext(group, beats);
      return new RankGroup(launch, shared, group);
    } catch (error) {
      const verdict = ops.beatsVerdict(beats);
      ops.beatsEnd(beats);
      throw verdict === "" ? error : lostRank(verdict, error);
    }
  }

  /**
   * A group of some ranks of this one, which all of them make at the same time; it shares the store and the beats, and is disposed
   * of before this one. Its ranks count from 0.
   *
   * @param name - unique in the run @param ranks - of this group, this rank among them, in the order that they have in the new one
   */
  split(name: string, ranks: readonly number[]): RankGroup {
    const { store, address, timeout, beats } = this.#shared;
    const place = { rank: ranks.indexOf(this.rank), size: ranks.length };
    const key = `${prefixOf(this.launch)}/${name}/${ranks.join(",")}`;
    const group = this.#named(() =>
      ops.groupJoin(store, key, place.rank, place.size, address, timeout, beats),
    );
    return new RankGroup(place, this.#shared, this.#withGpus(group, key), true);
  }

  /**
   * Has what lies on GPUs sent by NCCL; all ranks of the group call it.
   *
   * @throws {ConfigError} if there is no part for NCCL beside the addon
   */
  joinGpus(): void {
    if (!loadNccl()) {
      throw new ConfigError(
        "several GPUs send by NCCL, and the addon's part for it is missing. " +
          'The line "ranks" of "preftune doctor" says why, and what gets it. Or set device: cpu, or start one process.',
      );
    }
    this.#shared.hasGpus = true;
    this.#group = this.#withGpus(this.#group, `${prefixOf(this.launch)}/group`);
  }

  /** The group, of NCCL too where the run's ranks have GPUs. */
  #withGpus(group: number, key: string): number {
    const { store, beats, hasGpus } = this.#shared;
    return hasGpus ? this.#named(() => ops.groupJoinGpu(group, store, `${key}/gpus`, beats)) : group;
  }

  /** Begins to note the collectives of this process, those of parts of the group too; the list grows while they are begun. */
  record(): readonly Collective[] {
    this.#shared.record ??= [];
    return this.#shared.record;
  }

  /** Whether what lies on GPUs is sent by NCCL. */
  get hasGpus(): boolean {
    return this.#shared.hasGpus;
  }

  /** What collectives have taken so far, those of parts of the group too. */
  get usage(): Readonly<GroupUsage> {
    return this.#shared.usage;
  }

  /** Says what this rank does, for the others' messages should it be lost: "step 1240, saving". */
  note(doing: string): void {
    ops.beatsNote(this.#shared.beats, doing);
  }

  /** @throws {LostRankError} if a rank is lost */
  check(): void {
    const verdict = ops.beatsVerdict(this.#shared.beats);
    if (verdict !== "") throw this.#lost(verdict);
  }

  /** Tells the others that this rank fails and why: what they wait for in common ends with it. The group is of no use from then on. */
  fail(error: unknown): void {
    if (this.#shared.isLost) return;
    this.#shared.isLost = true;
    ops.beatsFail(this.#shared.beats, messageOf(error));
  }

  /**
   * The parts of all ranks, in order.
   *
   * @param output - (size · n) @param input - (n), which may be this rank's part of `output` @param of - see `Collective`
   */
  allGather(output: Tensor, input: Tensor, of = ""): Pending {
    return this.#begin("allGather", of, output, () => ops.groupAllGather(output, input, this.#group));
  }

  /**
   * Gives each rank its part of `input`; `output` gets the parts for this rank, in order of the ranks.
   *
   * @param output - (size · n) @param counts - numbers of `input` for each rank, n for this one; empty: equally many
   */
  exchange(output: Tensor, input: Tensor, counts: readonly number[] = [], of = ""): Pending {
    return this.#begin("exchange", of, input, () => ops.groupExchange(output, input, counts, this.#group));
  }

  /** Adds the numbers of all ranks up, in place. */
  allReduce(values: Tensor, of = ""): Pending {
    return this.#begin("allReduce", of, values, () => ops.groupAllReduce(values, this.#group));
  }

  /** Gives all ranks the numbers of rank `from`. */
  broadcast(values: Tensor, from: number, of = ""): Pending {
    return this.#begin("broadcast", of, values, () => ops.groupBroadcast(values, from, this.#group));
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
    this.allGather(all, tensor(own), "texts").wait();
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

  /**
   * What `givers` give, in their order, once all of them have. It is waited for in the store: no collective is pending, and while all
   * ranks give signs of life it may take hours. All ranks of the run call it.
   *
   * @param value - of a rank that is a giver; small, as JSON has it
   * @throws {LostRankError} if a rank is lost
   */
  async gatherFrom<T>(givers: readonly number[], value: T): Promise<T[]> {
    const { store } = this.#shared;
    const key = `${prefixOf(this.launch)}/given/${this.#shared.givings++}`;
    if (givers.includes(this.rank)) {
      await this.#inStore(() => ops.storeSet(store, `${key}/${this.rank}`, stringifyNumbers(value)));
    }
    const values: T[] = [];
    for (const giver of givers) {
      let text = "";
      while (text === "") {
        this.check();
        text = await this.#inStore(() => ops.storeGet(store, `${key}/${giver}`));
        if (text === "") await sleep(storePollMs);
      }
      values.push(parseNumbers(text) as T);
    }
    // nobody goes on, or ends, before all have read them
    this.barrier();
    return values;
  }

  /** What `act` gives; where the store fails, the beats are given time to find out which rank took it with it. */
  async #inStore<T>(act: () => T): Promise<T> {
    try {
      return act();
    } catch (error) {
      const until = performance.now() + storePatienceMs;
      while (performance.now() < until) {
        this.check();
        await sleep(storePollMs);
      }
      throw error;
    }
  }

  /** Waits for all ranks. */
  barrier(): void {
    this.#begin("barrier", "", null, () => ops.groupBarrier(this.#group)).wait();
  }

  #begin(operation: Collective["operation"], of: string, whole: Tensor | null, begin: () => number): Pending {
    const collective = this.#named(begin);
    const bytes = whole === null ? 0 : whole.numel * itemSize(whole.dtype);
    this.#shared.record?.push({ operation, of, bytes });
    const { usage } = this.#shared;
    // a rank need not send itself its part; what is added up goes round twice
    usage.sent += (bytes * (operation === "allReduce" ? 2 : 1) * (this.size - 1)) / this.size;
    this.#open++;
    return {
      wait: () => {
        const began = performance.now();
        this.#named(() => ops.groupWait(collective, this.#shared.beats));
        usage.waited += (performance.now() - began) / 1000;
        this.#open--;
      },
    };
  }

  /** What `act` gives, or an error that names the rank which is lost. */
  #named<T>(act: () => T): T {
    try {
      return act();
    } catch (error) {
      const verdict = ops.beatsVerdict(this.#shared.beats);
      throw verdict === "" ? error : this.#lost(verdict, error);
    }
  }

  #lost(verdict: string, cause?: unknown): LostRankError | StoppedEarlyError {
    this.#shared.isLost = true;
    return lostRank(verdict, cause);
  }

  [Symbol.dispose](): void {
    const { beats, store, isLost } = this.#shared;
    if (!this.#isPart) ops.beatsEnd(beats);
    // Gloo would wait for the collective that the lost rank, or the others, are missing in
    if (isLost || this.#open > 0) return;
    ops.groupLeave(this.#group);
    if (!this.#isPart) ops.storeClose(store);
  }
}
