/**
 * Worker threads: trainings in several at once come to what each comes to alone, bit for bit; a worker that ends, by itself or
 * by force, leaves nothing behind.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { hostBytes, liveTensorCount, manualSeed, ops, scope, seeded } from "../../src/torch/index.ts";
import { drawInWorker } from "../support/drawing-worker.ts";
import { filesOf, losses, type RunFixture, runFixture, runTraining, type Values } from "../support/runs.ts";
import { trainInWorker } from "../support/training-worker.ts";

/** Weights that lie in the addon's own memory, so that what is not given back shows in `hostBytes`. */
const config = { hidden_size: 128, intermediate_size: 256 };

const values = { per_device_train_batch_size: 2, learning_rate: 0.01, max_steps: 10, save_strategy: "no" };

/** Weights and losses of a training, to be compared. */
async function alone(changed: Values): Promise<{ losses: number[]; files: Record<string, string> }> {
  const record = await runTraining(changed);
  return { losses: losses(record), files: weightsOf(changed) };
}

function weightsOf({ output_dir, use_peft }: Values): Record<string, string> {
  return filesOf(join(String(output_dir), use_peft === false ? "model" : "adapter"));
}

/** A fixture that leaves no tensor of its making. */
function place(): RunFixture {
  using _ = scope();
  return runFixture({ rows: 16, held: 0, config });
}

test("two workers and the main thread train at once: losses and weights are those of each alone; no tensor is left", async () => {
  using fixture = place();
  const kinds: Values[] = [
    { use_peft: true, lora_dropout: 0.1, seed: 1 },
    { use_peft: true, lora_dropout: 0.1, seed: 2 },
    { use_peft: false, seed: 3 },
  ];
  const runs = (place: string) =>
    kinds.map((kind, i) => ({
      ...fixture.values,
      ...values,
      ...kind,
      output_dir: fixture.path(`${place}${i}`),
    }));
  const expected = [];
  for (const run of runs("alone")) expected.push(await alone(run));
  const [before, bytes] = [liveTensorCount(), hostBytes()];
  const [first, second, third] = runs("beside");
  const workers = [first, second].map((run) => trainInWorker(run as Values));
  const main = await alone(third as Values);
  const ends = await Promise.all(workers.map(({ ended }) => ended));
  assert.deepEqual(
    [...ends.map(({ losses: trajectory }) => trajectory), main.losses],
    expected.map(({ losses: trajectory }) => trajectory),
  );
  assert.deepEqual(
    [...[first, second].map((run) => weightsOf(run as Values)), main.files],
    expected.map(({ files }) => files),
  );
  assert.deepEqual(
    ends.map(({ live }) => live),
    [0, 0],
  );
  assert.deepEqual([liveTensorCount(), hostBytes()], [before, bytes]);
});

test("a worker ended by force in a step gives its memory back; the next comes to what one in the main thread does", async () => {
  using fixture = place();
  const run = { ...fixture.values, ...values, use_peft: false };
  const expected = await alone({ ...run, output_dir: fixture.path("alone") });
  const bytes = hostBytes();
  const cut = { ...run, max_steps: 3000, output_dir: fixture.path("cut") };
  const again = { ...cut, resume_from_checkpoint: "latest" };
  for (const [step, begun] of [
    [1, cut],
    [3, again],
  ] as const) {
    await using running = trainInWorker(begun);
    await running.reached(step);
    // under a sanitizer (test/campaign/sanitizers.test.ts) torch's own memory is used, and nothing of it counted
    assert.ok(hostBytes() > bytes || process.env["ASAN_OPTIONS"] !== undefined);
    if (step === 1) await assert.rejects(trainInWorker(again).ended, /being written by process/);
    await running.worker.terminate();
    await assert.rejects(running.ended, /the worker ended after/);
    assert.equal(hostBytes(), bytes);
  }
  const next = { ...run, output_dir: fixture.path("next") };
  const { losses: trajectory, live } = await trainInWorker(next).ended;
  assert.deepEqual([trajectory, live], [expected.losses, 0]);
  assert.deepEqual(weightsOf(next), expected.files);
  assert.equal(hostBytes(), bytes);
});

test("scopes of the main thread stay as they are while workers open and close theirs; draws under a seed are the seed's", async () => {
  using fixture = place();
  using outer = scope();
  manualSeed(5);
  const kept = outer.keep(ops.normal_(ops.zeros([64, 64], { dtype: "float32" }), 0, 1));
  const sum = ops.sum(kept).item();
  for (let i = 0; i < 2; i++) {
    const { ended } = trainInWorker({
      ...fixture.values,
      ...values,
      max_steps: 2,
      output_dir: fixture.path(`run${i}`),
    });
    const { live } = await ended;
    assert.equal(live, 0);
    assert.ok(kept.isAlive);
    assert.equal(ops.sum(kept).item(), sum);
  }
});

test("what is drawn under a seed is the seed's while another thread draws without one", async () => {
  const draw = () =>
    seeded(5, () => {
      using _ = scope();
      const sums = [];
      for (let i = 0; i < 50; i++) {
        const drawn = ops.uniform_(ops.zeros([64], { dtype: "float32" }), 0, 1);
        sums.push(ops.sum(drawn).item());
      }
      return sums;
    });
  const alone = draw();
  await using _ = await drawInWorker();
  for (let i = 0; i < 50; i++) assert.deepEqual(draw(), alone);
});
