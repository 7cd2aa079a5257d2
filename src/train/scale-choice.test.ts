/** The rule that picks a scale: planted truths, noise, bounds, and halves that are apart. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "../base/errors.ts";
import { Random } from "../base/random.ts";
import type { Example } from "../data/example.ts";
import { choiceText } from "../report/scales-section.ts";
import type { ScaleRule } from "../runs/scale-record.ts";
import { chosenScale, halvesOf, type MeasuredScale } from "./scale-choice.ts";

const scales = [0, 0.25, 0.5, 0.75, 1, 1.25];
const count = 60;

/** Pairs whose margin is highest at scale 0.5 (or nowhere), with noise that the scales of a pair share in part. */
function measured(seed: number, height: number): MeasuredScale[] {
  const random = new Random(seed);
  const noise = () => random.next() - 0.5;
  const own = Array.from({ length: count }, () => noise());
  return scales.map((scale) => ({
    scale,
    pairs: own.map((shared) => {
      const gain = height * (scale - scale ** 2) + scale * (height === 0 ? shared : 0.2 * noise());
      return { chosen: -scale, rejected: -scale - gain, margin: gain };
    }),
    changes: own.map((_, row) => ({
      row,
      role: "chosen",
      changes: Float32Array.of(-scale, scale),
      logps: Float32Array.of(-1, -1),
    })),
  }));
}

/** Pair i of the prompt `prompts[i]`. */
const examplesOf = (prompts: readonly number[]): Example[] =>
  prompts.map((prompt, i) => ({
    origin: { file: "rows", line: i + 1 },
    promptIds: [1, prompt],
    completions: [{ ids: [2, i] }, { ids: [3, i] }],
  }));
const halves = halvesOf(examplesOf(Array.from({ length: count }, (_, i) => i)));
const choose = (of: MeasuredScale[], rule: ScaleRule) => chosenScale(of, rule, halves);

test("a planted best scale is found within 0.25 in nine of ten seeds, and the halves are apart", () => {
  assert.equal(halves.choosing.size + halves.reporting.size, count);
  assert.ok([...halves.choosing].every((row) => !halves.reporting.has(row)));
  const found = Array.from({ length: 10 }, (_, seed) => choose(measured(seed, 4), { max: "margin" }));
  assert.ok(found.filter(({ scale }) => scale === 0.5).length >= 9, found.map(({ scale }) => scale).join());
  const [first] = found;
  assert.ok(first !== undefined && first.figures.margin.low > 0.8 && first.figures.margin.high < 1.2);
  assert.equal(first.isUndecided, false);
  // of a share the interval ends at 1
  const { accuracy } = first.figures;
  assert.ok(
    accuracy.low > 0.8 && accuracy.low < accuracy.value && accuracy.high <= 1,
    JSON.stringify(accuracy),
  );
});

test("of noise nothing can be told, and the smallest scale is kept", () => {
  const told = Array.from({ length: 10 }, (_, seed) => choose(measured(100 + seed, 0), { max: "margin" }));
  assert.ok(told.filter(({ isUndecided, scale }) => isUndecided && scale === 0).length >= 8);
});

test("a noisy large scale does not hide one that is surely better than the start", () => {
  const [template] = measured(1, 0) as [MeasuredScale];
  const ranks = new Map(
    [halves.choosing, halves.reporting].flatMap((half) => [...half].map((row, i) => [row, i])),
  );
  const of = (scale: number, mean: number, deviation: number): MeasuredScale => ({
    ...{ ...template, scale },
    pairs: template.pairs.map((_, row) => {
      const gain = mean + ((ranks.get(row) ?? 0) % 2 === 0 ? deviation : -deviation);
      return { chosen: gain / 2, rejected: -gain / 2, margin: gain };
    }),
  });
  const all = [of(0, 0, 0), of(0.25, 0.2, 0.25), of(1, 0.35, 1.6)];
  const { scale, best, isUndecided } = choose(all, { max: "margin" });
  assert.deepEqual([scale, best, isUndecided], [0.25, 1, false]);
  assert.equal(choose(all.slice(0, 2), { max: "margin" }).scale, 0.25);
});

test("the reported figures are of the other half: what chooses does not change them", () => {
  const all = measured(3, 4);
  const before = choose(all, { max: "margin" });
  const changed = all.map((one) => ({
    ...one,
    pairs: one.pairs.map((pair, row) =>
      halves.choosing.has(row) && one.scale === before.scale
        ? { ...pair, rejected: pair.rejected - 5 }
        : pair,
    ),
  }));
  const after = choose(changed, { max: "margin" });
  assert.deepEqual(after.figures, before.figures);
});

test("bounds leave out scales; where none meets them the nearest is named", () => {
  const all = measured(3, 4);
  assert.equal(choose(all, { max: "margin", chosen_min: -0.3 }).scale, 0.25);
  assert.equal(choose(all, { max: "margin", drift_max: 0.3 }).scale, 0.25);
  assert.equal(choose(all, { max: "margin", tail_min: -0.3 }).scale, 0.25);
  assert.throws(
    () => choose(all, { max: "margin", chosen_min: 0.5 }),
    (error) =>
      error instanceof ConfigError && /no scale meets the bounds: the nearest is 0, /.test(error.message),
  );
});

