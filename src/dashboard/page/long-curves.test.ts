/** Curves of more points than are sent: what is drawn of them is that of all their values. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../../base/random.ts";
import { wireCurves, wireRow } from "../wire.ts";
import { addRows, type Curve, type Curves, curvesOf, pointsOver, smoothed, smoothOver } from "./curves.ts";
import { bandOf } from "./seed-bands.ts";

const count = 20_000;

/** Mostly small values and a few great ones, falling. */
function skewed(seed: number, length: number = count): number[] {
  const random = new Random(seed);
  return Array.from({ length }, (_, i) => (1 + 4 / (1 + i / 500)) * (-Math.log(1 - random.next())) ** 3);
}

const placed = (values: readonly number[]) =>
  values.map((loss, i) => ({
    ...{ row: { global_step: i + 1, loss }, epoch: i / 100, tokens: 10 * i, seconds: 2 * i },
  }));

/** The curve as the page has it: all but the last values loaded, those as rows that came later. */
function shown(values: readonly number[], smoothing: number, live = 0): Curve {
  const rows = placed(values);
  const sent = JSON.parse(JSON.stringify(wireCurves(rows.slice(0, rows.length - live), smoothing)));
  const curves: Curves = curvesOf(sent, smoothing);
  addRows(curves, rows.slice(rows.length - live).map(wireRow));
  return curves.get("loss") ?? assert.fail();
}

const drawing = (smoothing: number) => ({ over: "step" as const, epochRows: null, smoothing });

/** The greatest distance of a line, drawn through its points, from another at its steps, over what both reach. */
function farthest(line: { x: readonly number[]; y: readonly number[] }, whole: readonly number[]): number {
  const [least, most] = whole.reduce(([a, b], y) => [Math.min(a, y), Math.max(b, y)], [1e9, -1e9]);
  return (
    Math.max(...line.x.map((x, i) => Math.abs((line.y[i] ?? 1e9) - (whole[x - 1] ?? 1e9)))) / (most - least)
  );
}

for (const smoothing of [0.2, 0.9, 0.98]) {
  test(`the smoothed line of a long skewed curve is that of all its values: ${smoothing}`, () => {
    const values = skewed(1);
    const whole = smoothed(values, smoothing);
    for (const live of [0, 300]) {
      const line = smoothOver(shown(values, smoothing, live), drawing(smoothing));
      assert.ok(line.x.length >= 500 && line.x.length <= 1000 + live, `${line.x.length} points`);
      assert.ok(line.x.every((x, i) => x - (line.x[i - 1] ?? 0) <= count / 500));
      assert.equal(line.x.at(-1), count);
      assert.ok(farthest(line, whole) < 1e-9, `${farthest(line, whole)} of the picture's height`);
    }
  });
}

test("the raw line keeps its extremes, and what is not finite", () => {
  const values = skewed(2);
  values[777] = Number.NaN;
  const { x, y } = pointsOver(shown(values, 0), drawing(0));
  assert.ok(x.length <= 3001);
  assert.ok(x.includes(778));
  const finite = (some: readonly number[]) => some.filter(Number.isFinite);
  const most = (some: readonly number[]) => finite(some).reduce((a, b) => Math.max(a, b));
  const least = (some: readonly number[]) => finite(some).reduce((a, b) => Math.min(a, b));
  assert.deepEqual([least(y), most(y)], [least(values), most(values)]);
});

for (const lengths of [
  [count, count, count],
  [count, count - 5000, 2500],
]) {
  test(`the band of long curves is that of all their values: ${lengths.join(", ")} steps`, () => {
    const smoothing = 0.9;
    const all = lengths.map((length, n) => skewed(n, length));
    const at = (i: number): number[] => all.map((values) => values[i] ?? Number.NaN);
    const means = Array.from({ length: Math.min(...lengths) }, (_, i) =>
      at(i).reduce((sum, value) => sum + value / all.length, 0),
    );
    const { curve, low, high } = bandOf(
      all.map((values, n) => shown(values, smoothing, 100 * n)),
      smoothing,
    );
    const { x, y } = pointsOver(curve, drawing(smoothing));
    assert.ok(x.length > 50);
    assert.ok(farthest({ x, y }, means) < 1e-9);
    assert.ok(farthest(smoothOver(curve, drawing(smoothing)), smoothed(means, smoothing)) < 1e-9);
    x.forEach((step, i) => {
      const part = Array.from({ length: step - (x[i - 1] ?? 0) }, (_, n) => at(step - 1 - n)).flat();
      assert.ok(Math.abs((low[i] ?? 0) - Math.min(...part)) < 1e-12, `low at ${step}`);
      assert.ok(Math.abs((high[i] ?? 0) - Math.max(...part)) < 1e-12, `high at ${step}`);
    });
  });
}
