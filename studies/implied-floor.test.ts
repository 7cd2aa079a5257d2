/** Tests of implied-floor.ts against published numbers and finite differences. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { impliedFloor, marginPush } from "./implied-floor.ts";

const script = { lambda_l: 0.0005, delta: 1.25, power: 2.5 };
const margins = { margin_hard: 1.5, margin_soft: 1, kappa: 2.5, lambda_d: 1 };

test("the floor is near −87 nats for the authors' script and near −4 with λl 0.1", () => {
  assert.ok(Math.abs(impliedFloor(script, 1) + 87) < 1, String(impliedFloor(script, 1)));
  assert.ok(Math.abs(impliedFloor({ ...script, lambda_l: 0.1 }, 1) + 4) < 0.2);
});

test("at the floor push and pull are equal", () => {
  for (const lambdaL of [0.001, 0.05, 1]) {
    for (const ratio of [0.5, 2]) {
      const u = -impliedFloor({ ...script, lambda_l: lambdaL }, 0.8, ratio) - script.delta;
      const pull = lambdaL * 2.5 * Math.log1p(Math.exp(u)) ** 1.5 * (1 / (1 + Math.exp(-u)));
      assert.ok(Math.abs(pull - 0.8 * ratio) < 1e-6, `${lambdaL}: ${pull}`);
    }
  }
});

test("no floor without a stabiliser, nor where one of power 1 is too weak; at most 0", () => {
  assert.equal(impliedFloor({ ...script, lambda_l: 0 }, 1), Number.NEGATIVE_INFINITY);
  assert.equal(impliedFloor({ ...script, lambda_l: 0.5, power: 1 }, 1), Number.NEGATIVE_INFINITY);
  assert.ok(Number.isFinite(impliedFloor({ ...script, lambda_l: 2, power: 1 }, 1)));
  assert.equal(impliedFloor({ ...script, lambda_l: 1000, delta: -5 }, 1e-6), 0);
});

test("the push is the slope of the margin term, and 0 from the hard margin on", () => {
  const f = (x: number): number => Math.max(1.5 - x, 0) / (1 + Math.exp(-2.5 * (1 - x)));
  for (const margin of [-2, 0, 0.5, 1, 1.4]) {
    const slope = (f(margin + 1e-6) - f(margin - 1e-6)) / 2e-6;
    assert.ok(Math.abs(marginPush(margins, margin) + slope) < 1e-6, String(margin));
  }
  assert.equal(marginPush(margins, 1.5), 0);
  assert.equal(marginPush(margins, 9), 0);
});
