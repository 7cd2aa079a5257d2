/** Tests of bootstrap.ts, normal.ts and estimates.ts on samples whose answer is known. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../base/random.ts";
import {
  differenceInterval,
  half,
  meanInterval,
  quantileInterval,
  spreadInterval,
} from "../sweep/estimates.ts";
import { quantile } from "./bootstrap.ts";
import { bootstrap, type Estimate } from "./crossed-bootstrap.ts";
import { chiSquareCdf, chiSquareQuantile, normalCdf, normalQuantile } from "./normal.ts";

function gaussian(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
}

/** Share of `repeats` samples whose interval holds `truth`. */
function coverage(
  repeats: number,
  truth: number,
  interval: (i: number) => { low: number; high: number },
): number {
  let held = 0;
  for (let i = 0; i < repeats; i++) {
    const { low, high } = interval(i);
    if (low <= truth && truth <= high) held += 1;
  }
  return held / repeats;
}

test("the normal distribution: known values, both tails, and back", () => {
  for (const [x, p] of [
    [0, 0.5],
    [1.959963984540054, 0.975],
    [-1, 0.15865525393145707],
    [4, 0.9999683287581669],
    [-6, 9.865876450376981e-10],
  ] as const) {
    assert.ok(Math.abs(normalCdf(x) - p) < 1e-11 * Math.max(1, p / 1e-3), `${x}: ${normalCdf(x)}`);
    assert.ok(Math.abs(normalQuantile(p) - x) < 1e-6, `${p}: ${normalQuantile(p)}`);
  }
  assert.equal(normalQuantile(0), Number.NEGATIVE_INFINITY);
});

test("χ²: known values, and a deviation's interval from them", () => {
  for (const [p, degrees, x] of [
    [0.025, 2, 0.0506356],
    [0.975, 2, 7.377759],
    [0.95, 1, 3.841459],
    [0.5, 7, 6.345811],
  ] as const) {
    assert.ok(Math.abs(chiSquareQuantile(p, degrees) - x) < 1e-5, `${p}, ${degrees}`);
    assert.ok(Math.abs(chiSquareCdf(x, degrees) - p) < 1e-6);
  }
  const { value, low, high, seeds } = spreadInterval([1, 2, 3], 60);
  assert.equal(value, 1);
  assert.ok(
    Math.abs(low - Math.sqrt(2 / 7.377759)) < 1e-5 && Math.abs(high - Math.sqrt(2 / 0.0506356)) < 1e-4,
  );
  assert.equal(seeds, 3);
  assert.ok(Number.isNaN(spreadInterval([1], 60).value));
});

test("quantiles lie between neighbours by their distance", () => {
  assert.equal(quantile([1, 2, 3, 4, 5], 0.5), 3);
  assert.equal(quantile([0, 10], 0.25), 2.5);
  assert.equal(quantile([7], 0.9), 7);
});

test("the interval of a mean has the width that s/√n asks for", () => {
  const random = new Random(3);
  const values = Float64Array.from({ length: 200 }, () => 5 + 2 * gaussian(random));
  const mean = values.reduce((a, b) => a + b, 0) / 200;
  const s = Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 199);
  for (const kind of ["percentile", "bca"] as const) {
    const { value, low, high, seeds, pairs } = meanInterval([values], { draws: 4000, kind });
    assert.ok(Math.abs(value - mean) < 1e-12);
    const want = 2 * 1.96 * (s / Math.sqrt(200));
    assert.ok(Math.abs((high - low) / want - 1) < 0.06, `${kind}: width ${high - low}, expected ${want}`);
    assert.deepEqual([seeds, pairs], [1, 200]);
  }
});