test("pairs of one prompt are in one half; too few pairs, and too few prompts for two halves, are refused", () => {
  const prompts = Array.from({ length: 40 }, (_, i) => Math.floor(i / 4));
  const { choosing, reporting } = halvesOf(examplesOf(prompts));
  const of = (half: ReadonlySet<number>) => new Set([...half].map((row) => prompts[row]));
  assert.deepEqual([choosing.size, reporting.size], [20, 20]);
  assert.ok([...of(choosing)].every((prompt) => !of(reporting).has(prompt)));
  assert.throws(
    () => halvesOf(examplesOf(Array.from({ length: 29 }, (_, i) => i))),
    /at least 30 pairs, got 29/,
  );
  const crowded = Array.from({ length: 40 }, (_, i) => (i < 35 ? 0 : i));
  assert.throws(() => halvesOf(examplesOf(crowded)), /6 different prompts, and one half would have 5 pairs/);
});

test("four copies of each pair choose and report as the pairs themselves: intervals are over prompts", () => {
  const all = measured(5, 1.2);
  const single = choose(all, { max: "margin", chosen_min: -0.6 });
  const copied = all.map(({ scale, pairs, changes }) => ({
    scale,
    pairs: pairs.flatMap((pair) => Array.from({ length: 4 }, () => pair)),
    changes: changes.flatMap((change) =>
      Array.from({ length: 4 }, (_, copy) => ({ ...change, row: 4 * change.row + copy })),
    ),
  }));
  const prompts = Array.from({ length: 4 * count }, (_, i) => Math.floor(i / 4));
  const of = chosenScale(copied, { max: "margin", chosen_min: -0.6 }, halvesOf(examplesOf(prompts)));
  assert.deepEqual([of.choosing, of.reporting, of.prompts], [120, 120, { choosing: 30, reporting: 30 }]);
  assert.deepEqual([of.scale, of.best, of.isUndecided], [single.scale, single.best, single.isUndecided]);
  for (const name of ["chosen", "margin", "accuracy"] as const) {
    for (const part of ["value", "low", "high"] as const) {
      assert.ok(Math.abs(of.figures[name][part] - single.figures[name][part]) < 1e-9, `${name} ${part}`);
    }
  }
  assert.match(choiceText(of), /hosen on 120 pairs of 30 prompts.*the other 120 pairs of 30 prompts/);
});

test("the drift on the reporting half has an interval over prompts, and each bound is said to hold there or not", () => {
  // half of the pairs move twice as far as the others
  const far = (row: number) => (row % 2 === 0 ? 2 : 1);
  const all = measured(3, 4).map((one) => ({
    ...one,
    changes: one.changes.map((change) => ({
      ...change,
      changes: Float32Array.of(-far(change.row) * one.scale, far(change.row) * one.scale),
    })),
  }));
  const rows = [...halves.reporting];
  const of = chosenScale(
    all.filter(({ scale }) => scale === 0.5),
    { max: "margin", drift_max: 0.9, tail_min: -3, chosen_min: -0.5 },
    halves,
  );
  const { drift, drift_interval: range } = of.figures;
  const want = rows.reduce((sum, row) => sum + far(row) / 2, 0) / rows.length;
  assert.ok(Math.abs(drift - want) < 1e-6, `${drift}, ${want}`);
  // the deviation of a pair's own is 0.25; of the mean of 30 it is 0.25 / √30
  const half = Number(range?.high) - Number(range?.low);
  const expected = (2 * 1.96 * 0.25) / Math.sqrt(rows.length);
  assert.ok(half > 0.8 * expected && half < 1.2 * expected, `${half}, ${expected}`);
  assert.deepEqual(
    of.bounds?.map(({ name, held }) => [name, held]),
    [
      ["chosen_min", true],
      ["drift_max", true],
      ["tail_min", true],
    ],
  );
  // what holds on the half that chose may be missed on the other
  const unlucky = all.map((one) => ({
    ...one,
    pairs: one.pairs.map((pair, row) => (halves.reporting.has(row) ? { ...pair, chosen: -9 } : pair)),
  }));
  const missed = choose(
    unlucky.filter(({ scale }) => scale === 0.5),
    { max: "margin", chosen_min: -0.5 },
  );
  assert.deepEqual(missed.bounds, [{ name: "chosen_min", bound: -0.5, held: false }]);
  assert.match(choiceText(missed), /Of the bounds there: chosen_min -0\.5 is missed\.$/);
});

test("two prompts of many pairs are no two halves", () => {
  const prompts = Array.from({ length: 40 }, (_, i) => i % 2);
  assert.throws(
    () => halvesOf(examplesOf(prompts)),
    /40 pairs have 2 different prompts.*Hold out pairs of more/,
  );
});

test("a scale that ruins a token fails a bound on drift and on tail, and one without a likelihood is never chosen", () => {
  const ruined = (value: number) =>
    measured(3, 4).map((one) =>
      one.scale < 0.5
        ? one
        : { ...one, changes: one.changes.map((of) => ({ ...of, changes: Float32Array.of(0, value) })) },
    );
  for (const value of [Number.NaN, Number.NEGATIVE_INFINITY]) {
    assert.equal(choose(ruined(value), { max: "margin" }).scale, 0.5);
    assert.equal(choose(ruined(value), { max: "margin", drift_max: 9 }).scale, 0.25);
    assert.equal(choose(ruined(value), { max: "margin", tail_min: -9 }).scale, 0.25);
  }
  const broken = measured(3, 4).map((one) => ({
    ...one,
    pairs: one.pairs.map((pair) => (one.scale === 0.5 ? { ...pair, chosen: Number.NaN } : pair)),
  }));
  assert.notEqual(choose(broken, { max: "margin" }).scale, 0.5);
});
