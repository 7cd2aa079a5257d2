import assert from "node:assert/strict";
import { test } from "node:test";

import { EpochSampler } from "./sampler.ts";

const ascending = (order: Iterable<number>): number[] => [...order].sort((a, b) => a - b);

test("every epoch is a permutation of its own, and the same for the same seed", () => {
  const sampler = new EpochSampler(50, 3);
  const orders: string[] = [];
  for (let epoch = 0; epoch < 4; epoch++) {
    assert.deepEqual(sampler.state, { epoch, cursor: 0 });
    assert.deepEqual(ascending(sampler.order()), [...Array(50).keys()]);
    orders.push(sampler.order().join());
    sampler.advance(50);
  }
  assert.equal(new Set(orders).size, 4);
  assert.equal(new EpochSampler(50, 3).order().join(), orders[0]);
  assert.notEqual(new EpochSampler(50, 4).order().join(), orders[0]);
});

test("resumed at any point, it goes on as if uninterrupted", () => {
  const used = (sampler: EpochSampler, steps: number): number[] => {
    const seen: number[] = [];
    for (let step = 0; step < steps; step++) {
      const next = sampler.remaining().slice(0, 3);
      seen.push(...next);
      sampler.advance(next.length);
    }
    return seen;
  };
  const whole = used(new EpochSampler(10, 1), 12);
  for (let stop = 0; stop <= 12; stop++) {
    const first = new EpochSampler(10, 1);
    const before = used(first, stop);
    const second = new EpochSampler(10, 1, JSON.parse(JSON.stringify(first.state)));
    assert.deepEqual([...before, ...used(second, 12 - stop)], whole, `stopped after ${stop} steps`);
  }
});

test("a sampler restored in epoch 2 does not repeat the order of epoch 0", () => {
  const restored = new EpochSampler(30, 9, { epoch: 2, cursor: 4 });
  assert.notDeepEqual(restored.order(), new EpochSampler(30, 9).order());
  assert.deepEqual(restored.remaining(), restored.order().slice(4));
});

test("callers get copies", () => {
  const sampler = new EpochSampler(5, 0);
  const before = sampler.order();
  sampler.order().fill(0);
  assert.deepEqual(sampler.order(), before);
});

test("places outside the data are refused", () => {
  assert.throws(() => new EpochSampler(0, 1), /at least one example to sample from, got 0/);
  assert.throws(
    () => new EpochSampler(5, 1, { epoch: 0, cursor: 5 }),
    /example 0 to 4, got epoch 0, example 5/,
  );
  assert.throws(
    () => new EpochSampler(5, 1, { epoch: 0, cursor: 3 }).advance(3),
    /at most the 2 examples left .* got 3/,
  );
});
