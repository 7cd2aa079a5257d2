/** Tests of bestOfBoth, on pairs made up so that it is known what is best where. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { MeasuredCondition, MeasuredRun } from "../../src/sweep/measured.ts";
import type { HeldOutPair } from "../../src/sweep/trial.ts";
import { bestOfBoth } from "./frontier.ts";

/** A condition whose pair i gains `gain(i)`: [chosen, rejected], nats per token. */
function condition(name: string, gain: (pair: number) => readonly [number, number]): MeasuredCondition {
  const pair = (i: number, [chosen, rejected]: readonly [number, number]): HeldOutPair => ({
    file: "held.jsonl",
    line: i + 1,
    chosen: [-1 + chosen],
    rejected: [-1 + rejected],
  });
  const all = Array.from({ length: 40 }, (_, i) => i);
  const run = {
    before: all.map((i) => pair(i, [0, 0])),
    after: all.map((i) => pair(i, gain(i))),
  } as Partial<MeasuredRun> as MeasuredRun;
  return { name, runs: [run], failed: [] };
}

test("the smaller of the two gains decides: much margin and lost likelihood is not both", () => {
  const best = bestOfBoth([
    condition("margin only", () => [-0.1, -2]),
    condition("likelihood only", () => [1, 1.1]),
    condition("both", () => [0.05, -0.05]),
  ]);
  assert.equal(best?.name, "both");
  assert.ok(Math.abs((best?.chosen.value ?? 0) - 0.05) < 1e-12);
  assert.ok(Math.abs((best?.margin.value ?? 0) - 0.1) < 1e-12);
  assert.equal(best?.margin.pairs, 20);
});

test("what was lucky on the pairs it was chosen by is told as it is on the others", () => {
  const best = bestOfBoth([
    condition("lucky", (i) => (i % 2 === 0 ? [0.3, -0.3] : [-0.2, 0])),
    condition("steady", () => [0.1, -0.1]),
  ]);
  assert.equal(best?.name, "lucky");
  assert.ok((best?.chosen.high ?? 0) < 0 && (best?.margin.high ?? 0) < 0);
});

test("conditions without runs are not chosen", () => {
  const empty: MeasuredCondition = {
    name: "failed",
    runs: [],
    failed: [{ seed: 1, reason: "out of memory" }],
  };
  assert.equal(bestOfBoth([empty]), null);
  assert.equal(bestOfBoth([empty, condition("worse", () => [-1, 0])])?.name, "worse");
});
