/** Charts of conditions: which points are joined, and where marks stand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { intervalChartHtml } from "./interval-chart.ts";
import { type ScatterPoint, scatterChartHtml } from "./scatter-chart.ts";

const point = (name: string, x: number, y: number, isJoined = false): ScatterPoint => ({
  ...{ name, mark: name, colour: 1, isJoined },
  x: { value: x, low: Number.NaN, high: Number.NaN },
  y: { value: y, low: Number.NaN, high: Number.NaN },
});

const drawn = (points: readonly ScatterPoint[]): string =>
  scatterChartHtml({ title: "t", xLabel: "x", yLabel: "y", points }).text;

const numbers = (text: string, pattern: RegExp): number[][] =>
  [...text.matchAll(pattern)].map(([, ...found]) => found.map(Number));

test("only the points that say so are joined, in their order", () => {
  const svg = drawn([
    point("a", 0, 0, true),
    point("b", 1, 3),
    point("c", 2, 1, true),
    point("d", 3, 2, true),
  ]);
  const dots = numbers(svg, /class="dot full" cx="([\d.]+)" cy="([\d.]+)"/g);
  const path = /class="line whisker" d="M([^"]+)"/.exec(svg)?.[1] ?? "";
  assert.deepEqual(
    path.split("L").map((pair) => pair.split(" ").map(Number)),
    [dots[0], dots[2], dots[3]],
  );
  assert.doesNotMatch(drawn([point("a", 0, 0), point("b", 1, 3)]), /line whisker/);
});

test("marks of points that lie close cover neither a point nor each other", () => {
  const close = [0, 0.012, 0.024].map((x, i) => point(`1${i}`, 0.5 + x, 0.5 + x / 4));
  const svg = drawn([point("x", 0, 0), ...close, point("y", 1, 1)]);
  const dots = numbers(svg, /class="dot full" cx="([\d.]+)" cy="([\d.]+)"/g).slice(1, 4);
  const marks = [...svg.matchAll(/class="over" x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)">(1\d)/g)];
  const boxes = marks.map(([, x, y, anchor, { length } = ""]) => {
    const left = Number(x) - (anchor === "end" ? 7 * length : 0);
    return { left, right: left + 7 * length, top: Number(y) - 10, bottom: Number(y) };
  });
  assert.equal(boxes.length, 3);
  for (const [i, box] of boxes.entries()) {
    for (const [cx = 0, cy = 0] of dots)
      assert.ok(
        cx < box.left || cx > box.right || cy < box.top || cy > box.bottom,
        `a mark covers ${cx} ${cy}`,
      );
    for (const other of boxes.slice(i + 1))
      assert.ok(
        box.left >= other.right ||
          other.left >= box.right ||
          box.top >= other.bottom ||
          other.top >= box.bottom,
        "two marks meet",
      );
  }
});

test("numbers of the axes differ, however close the points or intervals lie", () => {
  const texts = (svg: string, anchor: string): (string | undefined)[] =>
    [...svg.matchAll(new RegExp(`text-anchor="${anchor}">([−\\d.]+)<`, "g"))].map(([, text]) => text);
  const svg = drawn([point("a", 100.001, -2.2111), point("b", 100.004, -2.2114)]);
  const interval = { value: 100.002, low: 100.001, high: 100.004 };
  const chart = intervalChartHtml({ title: "t", unit: "u", rows: [{ name: "a", interval }] }).text;
  for (const found of [texts(svg, "middle"), texts(svg, "end"), texts(chart, "middle")]) {
    assert.ok(found.length >= 4, found.join());
    assert.equal(new Set(found).size, found.length, found.join());
  }
});
