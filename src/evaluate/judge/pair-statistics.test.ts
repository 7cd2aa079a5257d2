/** Tests of pair-statistics.ts, bradley-terry.ts, judge-bias.ts and logistic.ts: by hand, and on made-up pairs whose truth is known. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../../base/random.ts";
import { percentileInterval } from "../../stats/bootstrap.ts";
import { fitLogistic, sigmoid } from "../../stats/logistic.ts";
import type { JudgedPair } from "./judged-pair.ts";
import { type PairStatistics, pairStatistics } from "./pair-statistics.ts";
import type { AnswerStyle } from "./style.ts";
import type { PairVerdict } from "./verdicts.ts";

const near = (actual: number, expected: number, tolerance = 1e-9): void =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not within ${tolerance} of ${expected}`);

const style = (length: number, rest: Partial<AnswerStyle> = {}): AnswerStyle => ({
  length,
  headers: 0,
  bold: 0,
  lists: 0,
  ...rest,
});

type Verdicts = JudgedPair["verdicts"];

const pair = (id: number, verdicts: Verdicts, lengths: [number, number] = [10, 10]): JudgedPair => ({
  id: String(id),
  category: id < 3 ? "low" : "high",
  turn: 1,
  verdicts,
  styles: [style(lengths[0]), style(lengths[1])],
});

/** Seven pairs; all statistics below are counted by hand from this table. */
const seven: JudgedPair[] = [
  pair(0, [2, 1], [30, 10]), // A wins
  pair(1, [1, 2], [20, 10]), // A wins
  pair(2, [1, -1], [10, 30]), // whatever stands first wins: tie
  pair(3, [-1, 1], [10, 10]), // whatever stands second wins: tie
  pair(4, [0, -2], [20, 30]), // no agreement: tie
  pair(5, [-2, -1], [10, 20]), // B wins
  pair(6, [1, null], [10, 40]), // incomplete
];

test("wins, ties, losses and win rates by hand", () => {
  const { outcomes, perCategory, incomplete, bradleyTerry } = pairStatistics(seven, { strongWeight: 3 });
  assert.deepEqual([outcomes.pairs, outcomes.wins, outcomes.ties, outcomes.losses], [6, 2, 3, 1]);
  near(outcomes.winRate.value, 3.5 / 6);
  near(outcomes.shares.win.value + outcomes.shares.tie.value, 5 / 6);
  near(outcomes.shares.loss.value, 1 / 6);
  assert.equal(outcomes.shares.loss.interval.low, 0);
  assert.equal(incomplete, 1);
  near(perCategory["low"]?.winRate.value ?? 0, 2.5 / 3);
  near(perCategory["high"]?.winRate.value ?? 0, 1 / 3);
  // 13 verdicts. A: 3 + 1, 1 + 3, 1, 1, half of the tie, 1 = 11.5; B: 1, 1, half of the tie, 3, 3 + 1 = 9.5
  assert.equal(bradleyTerry.verdicts, 13);
  near(bradleyTerry.winRate.value, 11.5 / 21);
  const single = pairStatistics(seven, { strongWeight: 1 }).bradleyTerry;
  // A: 2 + 2 + 1 + 1 + 0.5 + 0 + 1 = 7.5 of 13
  near(single.winRate.value, 7.5 / 13);
});

test("position bias by hand", () => {
  const { positionBias: bias } = pairStatistics(seven, { strongWeight: 3 });
  assert.equal(bias.pairs, 6);
  near(bias.changed.value, 3 / 6);
  assert.deepEqual([bias.favoursFirst, bias.favoursSecond], [1, 1]);
  // Of the six complete pairs 11 verdicts are decided. Won by what stood first: 0 and 1 once each, 2 twice, 3 never,
  // 4: its second order has B first, and B wins, once; 5: its second order, once.
  assert.equal(bias.decided, 11);
  near(bias.firstShare.value, 6 / 11);
});

test("length bias by hand", () => {
  const { lengthBias: bias } = pairStatistics(seven, { strongWeight: 3 });
  assert.equal(bias.pairs, 7);
  // Decided verdicts on answers of different length: 0 and 1: four, all to the longer; 2: one of two; 4: one, to the longer;
  // 5: two, to the longer; 6: one, to the shorter. 3 has equal lengths.
  assert.equal(bias.decided, 10);
  near(bias.longerShare.value, 8 / 10);
  // x = (a − b) / (a + b), y = mean sign of the verdicts
  const x = [0.5, 1 / 3, -0.5, 0, -0.2, -1 / 3, -0.6];
  const y = [1, 1, 0, 0, -0.5, -1, 1];
  const [mx, my] = [x, y].map((values) => values.reduce((a, b) => a + b, 0) / 7) as [number, number];
  const sum = (f: (i: number) => number): number => x.reduce((total, _, i) => total + f(i), 0);
  const dx = (i: number): number => (x[i] as number) - mx;
  const dy = (i: number): number => (y[i] as number) - my;
  const expected = sum((i) => dx(i) * dy(i)) / Math.sqrt(sum((i) => dx(i) ** 2) * sum((i) => dy(i) ** 2));
  near(bias.correlation.value, expected, 1e-12);
});

