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