test("a paired difference: 95 % intervals of a normal mean hold the truth in about 95 % of samples", () => {
  const random = new Random(11);
  const truth = 0.1;
  const held = coverage(400, truth, (i) => {
    // what the two share is large; pairing takes it out
    const shared = Array.from({ length: 40 }, () => 3 * gaussian(random));
    const one = Float64Array.from(shared, (x) => x + truth + 0.5 * gaussian(random));
    const other = Float64Array.from(shared, (x) => x + 0.5 * gaussian(random));
    return differenceInterval([one], [other], { draws: 400, seed: i });
  });
  assert.ok(held > 0.91 && held < 0.98, `held the truth in ${held}`);
});

test("seeds and pairs both count: intervals over both hold the truth, intervals over pairs alone do not", () => {
  const random = new Random(5);
  const [seeds, pairs] = [8, 40];
  const sample = (): Float64Array[] => {
    const ofPair = Array.from({ length: pairs }, () => 0.3 * gaussian(random));
    return Array.from({ length: seeds }, () => {
      const ofSeed = 0.2 * gaussian(random);
      return Float64Array.from(ofPair, (x) => 1 + x + ofSeed + 0.3 * gaussian(random));
    });
  };
  const both = coverage(300, 1, (i) => meanInterval(sample(), { draws: 300, seed: i }));
  const alone = coverage(300, 1, (i) => {
    const table = sample();
    const means = Float64Array.from(
      { length: pairs },
      (_, p) => table.reduce((sum, row) => sum + (row[p] as number), 0) / seeds,
    );
    return meanInterval([means], { draws: 300, seed: i });
  });
  assert.ok(both > 0.88 && both < 0.99, `both: ${both}`);
  assert.ok(alone < 0.85, `pairs alone: ${alone}`);
});

test("BCa comes nearer than percentiles where the values are skewed", () => {
  const covers = (kind: "percentile" | "bca"): number => {
    const random = new Random(17);
    return coverage(400, 1, (i) => {
      const values = Float64Array.from({ length: 25 }, () => -Math.log(1 - random.next()));
      return meanInterval([values], { draws: 400, seed: i, kind });
    });
  };
  const [bca, plain] = [covers("bca"), covers("percentile")];
  assert.ok(bca > 0.89, `bca: ${bca}`);
  assert.ok(bca >= plain, `bca ${bca}, percentile ${plain}`);
});

test("a share of none or all has an interval of its own", () => {
  const none = meanInterval([new Float64Array(60)], { isShare: true });
  assert.equal(none.low, 0);
  // 0.05^(1/60): the one-sided bound known as the rule of three
  assert.ok(Math.abs(none.high - (1 - 0.05 ** (1 / 60))) < 1e-12);
  const all = meanInterval([new Float64Array(60).fill(1)], { isShare: true });
  assert.deepEqual([all.value, all.high, all.low], [1, 1, 1 - none.high]);
  assert.equal(meanInterval([new Float64Array(60)]).high, 0);
  // nothing but ties: as many of all pairs are ties at least as Clopper and Pearson's lower end says, and the others are anything
  const ties = meanInterval([new Float64Array(60).fill(0.5)], { isShare: true });
  const others = 1 - 0.025 ** (1 / 60);
  assert.ok(Math.abs(ties.low - 0.5 * (1 - others)) < 1e-12);
  assert.ok(Math.abs(ties.high - (0.5 * (1 - others) + others)) < 1e-12);
});