test("both turns of a question are one of it: the share of changed winners is not surer for a second turn", () => {
  const once = Array.from({ length: 20 }, (_, i) => pair(i, i < 5 ? [1, -1] : [1, 1]));
  const turns = once.flatMap((one): JudgedPair[] => [one, { ...one, turn: 2 }]);
  const [one, two] = [once, turns].map((pairs) => pairStatistics(pairs, { strongWeight: 3 }).positionBias);
  assert.deepEqual([one?.pairs, two?.pairs], [20, 40]);
  near(two?.changed.value ?? 0, 5 / 20);
  assert.deepEqual(two?.changed, one?.changed);
});

test("both orders of a question are one of it: the longer answer's share is not surer for being asked twice", () => {
  const once = Array.from({ length: 20 }, (_, i) => pair(i, [i < 5 ? -1 : 1, null], [30, 10]));
  const twice = once.map((one): JudgedPair => ({ ...one, verdicts: [one.verdicts[0], one.verdicts[0]] }));
  const [single, both] = [once, twice].map((pairs) => pairStatistics(pairs, { strongWeight: 3 }).lengthBias);
  assert.deepEqual([single?.decided, both?.decided], [20, 40]);
  assert.deepEqual(both?.longerShare, single?.longerShare);
});

test("4 wins of 4 questions are not 1 to 1: Clopper and Pearson's lower end", () => {
  const four = Array.from({ length: 4 }, (_, i) => pair(i, [1, 2], [30, 10]));
  const { outcomes, bradleyTerry, lengthBias, positionBias } = pairStatistics(four, { strongWeight: 3 });
  // as scipy's binomtest(4, 4).proportion_ci() has it: 0.025 ** (1/4)
  for (const { value, interval } of [
    outcomes.winRate,
    outcomes.shares.win,
    bradleyTerry.winRate,
    bradleyTerry.lengthControlled.winRate,
    bradleyTerry.styleControlled.winRate,
    lengthBias.longerShare,
  ]) {
    near(value, 1, 1e-5);
    near(interval.low, 0.39763536, 1e-8);
    near(interval.high, 1);
  }
  near(outcomes.shares.loss.interval.low, 0);
  near(outcomes.shares.loss.interval.high, 1 - 0.39763536, 1e-8);
  // a half in each of four: of all at least as many are a half, and the rest may be anything
  near(positionBias.firstShare.interval.low, 0.39763536 / 2, 1e-8);
  near(positionBias.firstShare.interval.high, 1 - 0.39763536 / 2, 1e-8);
  const { length } = bradleyTerry.lengthControlled.coefficients;
  assert.ok(Number.isNaN(length?.interval.low), "where nothing differs nothing tells what length does");
});

test("4 ties of 4 questions are not half of all for certain, at any length", () => {
  const four = [10, 20, 30, 40].map((length, i) => pair(i, [0, 0], [length, 25]));
  const { winRate, lengthControlled } = pairStatistics(four, { strongWeight: 3 }).bradleyTerry;
  for (const { value, interval } of [winRate, lengthControlled.winRate]) {
    near(value, 0.5);
    near(interval.low, 0.39763536 / 2, 1e-8);
    near(interval.high, 1 - 0.39763536 / 2, 1e-8);
  }
});

test("statistics do not depend on which model is called A", () => {
  const turned = seven.map(({ verdicts: [first, second], styles: [a, b], ...rest }): JudgedPair => {
    const other = (verdict: PairVerdict | null): PairVerdict | null =>
      verdict === null ? null : ((0 - verdict) as PairVerdict);
    return { ...rest, verdicts: [other(second), other(first)], styles: [b, a] };
  });
  const [one, two] = [seven, turned].map((pairs) => pairStatistics(pairs, { strongWeight: 3 })) as [
    PairStatistics,
    PairStatistics,
  ];
  near(one.outcomes.winRate.value + two.outcomes.winRate.value, 1);
  for (const key of ["lengthControlled", "styleControlled"] as const) {
    near(one.bradleyTerry[key].winRate.value + two.bradleyTerry[key].winRate.value, 1, 1e-6);
    near(
      one.bradleyTerry[key].coefficients["length"]?.value ?? 0,
      two.bradleyTerry[key].coefficients["length"]?.value ?? 1,
      1e-6,
    );
  }
  near(one.positionBias.firstShare.value, two.positionBias.firstShare.value);
  near(one.lengthBias.longerShare.value, two.lengthBias.longerShare.value);
});

