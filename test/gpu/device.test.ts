/** The rehearsal device itself does what docs/rehearsal.md says of it: late work, order of streams, drawn numbers, late errors. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { TorchError } from "../../src/base/errors.ts";
import {
  devices,
  generatorState,
  manualSeed,
  memoryInUse,
  ops,
  scope,
  setGeneratorState,
  synchronize,
  tensor,
  useDevice,
} from "../../src/torch/index.ts";
import { openRehearsal, type Rehearsal } from "../support/rehearsal.ts";

const opened = await openRehearsal();
const skip = typeof opened === "string" ? opened : false;
const rehearsal = opened as Rehearsal;
const device = "rehearsal:0";
const where = { device, dtype: "float32" } as const;
if (skip === false) rehearsal.setLateness(1, 0);
afterEach(() => {
  if (skip === false) assert.deepEqual(rehearsal.faults(), []);
});

test("torch has it as its accelerator", { skip }, () => {
  assert.deepEqual(devices(), [device, "rehearsal:1", "cpu"]);
});

test("work is queued at the call and done when it is waited for", { skip }, () => {
  using _ = scope();
  const x = ops.ones([3], where);
  ops.mul_(x, 2);
  assert.equal(rehearsal.pending(), 2);
  synchronize(device);
  assert.equal(rehearsal.pending(), 0);
  assert.deepEqual(ops.mul(x, x).toNumbers(), [4, 4, 4]);
  assert.equal(rehearsal.pending(), 0);
});

test("new memory holds no number, and what is freed is not in use at once", { skip }, () => {
  using _ = scope();
  const before = memoryInUse(device).allocated;
  const x = ops.empty([4], where);
  const y = ops.empty([4], { device, dtype: "int32" });
  assert.deepEqual([x.toNumbers(), y.toNumbers()], [Array(4).fill(Number.NaN), Array(4).fill(-1)]);
  const sum = ops.add(x, 1);
  assert.equal(memoryInUse(device).allocated, before + 48);
  x.dispose();
  assert.equal(memoryInUse(device).allocated, before + 32);
  assert.ok(sum.toNumbers().every(Number.isNaN));
});

test("a stream that uses another's memory must come after it", { skip }, () => {
  using _ = scope();
  const x = ops.ones([3], where);
  rehearsal.useStream(1);
  try {
    assert.throws(
      () => ops.add(x, x),
      /aten::add on stream 1 reads memory that stream 0 may still be at work on/,
    );
    assert.throws(() => ops.mul_(x, 3), /aten::mul on stream 1 (reads|writes) memory that stream 0/);
    rehearsal.afterStream(0);
    const y = ops.add(x, x);
    rehearsal.useStream(0);
    assert.throws(
      () => ops.mul_(x, 3),
      /aten::mul on stream 0 writes memory that stream 1 may still be at work on/,
    );
    assert.throws(() => y.toNumbers(), /copy to the host on stream 0 reads memory that stream 1/);
    rehearsal.afterStream(1);
    ops.mul_(x, 3);
    assert.deepEqual(x.toNumbers(), [3, 3, 3]);
    assert.deepEqual(y.toNumbers(), [2, 2, 2]);
  } finally {
    rehearsal.useStream(0);
    synchronize(device);
  }
});

test("what is drawn follows from the seed and the order of calls, not from when work begins", {
  skip,
}, () => {
  const draws = (fraction: number) => {
    using _ = scope();
    rehearsal.setLateness(3, fraction);
    manualSeed(7);
    const first = ops.normal_(ops.empty([3], where));
    const state = generatorState(device);
    const second = ops.uniform_(ops.empty([3], where));
    manualSeed(8);
    setGeneratorState(device, state);
    const again = ops.uniform_(ops.empty([3], where));
    return [first, second, again].map((t) => t.toNumbers());
  };
  const [first = [], second = [], again] = draws(0);
  assert.deepEqual(again, second);
  assert.equal(new Set([...first, ...second]).size, 6);
  assert.deepEqual(draws(1), [first, second, again]);
  rehearsal.setLateness(1, 0);
});

test("what goes wrong in a kernel is reported where it is waited for", { skip }, () => {
  using _ = scope();
  const table = ops.ones([4, 2], where);
  const rows = ops.indexSelect(table, 0, ops.to(tensor([1, 9], [2], { dtype: "int64" }), device, "int64"));
  assert.throws(() => rows.toNumbers(), {
    name: TorchError.name,
    message:
      /aten::index_select failed on the device, after the call that launched it had returned: index out of range/,
  });
  assert.equal(rehearsal.faults().length, 1);
  assert.deepEqual(table.toNumbers(), Array(8).fill(1));
});

test("results whose shape depends on values are waited for, and counted", { skip }, () => {
  using _ = scope();
  const x = ops.to(tensor([0, 3, 0, 4], [4]), device, "float32");
  rehearsal.counts();
  assert.deepEqual(ops.index(x, [ops.gt(x, 0)]).toNumbers(), [3, 4]);
  assert.deepEqual(rehearsal.counts().waits, ["aten::nonzero", "copy to the host"]);
});

test("two devices: what names none is on the current one, and memory of the other is refused", {
  skip,
}, () => {
  using _ = scope();
  const other = "rehearsal:1";
  const [here, there] = [ops.ones([2], where), ops.ones([2], { ...where, device: other })];
  assert.deepEqual([here.device, there.device], [device, other]);
  useDevice(other);
  assert.equal(ops.ones([2], { ...where, device: "rehearsal" }).device, other);
  // an operator computes where its tensors are
  assert.equal(ops.add(here, 1).device, device);
  useDevice(device);
  assert.equal(ops.add(there, 1).device, other);
  assert.throws(() => ops.add(here, there), /expected all tensors to be on the same device/i);
  assert.deepEqual(ops.to(there, device, "float32").toNumbers(), [1, 1]);
});
