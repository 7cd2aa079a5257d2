/** Lines of charts: each has a colour that no other line of its chart has. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { inCharts } from "./in-charts.ts";

const linesOf = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ name: `m${i}`, isEval: false, points: [] }));

test("more lines than colours are several charts, each with the line that is compared with", () => {
  const chart = { title: "Drift", unit: "nats", xLabel: "step" };
  const names = (count: number, shared: string | null): string[][] =>
    inCharts(chart, linesOf(count), shared).map(({ title, series }) => {
      assert.deepEqual(
        series.map(({ colour }) => colour),
        series.map((_, i) => i + 1),
      );
      return [title, ...series.map(({ name }) => name)];
    });
  assert.deepEqual(names(7, "m0"), [["Drift", "m0", "m1", "m2", "m3", "m4", "m5", "m6"]]);
  assert.deepEqual(names(8, "m1"), [
    ["Drift (1 of 2)", "m1", "m0", "m2", "m3", "m4", "m5", "m6"],
    ["Drift (2 of 2)", "m1", "m7"],
  ]);
  assert.deepEqual(
    names(14, null).map(({ length }) => length),
    [8, 8],
  );
});