test("without a verdict there is no statistic, and none is made up", () => {
  const none = pairStatistics([pair(0, [null, null])], { strongWeight: 3 });
  assert.equal(none.incomplete, 1);
  assert.ok(Number.isNaN(none.outcomes.winRate.value));
  assert.ok(Number.isNaN(none.bradleyTerry.styleControlled.winRate.value));
  assert.ok(Number.isNaN(none.lengthBias.correlation.value));
});

test("logistic regression: two groups have the log-odds of their means, whatever their weights", () => {
  // x = 0: outcomes 1, 0, 0 of weight 1, 1, 2: mean 1/4. x = 1: outcomes 0.5 and 1 of weight 1: mean 3/4.
  const data = {
    covariates: Float64Array.from([1, 0, 1, 0, 1, 0, 1, 1, 1, 1]),
    outcomes: Float64Array.from([1, 0, 0, 0.5, 1]),
    weights: Float64Array.from([1, 1, 2, 1, 1]),
  };
  const [base = 0, effect = 0] = fitLogistic(data, { penalties: [0, 0] });
  near(base, Math.log(1 / 3));
  near(effect, 2 * Math.log(3));
  const [again = 0] = fitLogistic(data, { penalties: [0, 0], start: [3, -4] });
  near(again, base);
});

test("logistic regression: separated data end where the penalty holds them", () => {
  const data = {
    covariates: Float64Array.from([1, -1]),
    outcomes: Float64Array.from([1, 0]),
    weights: Float64Array.from([1, 1]),
  };
  const [b = 0] = fitLogistic(data, { penalties: [1] });
  // At the maximum the gradient is 0: 2 (1 − p) = b.
  near(2 * (1 - sigmoid(b)), b);
});

/** Pairs of a judge with a known preference: log-odds of A = strength + effect · (standardised length difference). */
function drawn(count: number, strength: number, effect: number, longer: number): JudgedPair[] {
  const random = new Random(5);
  const lengths = Array.from({ length: count }, () => {
    const a = 50 + random.below(100) + longer;
    const b = 50 + random.below(100);
    return { a, b, x: (a - b) / (a + b) };
  });
  const mean = lengths.reduce((sum, { x }) => sum + x, 0) / count;
  const spread = Math.sqrt(lengths.reduce((sum, { x }) => sum + (x - mean) ** 2, 0) / count);
  return lengths.map(({ a, b, x }, i) => {
    const p = sigmoid(strength + (effect * x) / spread);
    const verdict = (): PairVerdict => (random.next() < p ? 1 : -1);
    return pair(i, [verdict(), verdict()], [a, b]);
  });
}

test("length control finds the strength and the judge's love of length that made the pairs", () => {
  const { lengthControlled, styleControlled, winRate } = pairStatistics(drawn(2000, 0.5, 1, 40), {
    strongWeight: 1,
    bootstrap: { rounds: 200 },
  }).bradleyTerry;
  near(lengthControlled.winRate.value, sigmoid(0.5), 0.03);
  near(lengthControlled.coefficients["length"]?.value ?? 0, 1, 0.08);
  assert.ok(winRate.value > lengthControlled.winRate.value + 0.1, "longer answers win more than they should");
  const { low, high } = lengthControlled.winRate.interval;
  assert.ok(low < sigmoid(0.5) && sigmoid(0.5) < high && high - low < 0.08, `${low} to ${high}`);
  near(styleControlled.winRate.value, lengthControlled.winRate.value, 1e-9);
  assert.equal(styleControlled.coefficients["bold"]?.value, 0, "nothing is in bold");
});

test("intervals over questions are wider than those over verdicts, which come in twos", () => {
  // Both orders always agree: 200 questions tell as much as 200 verdicts, not 400.
  const random = new Random(3);
  const pairs = Array.from({ length: 200 }, (_, i) => {
    const verdict = random.next() < 0.5 ? 1 : -1;
    return pair(i, [verdict, verdict]);
  });
  const { winRate, intervalOverVerdicts } = pairStatistics(pairs, { strongWeight: 3 }).bradleyTerry;
  const width = ({ low, high }: { low: number; high: number }): number => high - low;
  // 4 standard errors: 0.5 / sqrt(200), 0.5 / sqrt(400)
  near(width(winRate.interval), (3.92 * 0.5) / Math.sqrt(200), 0.015);
  near(width(intervalOverVerdicts), (3.92 * 0.5) / Math.sqrt(400), 0.01);
  assert.deepEqual(percentileInterval([winRate.value]), { low: winRate.value, high: winRate.value });
});
