/** Tests of scaling.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { exponentOf, scalingTable } from "./scaling.ts";

test("the exponent of 3 x² is 2, and noise of both signs that cancels leaves it", () => {
  const points = [1, 2, 4, 8].map((x) => ({ x, y: 3 * x ** 2 }));
  assert.ok(Math.abs(exponentOf(points) - 2) < 1e-12);
  const noisy = points.map(({ x, y }, i) => ({ x, y: y * ([1.1, 1 / 1.1, 1 / 1.1, 1.1][i] as number) }));
  assert.ok(Math.abs(exponentOf(noisy) - 2) < 1e-12);
});

test("a series has a line a point and its exponents below", () => {
  const points = [1, 2].map((value) => ({ value, secondsPerStep: value, memoryMb: 100 * value }));
  const exponents = { time: { all: 1, last: 1 }, memory: { all: 1, last: 1 } };
  const lines = scalingTable({ name: "pairs", points, exponents }).split("\n");
  assert.equal(lines.length, 6);
  assert.match(lines[4] ?? "", /^2 +2\.000 +200$/);
  assert.match(lines[5] ?? "", /power 1\.00 \(1\.00 between the last two\), memory with 1\.00/);
});
