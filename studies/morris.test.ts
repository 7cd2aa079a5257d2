/** Tests of morris.ts on functions whose effects are known. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../src/base/random.ts";
import { elementaryEffects, morrisPlan } from "./morris.ts";

test("each trajectory moves every factor once, by two thirds of its range, and stays inside", () => {
  const plan = morrisPlan(4, 5, new Random(1));
  assert.equal(plan.length, 25);
  for (let t = 0; t < 5; t++) {
    const points = plan.filter(({ trajectory }) => trajectory === t);
    assert.deepEqual(
      points.flatMap(({ moved }) => (moved === null ? [] : [moved.factor])).sort(),
      [0, 1, 2, 3],
    );
    for (const { shares, moved } of points) {
      for (const share of shares) assert.ok(share > -1e-12 && share < 1 + 1e-12);
      if (moved !== null) assert.ok(Math.abs(Math.abs(moved.by) - 2 / 3) < 1e-12);
    }
  }
});

test("effects of a linear function are its coefficients, in every trajectory", () => {
  const plan = morrisPlan(3, 6, new Random(2));
  const values = plan.map(({ shares: [a = 0, b = 0] }) => 5 + 2 * a - 7 * b);
  const effects = elementaryEffects(plan, values);
  for (const [k, want] of [2, -7, 0].entries()) {
    for (const effect of effects[k] ?? []) assert.ok(Math.abs(effect - want) < 1e-9);
  }
});

test("a factor that works through another has effects of different size", () => {
  const plan = morrisPlan(2, 20, new Random(3));
  const values = plan.map(({ shares: [a = 0, b = 0] }) => a * b);
  const [first] = elementaryEffects(plan, values);
  const seen = [...(first ?? [])];
  assert.ok(Math.max(...seen) - Math.min(...seen) > 0.5);
  assert.ok(seen.every((effect) => effect > -1e-9 && effect < 1 + 1e-9));
});

test("a run that failed leaves its two effects out", () => {
  const plan = morrisPlan(3, 2, new Random(4));
  const values = plan.map((_, i) => (i === 1 ? Number.NaN : i));
  const missing = elementaryEffects(plan, values).flatMap((own) => [...own].filter(Number.isNaN));
  assert.equal(missing.length, 2);
});
