/**
 * A run on several ranks that meets with a loss at every start, at a random moment: a rank is killed, stopped, exits, is asked to stop,
 * its host's link is cut, or the disk that all share is full. All others end soon and name it; started again on a random number of
 * ranks and other hosts, again and again, the run comes to the weights of one process, and no checkpoint is lost.
 *
 * Six rounds in `npm test`, 200 in the nightly run, several at a time, since ranks wait for each other most of the time. What a round
 * draws follows from PREFTUNE_SEED and its number. Rounds that were clean are kept with the commit: a storm that was stopped goes on.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { Random } from "../../src/base/random.ts";
import { amount, campaignSeed, isNightly, progress } from "../support/campaign.ts";
import { Hosts, skipWithoutHosts } from "../support/hosts.ts";
import { allEnded } from "../support/rank-processes.ts";
import {
  assertIntact,
  diskBytes,
  disturb,
  drawRound,
  faults,
  hostCount,
  moments,
  type Outcome,
  type Round,
  type Start,
  startRound,
} from "../support/rank-storm.ts";
import { distanceOf, runFixture, runTraining, tensorsOf, type Values } from "../support/runs.ts";

const rounds = amount(6, Number(process.env["PREFTUNE_STORM_ROUNDS"] ?? 200));
const lanes = amount(3, 4);
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
  max_steps: 12,
  eval_steps: 3,
  save_steps: 2,
  logging_steps: 1,
  save_total_limit: 3,
  // a stopped rank is found by its silence
  rank_timeout: 3,
  rank_start_timeout: 20,
};
const weights = "adapter/adapter_model.safetensors";

/** What all of it came to. */
type Tally = Record<string, number>;

/** The rounds that were clean, on this code and with this seed, and what they came to. */
class CleanRounds {
  readonly #file = join(import.meta.dirname, "../../.preftune/nightly/ranks-storm.rounds.json");
  readonly #what = JSON.stringify([process.env["PREFTUNE_COMMIT"], campaignSeed]);
  readonly done = new Set<number>();
  readonly tally: Tally = Object.fromEntries(
    [...faults, ...moments, "named", "finished"].map((of) => [of, 0]),
  );

