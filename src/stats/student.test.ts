/** Quantiles of Student's distribution against the printed tables, and the interval of a mean. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { meanInterval } from "./mean-interval.ts";
import { studentQuantile } from "./student.ts";

test("the printed table, even and odd degrees, both tails", () => {
  const table: [degrees: number, p: number, value: number][] = [
    [1, 0.975, 12.7062],
    [2, 0.975, 4.3027],
    [3, 0.975, 3.1824],
    [4, 0.8, 0.941],
    [5, 0.975, 2.5706],
    [5, 0.8, 0.9195],
    [8, 0.9, 1.3968],
    [30, 0.975, 2.0423],
    [31, 0.975, 2.0395],
    [3, 0.025, -3.1824],
  ];
  for (const [degrees, p, value] of table) {
    assert.ok(Math.abs(studentQuantile(p, degrees) - value) < 1e-4, `${degrees}, ${p}`);
  }
  assert.ok(Number.isNaN(studentQuantile(0.5, 0)));
});

test("a mean's interval has the width of the table, for few values too", () => {
  // standard deviation 1.2910, 3 degrees of freedom: 3.1824 · 1.2910 / 2
  const { mean, low, high } = meanInterval([1, 2, 3, 4]);
  assert.equal(mean, 2.5);
  assert.ok(Math.abs(high - mean - 2.0543) < 1e-4, String(high));
  assert.ok(Math.abs(mean - low - 2.0543) < 1e-4);
  // 12.7062 · 0.7071 / √2, where an expansion is far off
  assert.ok(Math.abs(meanInterval([1, 2]).high - 1.5 - 6.3531) < 1e-4);
  assert.ok(Number.isNaN(meanInterval([1]).low));
});