test("pairs of one prompt are drawn together: as often as each stands there, the interval is that of the prompts", () => {
  const random = new Random(23);
  const table = [0, 1].map(() => Float64Array.from({ length: 20 }, () => gaussian(random)));
  const base = table.map((row) => row.map((value) => value - gaussian(random) ** 2));
  const prompts = Array.from({ length: 60 }, (_, i) => i % 20);
  const thrice = (rows: readonly Float64Array[]) =>
    rows.map((row) => Float64Array.of(...row, ...row, ...row));
  const size = { pairs: 60, prompts: 20 };
  const near = (found: Estimate, wanted: Estimate): void => {
    for (const key of ["value", "low", "high"] as const)
      assert.ok(Math.abs(found[key] - wanted[key]) < 1e-12, key);
    assert.deepEqual([found.pairs, found.prompts], [size.pairs, size.prompts]);
  };
  near(meanInterval(thrice(table), { prompts }), meanInterval(table));
  near(differenceInterval(thrice(table), thrice(base), { prompts }), differenceInterval(table, base));
  const tokens = (rows: readonly Float64Array[]) => rows.map((row) => Array.from(row, (value) => [value]));
  near(quantileInterval(tokens(thrice(table)), 0.3, { prompts }), quantileInterval(tokens(table), 0.3));
  // a share of none: 60 pairs of 20 prompts say no more than 20
  const none = (pairs: number) => [new Float64Array(pairs)];
  near(meanInterval(none(60), { isShare: true, prompts }), meanInterval(none(20), { isShare: true }));
  assert.deepEqual(
    [0, 1].map((parity) => half([Float64Array.of(1, 2, 3, 4, 5)], parity as 0 | 1, [0, 0, 1, 1, 2])),
    [[Float64Array.of(1, 2, 5)], [Float64Array.of(3, 4)]],
  );
});

test("pairs of one prompt alone, or one pair, have no interval from one seed", () => {
  for (const values of [Float64Array.of(1, 2, 3), Float64Array.of(2)]) {
    const prompts = Array.from(values, () => 7);
    const { value, low, high } = meanInterval([values], { prompts });
    assert.equal(value, 2);
    assert.ok(Number.isNaN(low) && Number.isNaN(high));
  }
});

test("missing values are left out; a statistic that does not exist has no interval", () => {
  const { value } = meanInterval([Float64Array.of(1, Number.NaN, 3)]);
  assert.equal(value, 2);
  const nothing = meanInterval([Float64Array.of(Number.NaN)]);
  assert.ok(Number.isNaN(nothing.value) && Number.isNaN(nothing.low));
});

test("a quantile over the values of drawn pairs", () => {
  const random = new Random(2);
  const table = [Array.from({ length: 60 }, () => Array.from({ length: 30 }, () => gaussian(random)))];
  const { value, low, high } = quantileInterval(table, 0.05, { draws: 500 });
  assert.ok(low <= value && value <= high);
  assert.ok(low < -1.645 && high > -1.645, `[${low}, ${high}] should hold −1.645`);
  assert.ok(high - low < 0.6);
});

test("the same seed gives the same interval, another one another", () => {
  const random = new Random(1);
  const table = [Float64Array.from({ length: 30 }, () => gaussian(random))];
  assert.deepEqual(meanInterval(table, { seed: 4 }), meanInterval(table, { seed: 4 }));
  assert.notDeepEqual(meanInterval(table, { seed: 4 }), meanInterval(table, { seed: 5 }));
});

test("one seed and one pair: the value, and an interval of no width", () => {
  const { value, low, high } = bootstrap(() => 3, { seeds: 1, pairs: 1 });
  assert.deepEqual([value, low, high], [3, 3, 3]);
});

test("where all are alike, pairs and prompts without a value are no trials", () => {
  // three verdicts among 32 prompts, all won: 0.05^(1/3)
  const row = Float64Array.from({ length: 32 }, (_, i) => (i < 3 ? 1 : Number.NaN));
  const { value, low, high } = meanInterval([row], { isShare: true });
  assert.deepEqual([value, low.toFixed(4), high], [1, "0.3684", 1]);
  // two of the three are of one prompt
  const prompts = Array.from(row, (_, i) => Math.max(1, i));
  assert.equal(meanInterval([row], { isShare: true, prompts }).low.toFixed(4), Math.sqrt(0.05).toFixed(4));
  // what one seed lacks another has
  const other = row.map((_, i) => (i === 31 ? 1 : Number.NaN));
  assert.equal(meanInterval([row, other], { isShare: true }).low.toFixed(4), (0.05 ** 0.25).toFixed(4));
});
