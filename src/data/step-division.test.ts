import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { at } from "../base/at.ts";
import { Random } from "../base/random.ts";
import type { StepRow } from "./step-balance.ts";
import { type DivisionOptions, divideStep } from "./step-division.ts";

/** Rows with these tokens; attention makes the cost grow faster. */
function rowsOf(tokens: readonly number[]): StepRow[] {
  return tokens.map((count, index) => ({ index, tokens: count, cost: count + count ** 2 / 64 }));
}

const inRows = (rows: number, ranks: number): DivisionOptions => ({
  per_device_train_batch_size: rows,
  ranks,
});
const inTokens = (tokens: number, ranks: number): DivisionOptions => ({
  ...inRows(Number.POSITIVE_INFINITY, ranks),
  max_tokens_per_micro_batch: tokens,
});

test("one rank: rows in order, or first-fit decreasing by tokens", () => {
  const rows = rowsOf([2, 5, 3, 12, 5, 4]);
  assert.deepEqual(divideStep(rows, inRows(4, 1)), [
    [
      [0, 1, 2, 3],
      [4, 5],
    ],
  ]);
  assert.deepEqual(divideStep(rows, inTokens(10, 1)), [[[3], [1, 4], [0, 2, 5]]]);
});

test("two ranks: the most expensive rows go to different ones", () => {
  assert.deepEqual(divideStep(rowsOf([9, 8, 1, 2]), inRows(2, 2)), [[[0, 2]], [[1, 3]]]);
});

test("what longest first leaves uneven, an exchange of single rows evens", () => {
  // longest first: 5+4 beside 5+3+3; with the 4 and a 5 exchanged 5+5 beside 4+3+3
  const rows = [5, 5, 4, 3, 3].map((tokens, index) => ({ index, tokens, cost: tokens }));
  const sums = divideStep(rows, inRows(3, 2)).map((own) =>
    own.flat().reduce((sum, index) => sum + at(rows, index).cost, 0),
  );
  assert.deepEqual(
    sums.toSorted((a, b) => a - b),
    [10, 10],
  );
});

test("fewer rows than ranks: one each, then none", () => {
  const empty = divideStep(rowsOf([3, 9]), inRows(4, 4)).filter(([only]) => only?.length === 0);
  assert.equal(empty.length, 2);
});

test("tokens that only first-fit decreasing can place are placed by it", () => {
  // 6+4 and 5+3+2 fill two of 10; the most expensive first into the cheapest makes 6+3 and 5+4, and has no room for 2
  assert.deepEqual(divideStep(rowsOf([6, 5, 4, 3, 2]), inTokens(10, 2)), [[[0, 2]], [[1, 3, 4]]]);
});

test("ranks must be a whole number of at least 1", () => {
  for (const ranks of [0, 1.5, -1]) assert.throws(() => divideStep([], inRows(1, ranks)), /ranks: .* got/);
});

test("property: each row once, equally many micro-batches, within limits, in order, none empty without need", () => {
  const tokens = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 60 });
  const sizes = fc.record({
    ranks: fc.integer({ min: 2, max: 9 }),
    limit: fc.integer({ min: 1, max: 80 }),
    by: fc.constantFrom("rows", "tokens", "both"),
  });
  fc.assert(
    fc.property(tokens, sizes, (lengths, { ranks, limit, by }) => {
      const rows = rowsOf(lengths);
      const most = by === "tokens" ? Number.POSITIVE_INFINITY : by === "rows" ? limit : 2;
      const tokensAtMost = by === "rows" ? Number.POSITIVE_INFINITY : limit;
      const options =
        by === "rows" ? inRows(most, ranks) : { ...inTokens(limit, ranks), ...inRows(most, ranks) };
      const divided = divideStep(rows, options);
      const [alone = []] = divideStep(rows, { ...options, ranks: 1 });
      const batches = divided.flat();
      assert.deepEqual(
        batches.flat().toSorted((a, b) => a - b),
        [...rows.keys()],
      );
      assert.equal(divided.length, ranks);
      for (const own of divided) assert.equal(own.length, Math.ceil(alone.length / ranks));
      assert.equal(
        batches.filter((batch) => batch.length === 0).length,
        Math.max(0, batches.length - rows.length),
      );
      for (const batch of batches) {
        assert.deepEqual(
          batch,
          batch.toSorted((a, b) => a - b),
        );
        const total = batch.reduce((sum, index) => sum + at(lengths, index), 0);
        assert.ok(batch.length <= 1 || (batch.length <= most && total <= tokensAtMost));
      }
    }),
    { numRuns: 400 },
  );
});

test("property: the same rows are divided the same way", () => {
  const tokens = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(tokens, fc.integer({ min: 2, max: 6 }), (lengths, ranks) => {
      const divide = () => divideStep(rowsOf(lengths), inTokens(100, ranks));
      assert.deepEqual(divide(), divide());
    }),
  );
});

/**
 * Every twentieth of the FLOPs of pairs, from the cheapest to the most expensive, as shares of their mean: helpfulness
 * preferences (docs/distributed.md), of which half cost less than 0.87 of the mean, and one 4.3.
 */
const twentieths = [
  0.14, 0.3, 0.38, 0.44, 0.51, 0.56, 0.62, 0.68, 0.74, 0.81, 0.87, 0.94, 1.04, 1.1, 1.19, 1.28, 1.4, 1.55,
  1.75, 2.15, 4.3,
];

function drawnRows(count: number, random: Random): StepRow[] {
  return Array.from({ length: count }, (_, index) => {
    const place = random.next() * (twentieths.length - 1);
    const low = Math.floor(place);
    const cost = at(twentieths, low) + (place - low) * (at(twentieths, low + 1) - at(twentieths, low));
    return { index, cost, tokens: Math.round(240 * cost) };
  });
}

/** Mean load over the highest. */
function balanceOf(loads: readonly number[]): number {
  return loads.reduce((sum, load) => sum + load, 0) / loads.length / Math.max(...loads);
}

test("64 rows of real proportions over 16 ranks: mean load at least 0.94 of the highest, in order 0.6", () => {
  const random = new Random(11);
  const balances: number[] = [];
  const inOrder: number[] = [];
  for (let round = 0; round < 40; round++) {
    const rows = drawnRows(64, random);
    const costOf = (indices: readonly number[]) => indices.reduce((sum, i) => sum + at(rows, i).cost, 0);
    for (const options of [inRows(4, 16), inRows(8, 16), inTokens(4096, 16)])
      balances.push(balanceOf(divideStep(rows, options).map((own) => costOf(own.flat()))));
    inOrder.push(
      balanceOf(Array.from({ length: 16 }, (_, rank) => costOf([0, 16, 32, 48].map((i) => i + rank)))),
    );
  }
  const mean = (numbers: readonly number[]) => numbers.reduce((sum, n) => sum + n, 0) / numbers.length;
  assert.ok(mean(balances) >= 0.94, `${mean(balances)}`);
  assert.ok(mean(inOrder) < 0.7, `${mean(inOrder)}`);
});

test("ranks that hold shards wait in each micro-batch: those of one number are alike", () => {
  const rows = rowsOf([40, 38, 36, 34, 8, 7, 6, 5]);
  const divided = divideStep(rows, inRows(1, 4));
  for (const own of divided) {
    assert.ok(at(rows, at(at(own, 0), 0)).tokens >= 34, "the expensive ones come first, at the same time");
    assert.ok(at(rows, at(at(own, 1), 0)).tokens <= 8);
  }
});
