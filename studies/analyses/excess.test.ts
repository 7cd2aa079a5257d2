/** Excess over the baselines' curve, on points made up so that it is known. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { excessOf, overSets, type Point, readingOf, tradeOf } from "./excess.ts";

/** Points on a line of each set, `above` above it; sets differ by much more than methods. */
function points(
  name: string,
  chosenOf: (set: number) => number,
  { slope, above = 0, sets = 4 }: { slope: number; above?: number; sets?: number },
): Point[] {
  return Array.from({ length: sets }, (_, i) => i + 1).map((set) => {
    const chosen = chosenOf(set);
    const margin = 0.5 * set + slope * chosen + above;
    const drift = 0.1 + chosen ** 2;
    return { set, name, learningRate: 1e-3, chosen, margin, drift, tail: -2, otherText: 0 };
  });
}

const close = (got: readonly number[], want: readonly number[], by = 1e-12): void => {
  assert.equal(got.length, want.length);
  for (const [i, value] of got.entries()) assert.ok(Math.abs(value - (want[i] ?? Number.NaN)) < by, `${got}`);
};

const flat = { slope: -0.3 };
const baselines = [
  ...points("low", (set) => -0.2 - 0.01 * set, flat),
  ...points("middle", (set) => 0.1 + 0.02 * set, flat),
  ...points("high", () => 0.5, flat),
];

test("set by set: what lies above the line is found to the bit of the arithmetic, whatever the sets are", () => {
  assert.equal(readingOf(baselines), "set by set");
  const method = points("method", (set) => 0.05 * set, { ...flat, above: 0.04 });
  close(excessOf(method, baselines, "margin"), [0.04, 0.04, 0.04, 0.04]);
  // on the line itself nothing, and a baseline is held against the two others
  close(
    excessOf(
      points("on it", () => 0.3, flat),
      baselines,
      "margin",
    ),
    [0, 0, 0, 0],
  );
  close(excessOf(baselines.slice(4, 8), baselines, "margin"), [0, 0, 0, 0]);
});

test("drift is read at the same change of chosen", () => {
  const method = points("method", () => 0.5, flat).map((point) => ({ ...point, drift: 0.2 }));
  close(excessOf(method, baselines, "drift"), [0.2 - 0.35, 0.2 - 0.35, 0.2 - 0.35, 0.2 - 0.35]);
});

test("beyond the curve's ends nothing is read: those sets are left out", () => {
  const method = points("method", (set) => (set < 3 ? 0.2 : 0.6), { ...flat, above: 0.1 });
  close(excessOf(method, baselines, "margin"), [0.1, 0.1]);
  assert.deepEqual(
    excessOf(
      points("far", () => 0.9, flat),
      baselines,
      "margin",
    ),
    [],
  );
});

test("a short or a steep curve is read by the neighbours' means, one slope for all sets", () => {
  const steep = { slope: -8 };
  const curve = [
    ...points("low", (set) => 0.2 + 0.01 * (set % 2), steep),
    ...points("middle", (set) => 0.24 - 0.01 * (set % 2), steep),
    ...points("high", () => 0.3, steep),
  ];
  assert.equal(readingOf(curve), "neighbours");
  const method = points("method", (set) => 0.25 + 0.02 * (set % 2), { ...steep, above: 0.1 });
  close(excessOf(method, curve, "margin"), [0.1, 0.1, 0.1, 0.1], 1e-9);
  const short = [...points("low", () => 0.1, flat), ...points("high", () => 0.2, flat)];
  assert.equal(readingOf(short), "neighbours");
  assert.deepEqual(
    excessOf(
      points("far", () => 0.4, flat),
      short,
      "margin",
    ),
    [],
  );
  assert.deepEqual(excessOf([], short, "margin"), []);
});

test("over sets: Student's interval, and the effect that would have been seen", () => {
  const { sets, mean, low, high, smallest } = overSets([0, 0.01, 0.02, 0.03]);
  // sd 0.01291, error 0.006455; t 3.1824 and 0.9785 at three degrees
  close([sets, mean], [4, 0.015]);
  close([low, high, smallest], [0.015 - 0.020542, 0.015 + 0.020542, 0.026858], 2e-6);
  // six sets, 80 %: 1.43 standard deviations, as in the pilot
  const six = overSets([-1, 1, -1, 1, -1, 1]);
  assert.ok(Math.abs(six.smallest / Math.sqrt(6 / 5) - 1.425) < 1e-3);
  assert.ok(Number.isNaN(overSets([0.1]).low) && Number.isNaN(overSets([]).mean));
});

test("noise without an effect: nineteen of twenty intervals hold 0, and an effect of the smallest size is seen in four of five", () => {
  let state = 1;
  const uniform = (): number => {
    state = (state * 16807) % 2147483647;
    return state / 2147483647;
  };
  const normal = (): number => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  const studies = 4000;
  let [holds, seen] = [0, 0];
  const size = 2.0806;
  for (let i = 0; i < studies; i++) {
    const values = Array.from({ length: 4 }, normal);
    const { low, high } = overSets(values);
    if (low <= 0 && high >= 0) holds += 1;
    if (overSets(values.map((value) => value + size)).low > 0) seen += 1;
  }
  assert.ok(Math.abs(holds / studies - 0.95) < 0.015, `${holds / studies}`);
  // with the true deviation 1: (3.182 + 0.978) / √4
  assert.ok(Math.abs(seen / studies - 0.8) < 0.05, `${seen / studies}`);
});

test("the trade is what a nat of chosen costs in margin", () => {
  close([tradeOf(points("line", (set) => set, { slope: -0.8 }))], [0.3]);
  assert.ok(Number.isNaN(tradeOf([{ chosen: 1, margin: 1 }])));
});
