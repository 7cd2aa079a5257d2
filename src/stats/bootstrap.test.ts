/** Tests of bootstrap.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../base/random.ts";
import { bootstrapDraws, bootstrapInterval, percentileInterval, shareInterval } from "./bootstrap.ts";

const near = (actual: number, expected: number, tolerance: number): void =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not within ${tolerance} of ${expected}`);

test("percentiles interpolate as numpy does, leave NaN out and keep infinities", () => {
  // numpy.percentile(range(11), [2.5, 97.5]) = [0.25, 9.75]
  const values = [10, 3, 0, Number.NaN, 1, 2, 4, 5, 6, 7, 8, 9];
  near(percentileInterval(values).low, 0.25, 1e-12);
  near(percentileInterval(values).high, 9.75, 1e-12);
  assert.deepEqual(percentileInterval([1, 2, 3], 0), { low: 2, high: 2 });
  assert.deepEqual(percentileInterval([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 0], 0.5), {
    low: Number.POSITIVE_INFINITY,
    high: Number.POSITIVE_INFINITY,
  });
  assert.deepEqual(percentileInterval([]), { low: Number.NaN, high: Number.NaN });
});

test("the interval of a mean is that of the normal approximation, and the same for the same seed", () => {
  const random = new Random(1);
  const values = Float64Array.from({ length: 400 }, () => random.next());
  const mean = (draw: Int32Array) => draw.reduce((sum, i) => sum + (values[i] as number), 0) / draw.length;
  const whole = mean(Int32Array.from(values.keys()));
  // standard deviation of a uniform number: sqrt(1/12); of the mean of 400: 0.01443
  const { low, high } = bootstrapInterval(400, mean, { rounds: 2000 });
  near(low, whole - 1.96 * 0.01443, 0.003);
  near(high, whole + 1.96 * 0.01443, 0.003);
  assert.deepEqual(bootstrapInterval(400, mean, { rounds: 2000 }), { low, high });
  assert.notDeepEqual(bootstrapInterval(400, mean, { rounds: 2000, seed: 7 }), { low, high });
});

test("a paired difference is narrower than what the units share", () => {
  const random = new Random(2);
  const a = Array.from({ length: 200 }, () => random.next());
  const b = a.map((value) => value - 0.1);
  const difference = (draw: Int32Array) =>
    draw.reduce((sum, i) => sum + (a[i] as number) - (b[i] as number), 0) / draw.length;
  const { low, high } = bootstrapInterval(200, difference);
  near(low, 0.1, 1e-12);
  near(high, 0.1, 1e-12);
});

test("every unit is drawn as often as any other; no units, no draws", () => {
  const counts = new Int32Array(5);
  for (const draw of bootstrapDraws(5, { rounds: 20_000 })) {
    for (const i of draw) counts[i] = (counts[i] as number) + 1;
  }
  // 100 000 draws: 20 000 each, standard deviation 126
  for (const count of counts) near(count, 20_000, 600);
  assert.deepEqual([...bootstrapDraws(0)], []);
  assert.deepEqual(
    bootstrapInterval(0, () => 1),
    { low: Number.NaN, high: Number.NaN },
  );
});

test("Wilson's interval: the published example, and shares of 0 and 1", () => {
  // 10 of 100: (0.0552, 0.1744), statsmodels.stats.proportion.proportion_confint(10, 100, method="wilson")
  const { low, high } = shareInterval(10, 100);
  near(low, 0.05522914, 1e-7);
  near(high, 0.17436566, 1e-7);
  // 0 of n: (0, z² / (n + z²)) = 3.8415 / 13.8415
  near(shareInterval(0, 10).low, 0, 1e-12);
  near(shareInterval(0, 10).high, 0.2775328, 1e-6);
  near(shareInterval(10, 10).low, 1 - 0.2775328, 1e-6);
  assert.deepEqual(shareInterval(0, 0), { low: Number.NaN, high: Number.NaN });
});
