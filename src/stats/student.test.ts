/** Quantiles of Student's distribution against the printed tables. */
import assert from "node:assert/strict";
import { test } from "node:test";
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
