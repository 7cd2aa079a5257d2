import assert from "node:assert/strict";
import { test } from "node:test";
import { at } from "../base/at.ts";
import { orderOfEpoch, orderWithoutLengths, type RowOrder } from "./row-order.ts";

const ascending = (order: Iterable<number>): number[] => [...order].sort((a, b) => a - b);
const lengths = Array.from({ length: 400 }, (_, i) => ((i * 7919) % 400) + 1);
const orderOf = (data_order: RowOrder["data_order"], { epoch = 0, seed = 3 } = {}) =>
  orderOfEpoch(lengths, epoch, { data_order, seed, rowsPerStep: 4 });

test("each order has each row once; an epoch's is the same for the same seed", () => {
  for (const name of ["shuffled", "given", "length"] as const) {
    for (const epoch of [0, 1, 2]) {
      assert.deepEqual(ascending(orderOf(name, { epoch })), [...lengths.keys()], name);
      assert.deepEqual(orderOf(name, { epoch }), orderOf(name, { epoch }), name);
    }
  }
});

test("shuffled and length: another order in another epoch and with another seed", () => {
  for (const name of ["shuffled", "length"] as const) {
    const orders = [0, 1, 2].map((epoch) => orderOf(name, { epoch }).join());
    assert.equal(new Set([...orders, orderOf(name, { seed: 4 }).join()]).size, 4, name);
  }
});

test("given: as the rows are read, in every epoch", () => {
  for (const epoch of [0, 1]) assert.deepEqual([...orderOf("given", { epoch })], [...lengths.keys()]);
  assert.deepEqual([...orderWithoutLengths(3, 1, { data_order: "given", seed: 9 })], [0, 1, 2]);
});

test("length: rows of a step differ little, and the longest row is in the first step", () => {
  const order = orderOf("length", { epoch: 1 });
  assert.equal(lengths[at([...order], 0)], 400);
  const spreadOf = (rows: ArrayLike<number>): number => {
    const steps = Array.from({ length: 100 }, (_, i) =>
      Array.from(rows)
        .slice(4 * i, 4 * i + 4)
        .map((row) => at(lengths, row)),
    );
    return steps.reduce((sum, step) => sum + Math.max(...step) - Math.min(...step), 0) / steps.length;
  };
  // four of 400 lengths at random lie 241 apart on average; of 100 rows in a group neighbours lie 4 apart
  assert.ok(spreadOf(orderOf("shuffled")) > 200);
  assert.ok(spreadOf(order) < 20, `${spreadOf(order)}`);
});

test("length: fewer rows than four steps are in groups of a step", () => {
  const order = orderOfEpoch([5, 1, 9], 0, { data_order: "length", seed: 0, rowsPerStep: 2 });
  assert.equal(order[0], 2);
  assert.deepEqual(ascending(order), [0, 1, 2]);
});
