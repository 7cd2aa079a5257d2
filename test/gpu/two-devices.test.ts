/**
 * A rank that computes on the second of two GPUs while the first is torch's current one, as nothing else than a device's name says
 * otherwise: its memory, and that of a model in parts, is on its own.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import type { Environment } from "../../src/forward/environment.ts";
import { settleEnvironment } from "../../src/forward/environment.ts";
import type { ShardGroup } from "../../src/sharding/sharded-unit.ts";
import {
  bind,
  devices,
  memoryInUse,
  ops,
  scope,
  seeded,
  type Tensor,
  useDevice,
} from "../../src/torch/index.ts";
import { prepareModel } from "../../src/train/prepare-model.ts";
import { prepareSharded } from "../../src/train/prepare-sharded.ts";
import { openGpu } from "../support/gpu.ts";
import { assertSameNorm, selectionOf } from "../support/sharded-pass.ts";
import { makeTinyModel } from "../support/tiny-model.ts";
import { temporaryDirectory } from "../support/tiny-models.ts";

const { device: first, rehearsal, ...gpu } = await openGpu();
const second = first.replace(/:0$/, ":1");
const skip = gpu.skip || (devices().includes(second) && second !== first ? false : "there is one device");
const onRehearsal = skip || (rehearsal === null ? "several processes of CUDA send by NCCL" : false);
const where = { device: second, dtype: "float32" } as const;
afterEach(() => {
  if (skip === false) useDevice(first);
  assert.deepEqual(rehearsal?.faults() ?? [], []);
});

test("memory that is freed and given again is that of the tensor's device", { skip }, () => {
  using _ = scope();
  const values = ops.ones([1000], where);
  const before = [first, second].map((device) => memoryInUse(device).allocated);
  ops.storageResize(values, 0);
  ops.storageResize(values, 4000);
  assert.deepEqual(
    [first, second].map((device) => memoryInUse(device).allocated),
    before,
  );
  ops.copy_(values, ops.full([1000], 3, where));
  assert.equal(ops.sum(values).item(), 3000);
});

test("a process's device is the current one: what names none is there", { skip }, () => {
  using _ = scope();
  const kind = second.replace(/:1$/, "");
  assert.equal(ops.ones([1], { device: kind, dtype: "float32" }).device, first);
  assert.equal(settleEnvironment({ device: second }).device, second);
  assert.equal(ops.ones([1], { device: kind, dtype: "float32" }).device, second);
});

/** A group of this process alone; it writes as a collective does. */
class Alone implements ShardGroup {
  readonly rank = 0;
  readonly size = 1;
  readonly #write = bind<(to: Tensor, from: Tensor) => void>("rehearsal::write");

  allGather(output: Tensor, input: Tensor): { wait: () => void } {
    this.#write(output, input);
    return { wait: () => {} };
  }

  exchange(output: Tensor, input: Tensor): { wait: () => void } {
    return this.allGather(output, input);
  }

  broadcast(): { wait: () => void } {
    return { wait: () => {} };
  }
}

for (const tuned of ["full", ["lm_head"]] as const) {
  const what = tuned === "full" ? "full tuning" : "LoRA with the head in full";
  test(`a model in parts, ${what}: all on its device, with the gradients of the complete model`, {
    skip: onRehearsal,
  }, () => {
    using _ = scope();
    using dir = temporaryDirectory();
    const base = makeTinyModel(join(dir.path, "base"), { family: "llama_untied" });
    const selection = selectionOf(base, tuned);
    const environment: Environment = { ...where, threads: 1, matmul: "torch" };
    const before = memoryInUse(first).allocated;
    // an adapter's numbers are drawn on the device
    const complete = seeded(1, () => prepareModel(selection, environment));
    const shard = { group: new Alone(), keep_gathered: false };
    const inParts = seeded(1, () => prepareSharded(selection, environment, shard));
    assertSameNorm(inParts, complete, { recomputed: true, tolerance: 1e-5 });
    assert.equal(memoryInUse(first).allocated, before);
    inParts.dispose();
    complete.dispose();
  });
}
