/** Tests of what the guarantees study reads from files of its runs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { MeasuredRun } from "../../src/sweep/measured.ts";
import { guarantees } from "./guarantees.ts";

test("a coupling.json as earlier versions wrote it is read: --reuse takes such runs", () => {
  const pair = { rho: 0.5, pull: 1, drag: 0.25, predicted: 0.001, realised: 0.002 };
  const step = { size: 0.001, predicted: [0.001], realised: [0.0015] };
  const places = ["start", "end"].map((place) => ({
    place,
    weights: 8,
    pairs: [pair],
    steps: [step],
    cosines: [[1]],
  }));
  const run = { settings: { objective: "dpo" }, extra: places } as unknown as MeasuredRun;
  const sections = guarantees.sections(new Map([["DPO", { name: "DPO", runs: [run], failed: [] }]]), null);
  const rows = sections.flatMap((section) => section.rows ?? []);
  assert.deepEqual(
    rows.filter(({ metric }) => metric === "rho").map(({ condition }) => condition),
    ["DPO, start", "DPO, end"],
  );
  assert.deepEqual(
    rows.filter(({ metric }) => metric === "step_realised_change").map(({ condition }) => condition),
    ["DPO, start, size 0.001", "DPO, end, size 0.001"],
  );
});

test("pairs of one prompt are drawn together: said twice, they make no interval narrower", () => {
  const pairs = Array.from({ length: 8 }, (_, i) => ({
    ...{ rho: i / 8, pull: 1, drag: 0.25, predicted: 0.001 },
    realised: i % 3 === 0 ? -0.002 : 0.002,
  }));
  const intervalsOf = (times: number) => {
    const repeated = pairs.flatMap((pair, i) => Array.from({ length: times }, () => ({ pair, prompt: i })));
    const coupling = {
      ...{ place: "start", weights: 8, cosines: [], pairs: repeated.map(({ pair }) => pair) },
      prompts: repeated.map(({ prompt }) => prompt),
      steps: [
        {
          ...{ size: 0.001, predicted: repeated.map(({ pair }) => pair.predicted) },
          realised: repeated.map(({ pair }) => pair.realised),
        },
      ],
    };
    const run = { settings: { objective: "dpo" }, extra: [coupling] } as unknown as MeasuredRun;
    const sections = guarantees.sections(new Map([["DPO", { name: "DPO", runs: [run], failed: [] }]]), null);
    const rows = sections.flatMap((section) => section.rows ?? []);
    return rows.map(({ metric, interval: { low, high } }) => [metric, low.toFixed(9), high.toFixed(9)]);
  };
  const once = intervalsOf(1);
  assert.ok(once.length > 4);
  assert.deepEqual(intervalsOf(2), once);
});