  constructor() {
    if (!isNightly || !existsSync(this.#file)) return;
    const { what, done, tally } = JSON.parse(readFileSync(this.#file, "utf8"));
    if (what !== this.#what || what.includes("+")) return;
    for (const round of done) this.done.add(round);
    Object.assign(this.tally, tally);
  }

  count(of: string): void {
    this.tally[of] = (this.tally[of] ?? 0) + 1;
  }

  add(round: number, { fault, moment }: Round, { named }: Outcome): void {
    this.done.add(round);
    this.count(fault);
    this.count(moment);
    this.tally["named"] = (this.tally["named"] ?? 0) + named;
    if (!isNightly) return;
    mkdirSync(join(this.#file, ".."), { recursive: true });
    writeFileSync(this.#file, JSON.stringify({ what: this.#what, done: [...this.done], tally: this.tally }));
  }
}

/** Runs that are disturbed one after the other, on hosts of their own. */
class Lane implements Disposable {
  readonly #name: string;
  readonly #hosts: Hosts | null;
  /** Of runs as their ranks see it, and from here. */
  readonly #folder: string;
  readonly #fromHere: string;
  #runs = 0;
  #restarts = 0;
  #saved = 0;

  constructor(name: string, hosts: Hosts | null) {
    this.#name = name;
    this.#hosts = hosts;
    this.#folder = hosts?.disk ?? fixture.path(name);
    this.#fromHere = hosts?.diskFromHere ?? this.#folder;
    mkdirSync(this.#fromHere, { recursive: true });
  }

  /** One start of the run at hand, and what becomes of it: whether its moment came, and whether the run is complete. */
  async round(number: number, clean: CleanRounds): Promise<{ isDisturbed: boolean; isDone: boolean }> {
    const random = new Random(1000 * campaignSeed + number);
    const round = drawRound(random, number, this.#hosts !== null);
    const start = await this.#start(round);
    const dir = join(this.#fromHere, this.#run);
    try {
      const outcome = await disturb(start, random);
      const saved = assertIntact(dir);
      assert.ok(saved >= this.#saved, `step ${this.#saved} was saved, now ${saved} is the newest`);
      this.#saved = saved;
      this.#restarts += 1;
      if (outcome.isDisturbed) clean.add(number, round, outcome);
      return { ...outcome, isDone: outcome.isDone && existsSync(join(dir, weights)) };
    } catch (error) {
      throw new Error(`round ${number}, seed ${campaignSeed}: ${JSON.stringify(round)}`, { cause: error });
    } finally {
      for (const { child } of start.ranks) child.kill("SIGKILL");
    }
  }

  get #run(): string {
    return `run-${this.#runs}`;
  }

  #start(round: Round): Promise<Start> {
    const yaml = fixture.path(`${this.#name}-${this.#run}.yaml`);
    const outputDir = join(this.#folder, this.#run);
    writeFileSync(yaml, JSON.stringify({ ...recipe, shard: round.shard, output_dir: outputDir }));
    return startRound(round, this.#hosts, yaml, {
      job: `${this.#name} ${this.#run}`,
      restarts: this.#restarts,
    });
  }

  /** Lets the run at hand come to its end, where one was begun. */
  async finish(): Promise<boolean> {
    if (this.#restarts === 0) return false;
    const round = { ...drawRound(new Random(campaignSeed), 0, this.#hosts !== null), size: 2 };
    for (const { status, stderr } of await allEnded((await this.#start(round)).ranks)) {
      assert.equal(status, 0, stderr);
    }
    return true;
  }

  /** Checks the complete run against `expected` and begins another. */
  next(expected: Map<string, Float32Array>): void {
    const dir = join(this.#fromHere, this.#run);
    const far = distanceOf(tensorsOf(join(dir, weights)), expected);
    assert.ok(far < 1e-5, `weights differ by ${far}`);
    rmSync(dir, { recursive: true });
    this.#runs += 1;
    this.#restarts = 0;
    this.#saved = 0;
  }

  [Symbol.dispose](): void {
    this.#hosts?.[Symbol.dispose]();
  }
}

test("storm of lost ranks", { timeout: isNightly ? 10_000_000 : 900_000 }, async (t) => {
  const reason = skipWithoutHosts();
  if (reason !== false) t.diagnostic(`over loopback, with neither cut links nor full disks: ${reason}`);
  const alone = fixture.path("alone");
  await runTraining({ ...recipe, output_dir: alone });
  const expected = tensorsOf(join(alone, weights));
  const clean = new CleanRounds();
  const left = Array.from({ length: rounds }, (_, round) => round).filter((round) => !clean.done.has(round));
  const tell = progress();
  const finished = (lane: Lane): void => {
    lane.next(expected);
    clean.count("finished");
  };
  const inLane = async (_: unknown, number: number): Promise<void> => {
    using lane = new Lane(
      `lane-${number}`,
      reason === false ? await Hosts.start(hostCount, diskBytes) : null,
    );
    for (let round = left.shift(); round !== undefined; round = left.shift()) {
      const { isDisturbed, isDone } = await lane.round(round, clean);
      // the moment did not come before the run's end: it does in the next run
      if (!isDisturbed) left.unshift(round);
      if (isDone) finished(lane);
      tell(() => `${clean.done.size} of ${rounds} rounds: ${JSON.stringify(clean.tally)}`);
    }
    if (await lane.finish()) finished(lane);
  };
  const ends = await Promise.allSettled(Array.from({ length: lanes }, inLane));
  const failed = ends.filter((end) => end.status === "rejected");
  console.log(`${clean.done.size} rounds, seed ${campaignSeed}: ${JSON.stringify(clean.tally)}`);
  assert.deepEqual(
    failed.map(({ reason: why }) => why),
    [],
  );
});
