/** Position and length bias: how much a judge's verdicts depend on the order and the length of the answers. */
import { at } from "../../base/at.ts";
import { type BootstrapOptions, bootstrapInterval } from "../../stats/bootstrap.ts";
import { meanOverGroups, type Statistic, type Worth } from "../../stats/mean-over-groups.ts";
import { byQuestion, type JudgedPair } from "./judged-pair.ts";
import { styleDifference } from "./style.ts";

/** Position bias: verdicts that changed with the order of the two answers. */
export interface PositionBias {
  /** Pairs with both verdicts. */
  pairs: number;
  /** Fraction of them whose winner is not the same in both orders, ties included. */
  changed: Statistic;
  /** Pairs in which the answer shown first won, in both orders. */
  favoursFirst: number;
  /** Pairs in which the answer shown second won, in both orders. */
  favoursSecond: number;
  /** Verdicts that are no ties. */
  decided: number;
  /** Fraction of them that went to the answer shown first; 0.5 without bias. */
  firstShare: Statistic;
}

/** Length bias. */
export interface JudgeLengthBias {
  /** Pairs with a verdict. */
  pairs: number;
  /** Correlation of A's win rate with how much longer its answer is, from −1 to 1. */
  correlation: Statistic;
  /** Verdicts that are no ties, on answers of different length. */
  decided: number;
  /** Fraction of them that went to the longer answer; 0.5 without bias where quality does not go with length. */
  longerShare: Statistic;
}

/** The position bias in `pairs`. */
export function positionBias(pairs: readonly JudgedPair[], bootstrap: BootstrapOptions = {}): PositionBias {
  const both = pairs.flatMap(({ id, verdicts: [first, second] }) =>
    first === null || second === null ? [] : [{ id, first: Math.sign(first), second: Math.sign(second) }],
  );
  const groups = byQuestion(both);
  const changed = groups.map((group) => ({
    sum: group.filter(({ first, second }) => first !== second).length,
    count: group.length,
  }));
  // 1 where the answer shown first won, −1 where the second did
  const questions = groups.map((group) => worthOf(group.flatMap(({ first, second }) => [first, -second])));
  return {
    pairs: both.length,
    changed: meanOverGroups(changed, bootstrap),
    favoursFirst: both.filter(({ first, second }) => first > 0 && second < 0).length,
    favoursSecond: both.filter(({ first, second }) => first < 0 && second > 0).length,
    decided: decidedIn(questions),
    firstShare: meanOverGroups(questions, bootstrap),
  };
}

/** Of verdicts for a side (above 0), against it or for neither: how many are decided, and for it. */
function worthOf(signs: readonly number[]): Worth {
  return {
    sum: signs.filter((sign) => sign > 0).length,
    count: signs.filter((sign) => sign !== 0).length,
  };
}

function decidedIn(questions: readonly Worth[]): number {
  return questions.reduce((sum, { count }) => sum + count, 0);
}

/** The length bias in `pairs`. */
export function lengthBias(pairs: readonly JudgedPair[], bootstrap: BootstrapOptions = {}): JudgeLengthBias {
  const points = pairs.flatMap(({ id, verdicts, styles: [a, b] }) => {
    const known = verdicts.flatMap((verdict) => (verdict === null ? [] : [Math.sign(verdict)]));
    if (known.length === 0) return [];
    const won = known.reduce((sum, sign) => sum + sign, 0) / known.length;
    return [{ id, known, won, longer: styleDifference(a.length, b.length) }];
  });
  const questions = byQuestion(points).map((group) =>
    worthOf(group.flatMap(({ known, longer }) => known.map((sign) => sign * Math.sign(longer)))),
  );
  return {
    pairs: points.length,
    correlation: correlationStatistic(
      points.map(({ id, won, longer }) => ({ id, x: longer, y: won })),
      bootstrap,
    ),
    decided: decidedIn(questions),
    longerShare: meanOverGroups(questions, bootstrap),
  };
}

/** Pearson's correlation of x and y, with an interval over questions; NaN where one of them does not vary. */
export function correlationStatistic(
  points: readonly { id: string; x: number; y: number }[],
  bootstrap: BootstrapOptions = {},
): Statistic {
  const sums = byQuestion(points).map(momentsOf);
  const drawn = (draw: Iterable<number>): number => {
    const total: Moments = [0, 0, 0, 0, 0, 0];
    for (const i of draw) add(total, at(sums, i));
    return correlation(total);
  };
  return { value: drawn(sums.keys()), interval: bootstrapInterval(sums.length, drawn, bootstrap) };
}

/** Sums over points: their number, x, y, x², y², xy. */
type Moments = [n: number, x: number, y: number, xx: number, yy: number, xy: number];

function momentsOf(points: readonly { x: number; y: number }[]): Moments {
  const sums: Moments = [0, 0, 0, 0, 0, 0];
  for (const { x, y } of points) add(sums, [1, x, y, x * x, y * y, x * y]);
  return sums;
}

function add(sums: Moments, more: Moments): void {
  for (let i = 0; i < sums.length; i++) sums[i] = at(sums, i) + at(more, i);
}

function correlation([n, x, y, xx, yy, xy]: Moments): number {
  const [spreadX, spreadY] = [xx - (x * x) / n, yy - (y * y) / n];
  // What rounding leaves of no spread at all is none.
  if (!(spreadX > 1e-12 * xx && spreadY > 1e-12 * yy)) return Number.NaN;
  return (xy - (x * y) / n) / Math.sqrt(spreadX * spreadY);
}
