/** Scaled models against others trained less, on numbers whose differences are known. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Point } from "./excess.ts";
import { scaledBack } from "./scaled-back.ts";

function point(name: string, learningRate: number, set: number, plus: number): Point {
  const base = set * 10;
  return {
    ...{ name, learningRate, set, chosen: base + plus, margin: base + 2 * plus },
    ...{ drift: base + 3 * plus, tail: base + 4 * plus, otherText: base + 5 * plus },
  };
}

const names = [["a", "a × 0.4"]] as const;

test("differences are taken within sets, of each higher rate against the lowest", () => {
  const sets = [1, 2, 3];
  const points = sets.flatMap((set) => [
    point("a", 1, set, 0),
    point("a × 0.4", 1, set, -7),
    point("a", 2, set, 9),
    point("a × 0.4", 2, set, 0.1 * set),
    point("a × 0.4", 4, set, 0.2),
    point("b", 1, set, 100),
  ]);
  const [two, four, ...others] = scaledBack(points, names);
  assert.equal(others.length, 0);
  assert.deepEqual([two?.learningRate, four?.learningRate], [2, 4]);
  assert.ok(Math.abs((two?.less.chosen.mean ?? 0) - 0.2) < 1e-9);
  assert.ok(Math.abs((two?.less.otherText.mean ?? 0) - 1) < 1e-9);
  // 0.1, 0.2, 0.3: standard error 0.1 / √3, Student's 0.975 quantile with 2 degrees 4.303
  assert.ok(Math.abs((two?.less.chosen.low ?? 0) - (0.2 - (4.3027 * 0.1) / Math.sqrt(3))) < 1e-4);
  assert.ok(Math.abs((four?.less.tail.high ?? 0) - 0.8) < 1e-9);
});

test("a set that lacks one of both is left out", () => {
  const points = [point("a", 1, 1, 0), point("a × 0.4", 2, 1, 1), point("a × 0.4", 2, 2, 5)];
  assert.deepEqual(
    scaledBack(points, names).map(({ less }) => [less.chosen.sets, less.chosen.mean]),
    [[1, 1]],
  );
});
