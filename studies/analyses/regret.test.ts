/** Regret where runs failed: settings are chosen and compared on the seeds that they have in common. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { MeasuredCondition, MeasuredRun } from "../../src/sweep/measured.ts";
import { regret } from "./regret.ts";

/** A condition whose runs, by seed, raised each pair's chosen answer by so much. */
function conditionOf(name: string, gains: Readonly<Record<number, number>>): [string, MeasuredCondition] {
  const pair = (line: number, chosen: number) => ({ file: "held", line, chosen: [chosen], rejected: [-1] });
  const runs = Object.entries(gains).map(([seed, gain]) => ({
    trial: { seed: Number(seed) },
    before: [pair(1, -1), pair(2, -1)],
    after: [pair(1, gain - 1), pair(2, gain - 1)],
  }));
  return [name, { name, runs: runs as unknown as MeasuredRun[], failed: [] }];
}

test("seeds are paired by their number, and settings chosen on the seeds that all have", () => {
  // seed 2 is the easy one: what has it alone looks best, and at its place stands another's seed 1
  const measured = new Map([
    conditionOf("A: default", { 1: 0.1, 2: 1.1 }),
    conditionOf("A: high", { 1: 0.2, 2: 1.2 }),
    conditionOf("A: low", { 2: 1 }),
    conditionOf("B: default", { 1: 0.1, 2: 1.1 }),
    conditionOf("B: high", { 1: 0, 2: 1 }),
    conditionOf("B: low", { 2: 1.15 }),
  ]);
  const { rows = [] } = regret(measured, (name) => (name.endsWith(": default") ? null : "A: default"));
  const of = (condition: string, metric: string) => {
    const interval = rows.find((row) => row.condition === condition && row.metric === metric)?.interval;
    return [Number(interval?.value.toFixed(9)), interval?.seeds];
  };
  assert.deepEqual(of("A", "regret_of_default_chosen_change"), [0.1, 2]);
  assert.deepEqual(of("B to A", "regret_of_transfer_chosen_change"), [0.2, 1]);
  // on B low is chosen, with seed 2: high has its other seed in the first place
  assert.deepEqual(of("A to B", "regret_of_transfer_chosen_change"), [0.15, 1]);
  assert.deepEqual(of("B", "regret_of_default_chosen_change"), [0.05, 1]);
});
