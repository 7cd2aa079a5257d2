/**
 * What a step does on a GPU, counted on the rehearsal device (docs/rehearsal.md), where work begins when it is waited for: one
 * wait, one copy to the computer, none that grows with the model, products in the type that was asked for.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { TorchError } from "../../src/base/errors.ts";
import { memoryInUse, scope } from "../../src/torch/index.ts";
import { amount } from "../support/campaign.ts";
import { openGpu } from "../support/gpu.ts";
import { assertQuietStep, type GpuSetup, stepOn, trainingOn } from "../support/gpu-training.ts";
import { collectGarbage } from "../support/memory.ts";
import type { Counts, Rehearsal } from "../support/rehearsal.ts";
import { type ConfigJson, type TinyName, tinyNames } from "../support/tiny-models.ts";
import { scriptSlime, stateHash } from "../support/tiny-training.ts";

const { device, ...gpu } = await openGpu();
const skip = gpu.skip || (gpu.rehearsal === null ? "only the rehearsal device counts" : false);
const rehearsal = gpu.rehearsal as Rehearsal;
if (skip === false) rehearsal.setLateness(1, 0);
after(() => assert.deepEqual(skip === false ? rehearsal.faults() : [], []));

const half = { dtype: "bfloat16", gradient_checkpointing: false } as const;

/** The counts of a second step: the first one finds out which kernels the device has. */
function countsOf(setup: GpuSetup): Counts {
  using _ = scope();
  const training = trainingOn(device, setup);
  stepOn(training);
  rehearsal.counts();
  const { loss, skipped } = stepOn(training);
  assert.ok(Number.isFinite(loss) && skipped === null);
  return rehearsal.counts();
}

for (const name of tinyNames) {
  for (const trains of ["LoRA", "full"] as const) {
    test(`${name}, ${trains}: a step waits once, and copies as often with twice the blocks`, { skip }, () => {
      const setup = { name, trains, ...half, dropout: trains === "LoRA" ? 0.1 : 0 };
      const counts = countsOf(setup);
      assertQuietStep(counts);
      const doubled = countsOf({ ...setup, config: doubledBlocks(name) });
      assertQuietStep(doubled);
      assert.ok((doubled.launches["aten::mm bfloat16"] ?? 0) > (counts.launches["aten::mm bfloat16"] ?? 0));
      assert.deepEqual([doubled.toDevice, doubled.toDeviceBytes], [counts.toDevice, counts.toDeviceBytes]);
    });
  }
}

function doubledBlocks(name: TinyName): ConfigJson {
  const kinds = ["sliding_attention", "full_attention"];
  return { num_hidden_layers: 4, ...(name === "gemma3" && { layer_types: [...kinds, ...kinds] }) };
}

test("SLIME's step waits once as well", { skip }, () => {
  assertQuietStep(countsOf({ name: "qwen3", trains: "LoRA", ...half, objective: scriptSlime }));
});

test("what was computed again or offloaded comes to the same numbers", { skip }, () => {
  const lossOf = (changes: Partial<GpuSetup>) => {
    using _ = scope();
    const training = trainingOn(device, { name: "llama_tied", trains: "full", ...half, ...changes });
    return [stepOn(training).loss, stepOn(training).loss];
  };
  const plain = lossOf({});
  assert.deepEqual(lossOf({ gradient_checkpointing: true }), plain);
  assert.deepEqual(lossOf({ gradient_checkpointing: true, activation_offloading: true }), plain);
});

test("the numbers do not depend on when work begins", { skip }, () => {
  const lossesAt = (seed: number, fraction: number) => {
    rehearsal.setLateness(seed, fraction);
    using _ = scope();
    const training = trainingOn(device, { name: "gemma3", trains: "LoRA", ...half, dropout: 0.1 });
    return [stepOn(training).loss, stepOn(training).loss, stateHash(training)];
  };
  const latest = lossesAt(1, 0);
  for (let seed = 1; seed <= amount(2, 40); seed++) {
    for (const fraction of [0.003, 0.1, 1]) assert.deepEqual(lossesAt(seed, fraction), latest);
  }
  rehearsal.setLateness(1, 0);
});

test("memory that runs out anywhere in a step changes nothing, and is given back", { skip }, async () => {
  for (const trains of ["LoRA", "full"] as const) {
    using _ = scope();
    const setup = { name: "qwen3", trains, ...half } as const;
    const [training, unlimited] = [trainingOn(device, setup), trainingOn(device, setup)];
    stepOn(training);
    stepOn(unlimited);
    collectGarbage();
    const [used, before] = [memoryInUse(device).allocated, stateHash(training)];
    rehearsal.counts();
    const next = stepOn(unlimited);
    const { allocations } = rehearsal.counts();
    // the last ones are those around the update
    const ends = new Set([0, 1, ...Array.from({ length: 20 }, (_, i) => allocations - 1 - i)]);
    for (let end = 0; end < allocations; end += Math.ceil(allocations / amount(15, 500))) ends.add(end);
    for (const end of ends) {
      rehearsal.runOutAfter(end);
      assert.throws(() => stepOn(training), { name: TorchError.name, message: /rehearsal out of memory/ });
      rehearsal.runOutAfter(-1);
      assert.equal(stateHash(training), before, `after ${end} of ${allocations} allocations`);
      // handles that no scope holds, such as those of gradients; a frame that ended may hold one until the next turn
      for (let turns = 0; turns < 5; turns++) {
        collectGarbage();
        if (memoryInUse(device).allocated === used) break;
        await setImmediate();
      }
      assert.equal(memoryInUse(device).allocated, used, `after ${end} of ${allocations} allocations`);
    }
    assert.equal(stepOn(training).loss, next.loss);
    assert.equal(stateHash(training), stateHash(unlimited));
  }
});
