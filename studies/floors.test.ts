/** Tests of floors.ts, on pairs whose margins are known. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { SlimeSettings } from "../src/methods/slime/settings.ts";
import type { MeasuredCondition, MeasuredRun } from "../src/sweep/measured.ts";
import type { HeldOutPair } from "../src/sweep/trial.ts";
import { floorsOf, floorText } from "./floors.ts";
import { impliedFloor, marginPush } from "./implied-floor.ts";

const settings = {
  objective: "slime",
  lambda_l: 0.1,
  delta: 1.25,
  power: 2.5,
  margin_hard: 1.5,
  margin_soft: 1,
  kappa: 2.5,
  lambda_d: 1,
} as SlimeSettings;

/** Pairs whose margins before and after training are spread evenly by ±0.2 around `first` and `last`. */
function condition(first: number, last: number, own: SlimeSettings = settings): MeasuredCondition {
  const pairs = (margin: number): HeldOutPair[] =>
    Array.from({ length: 50 }, (_, i) => ({
      file: "held.jsonl",
      line: i + 1,
      chosen: [-1],
      rejected: [-1 - margin - 0.4 * (i / 49 - 0.5)],
    }));
  const run = { settings: own, before: pairs(first), after: pairs(last) } as unknown as Partial<MeasuredRun>;
  return { name: "one", runs: [run as MeasuredRun], failed: [] };
}

test("the floor is that of the mean margin, its interval what the margin's interval allows", () => {
  const { first, last } = floorsOf(condition(0.2, 1.2));
  for (const [floor, margin] of [
    [first, 0.2],
    [last, 1.2],
  ] as const) {
    assert.ok(Math.abs(floor.value - impliedFloor(settings, marginPush(settings, margin))) < 1e-9);
    assert.ok(floor.low < floor.value && floor.value < floor.high, floorText(floor));
    assert.equal(floor.pairs, 50);
  }
  assert.ok(first.value < last.value, "less push, a higher floor");
});

test("where the push has its peak inside the margin's interval, the floor's low end is that of the peak", () => {
  const peak = Array.from({ length: 3000 }, (_, i) => i / 1000 - 1).reduce((best, margin) =>
    marginPush(settings, margin) > marginPush(settings, best) ? margin : best,
  );
  const { last } = floorsOf(condition(0, peak));
  const lowest = impliedFloor(settings, marginPush(settings, peak));
  assert.ok(Math.abs(last.low - lowest) < 1e-3, `${last.low} and ${lowest}`);
});

test("without a stabiliser there is none", () => {
  const { first } = floorsOf(condition(0, 1, { ...settings, lambda_l: 0 }));
  assert.equal(floorText(first), "none");
});
