/**
 * Trackers that work, die, stall, are full or answer garbage beside a run: it ends with the same bits, and the trainer takes as much
 * processor time as without one. In full only.
 */
import assert from "node:assert/strict";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { after, test } from "node:test";
import { sha256File } from "../../src/base/files.ts";
import { permutation } from "../../src/base/random.ts";
import { isNightly } from "../support/campaign.ts";
import { fakeTracker, type TrackerMood } from "../support/fake-trackers.ts";
import { metricsOf, runFixture, type Values } from "../support/runs.ts";

const fixture = runFixture({
  ...{ rows: 64, held: 4 },
  config: { hidden_size: 128, intermediate_size: 512 },
});
after(() => fixture[Symbol.dispose]());

/** Every step has a row, which is more than a run of this size would send. */
const values = { ...fixture.values, num_train_epochs: 15, logging_steps: 1, save_steps: 20 };

interface Variant {
  name: string;
  /** Values of the configuration besides those of all. */
  own: Values;
  environment: Record<string, string>;
}

/** A training in a process of its own that computes a step whenever it is asked to. */
class Trainer {
  readonly name: string;
  readonly dir: string;
  readonly child: ChildProcessByStdio<Writable, Readable, null>;
  /** Processor seconds of the beginning with the first step, of each other step, and of the end. */
  readonly seconds: number[] = [];
  isOver = false;
  readonly #lines: AsyncIterator<string>;

  constructor({ name, own, environment }: Variant, round: number) {
    this.name = name;
    this.dir = fixture.path(`${name}-${round}`);
    const program = join(import.meta.dirname, "../support/train-turns-child.ts");
    const words = JSON.stringify({ ...values, ...own, output_dir: this.dir });
    this.child = spawn(process.execPath, [...process.execArgv, program, words], {
      stdio: ["pipe", "pipe", "ignore"],
      env: { ...process.env, ...environment },
    });
    this.#lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  /** Lets it compute a step, or its end. */
  async turn(): Promise<void> {
    this.child.stdin.write("\n");
    const { value, done = false } = await this.#lines.next();
    if (done) this.isOver = true;
    else this.seconds.push(Number(value));
  }

  get bits(): string[] {
    return [sha256File(join(this.dir, "model", "model.safetensors")), ...metricsOf(this.dir)];
  }
}

/** Trains all in turns, a step each, in random order: what else the machine does weighs on all alike. */
async function trainInTurns(trainers: readonly Trainer[], onTurn: () => Promise<void>): Promise<void> {
  for (let step = 0; trainers.some(({ isOver }) => !isOver); step++) {
    for (const place of permutation(trainers.length, step)) await trainers[place]?.turn();
    await onTurn();
  }
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? assert.fail("no numbers");
}

/** What the trainers at place `at` of each round took more than the first ones: the ratio of each step, and the milliseconds of both ends. */
function compared(name: string, rounds: readonly Trainer[][], at: number): { ratios: number[]; ms: number } {
  const steps = (trainer: Trainer): number[] => trainer.seconds.slice(1, -1);
  const ratios = rounds.flatMap((trainers) => {
    const [plain = assert.fail()] = trainers;
    const expected = steps(plain);
    return steps(trainers[at] ?? assert.fail()).map((seconds, i) => seconds / (expected[i] ?? assert.fail()));
  });
  const ends = (place: number): number =>
    Math.min(
      ...rounds.map((trainers) => {
        const { seconds } = trainers[place] ?? assert.fail();
        return (seconds[0] ?? assert.fail()) + (seconds.at(-1) ?? assert.fail());
      }),
    );
  const ms = 1000 * (ends(at) - ends(0));
  console.log(`${name}: ${percentMore(ratios)}, beginning and end ${ms.toFixed(0)} ms more`);
  return { ratios, ms };
}

const percentMore = (ratios: readonly number[]): string =>
  `${ratios.length} steps ${(100 * (median(ratios) - 1)).toFixed(2)} % more`;

test("beside trackers in any state a run ends with the same bits, and the trainer's processor time is the same", {
  skip: isNightly ? false : "in full only",
}, async () => {
  const moods: readonly TrackerMood[] = ["well", "well", "stalled", "full", "garbage"];
  const names = ["answering", "killed", "stalled", "full", "garbage"];
  const servers = await Promise.all(moods.map(async (mood) => Object.assign(await fakeTracker(), { mood })));
  await using stack = new AsyncDisposableStack();
  for (const server of servers) stack.use(server);
  const [, killed = assert.fail()] = servers;
  const variants: Variant[] = [{ name: "none", own: {}, environment: {} }];
  for (const [i, name] of names.entries()) {
    const url = servers[i]?.url ?? assert.fail();
    const environment = { TRACKIO_SERVER_URL: url, MLFLOW_TRACKING_URI: url };
    variants.push({ name, own: { report_to: ["trackio", "mlflow"] }, environment });
  }
  let isAlive = true;
  const rounds: Trainer[][] = [];
  for (let round = 0; round < 3; round++) {
    const trainers = variants.map((variant) => new Trainer(variant, round));
    stack.defer(() => {
      for (const { child } of trainers) child.kill("SIGKILL");
    });
    await trainInTurns(trainers, async () => {
      if (!isAlive || killed.requests.length < 2) return;
      isAlive = false;
      await killed[Symbol.asyncDispose]();
    });
    rounds.push(trainers);
  }
  assert.equal(isAlive, false);
  const [expected = []] = rounds.map(([plain]) => plain?.bits);
  for (const { bits, dir } of rounds.flat()) assert.deepEqual(bits, expected, dir);
  for (const [i, server] of servers.entries()) assert.ok(server.requests.length > 0, names[i]);

  const found = names.map((name, i) => compared(name, rounds, i + 1));
  // what the trainer does is the same in all states: together they are less at the mercy of what else the machine does
  const all = found.flatMap(({ ratios }) => ratios);
  console.log(`all: ${percentMore(all)}`);
  assert.ok(median(all) <= 1.01, `expected at most 1 % more, got ${percentMore(all)}`);
  // 1 % of a training of twenty seconds
  for (const [i, { ms }] of found.entries()) {
    assert.ok(ms <= 200, `${names[i]}: expected at most 200 ms more, got ${ms.toFixed(0)} ms`);
  }
});
