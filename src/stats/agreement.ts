/** How far raters agree on categories: raw agreement, Cohen's kappa, Gwet's AC1, Krippendorff's alpha, with intervals. */
import { at } from "../base/at.ts";
import {
  type BootstrapOptions,
  bootstrapDraws,
  type Interval,
  percentileInterval,
  shareInterval,
} from "./bootstrap.ts";

/** Of each unit, the category that each rater gave it: a whole number from 0, or null where the rater gave none. */
export type Ratings = readonly (readonly (number | null)[])[];

/** How far two categories are apart, for Krippendorff's alpha. */
export type Distance = "nominal" | "ordinal" | "interval";

/** A coefficient of agreement, which is 1 − observed disagreement ÷ disagreement by chance. NaN where it does not exist. */
export interface Coefficient extends Interval {
  value: number;
}

/** What raters have in common. */
export interface Agreement {
  /** Units that two raters or more rated. */
  units: number;
  raw: Coefficient;
  /** Null unless there are exactly two raters. */
  kappa: Coefficient | null;
  ac1: Coefficient;
  alpha: Coefficient;
}

/** A value with what chance would disagree on; `value` is 1 − observed ÷ `chance`. */
interface Parts {
  value: number;
  chance: number;
}

/**
 * All coefficients of `ratings` with 95 % intervals over units.
 *
 * The intervals are percentiles of a bootstrap over units. Where no two ratings of a unit differ, resampling knows no
 * disagreement and would give an interval of no width: there the lower end is Wilson's of the raw agreement, put into the formula
 * of the coefficient. The raw agreement itself has Wilson's interval over units.
 *
 * @param categories - how many there are; they count in AC1 even where none was given
 */
export function agreementOf(ratings: Ratings, categories: number, options: BootstrapOptions = {}): Agreement {
  const rated = ratings.filter((unit) => givenIn(unit).length > 0);
  const units = rated.filter((unit) => givenIn(unit).length > 1).length;
  const raters = Math.max(0, ...new Set(rated.map((unit) => unit.length)));
  const { patterns, placeOf } = patternsOf(rated);
  const raw = rawOf(patterns);
  const ofRaw = shareInterval(raw * units, units);
  const formulas: Formula[] = [
    (sample) => ac1Parts(sample, categories),
    (sample) => alphaParts(sample, categories, "nominal"),
    ...(raters === 2 ? [(sample: Patterns) => kappaParts(sample, categories)] : []),
  ];
  const drawn = raw === 1 ? [] : drawnValues(patterns, placeOf, { formulas, options });
  const [ac1, alpha, kappa = null] = formulas.map((formula, i): Coefficient => {
    const { value, chance } = formula(patterns);
    if (Number.isNaN(value)) return { value, low: value, high: value };
    if (raw === 1) return { value, low: 1 - (1 - ofRaw.low) / chance, high: value };
    return { value, ...percentileInterval(drawn[i] ?? [], options.level) };
  });
  if (ac1 === undefined || alpha === undefined) throw new RangeError("two formulas give two coefficients");
  return { units, raw: { value: raw, ...ofRaw }, kappa, ac1, alpha };
}

/** Units that are rated alike, once, each with how many there are of it. */
type Patterns = readonly { unit: Ratings[number]; count: number }[];

type Formula = (sample: Patterns) => Parts;

function patternsOf(ratings: Ratings): { patterns: Patterns; placeOf: Int32Array } {
  const places = new Map<string, number>();
  const patterns: { unit: Ratings[number]; count: number }[] = [];
  const placeOf = Int32Array.from(ratings, (unit) => {
    const name = unit.join();
    const place = places.get(name) ?? places.size;
    places.set(name, place);
    patterns[place] = { unit, count: (patterns[place]?.count ?? 0) + 1 };
    return place;
  });
  return { patterns, placeOf };
}

/** The values of each formula over resampled units; a sample is counted, not copied, for there may be many units. */
function drawnValues(
  patterns: Patterns,
  placeOf: Int32Array,
  { formulas, options }: { formulas: readonly Formula[]; options: BootstrapOptions },
): number[][] {
  const values = formulas.map((): number[] => []);
  const counts = new Int32Array(patterns.length);
  for (const draw of bootstrapDraws(placeOf.length, options)) {
    counts.fill(0);
    for (const i of draw) {
      const place = at(placeOf, i);
      counts[place] = at(counts, place) + 1;
    }
    const sample = patterns.map(({ unit }, k) => ({ unit, count: at(counts, k) }));
    for (const [i, formula] of formulas.entries()) values[i]?.push(formula(sample).value);
  }
  return values;
}

/** The fraction of pairs of ratings of one unit that are equal, as the mean over units with two ratings or more. NaN without any. */
export function rawAgreement(ratings: Ratings): number {
  return rawOf(patternsOf(ratings).patterns);
}

function rawOf(sample: Patterns): number {
  let [sum, units] = [0, 0];
  for (const { unit, count } of sample) {
    const counts = [...countsOf(unit).values()];
    const given = counts.reduce((all, one) => all + one, 0);
    if (given < 2) continue;
    units += count;
    sum += (count * counts.reduce((all, one) => all + one * (one - 1), 0)) / (given * (given - 1));
  }
  return sum / units;
}

/**
 * Cohen's kappa of two raters, over the units that both rated. NaN where both always gave one and the same category.
 *
 * Paper: Cohen 1960, A coefficient of agreement for nominal scales: (p_o − p_e) / (1 − p_e), p_e from each rater's own shares.
 *
 * @throws {RangeError} unless each unit has two places
 */
export function cohenKappa(ratings: Ratings, categories: number): number {
  return kappaParts(patternsOf(ratings).patterns, categories).value;
}

/**
 * Gwet's AC1 of two raters or more; ratings may be missing.
 *
 * Paper: Gwet 2008, Computing inter-rater reliability and its variance in the presence of high agreement:
 *   (p_a − p_e) / (1 − p_e), p_e = Σ_k π_k (1 − π_k) / (q − 1), π_k the mean fraction of category k in a unit's ratings.
 *
 * @param categories - q, at least 2
 */
export function gwetAc1(ratings: Ratings, categories: number): number {
  return ac1Parts(patternsOf(ratings).patterns, categories).value;
}

/**
 * Krippendorff's alpha of two raters or more; ratings may be missing. NaN where all ratings are one category.
 *
 * Paper: Krippendorff 2011, Computing Krippendorff's alpha-reliability, from the matrix of coincidences.
 * Differs: {@link agreementOf}'s interval resamples units, where Krippendorff resamples coincidences.
 */
export function krippendorffAlpha(
  ratings: Ratings,
  categories: number,
  distance: Distance = "nominal",
): number {
  return alphaParts(patternsOf(ratings).patterns, categories, distance).value;
}

function kappaParts(sample: Patterns, categories: number): Parts {
  const [first, second] = [new Float64Array(categories), new Float64Array(categories)];
  let [units, equal] = [0, 0];
  for (const { unit, count } of sample) {
    const [a, b] = unit;
    if (unit.length !== 2 || a === undefined || b === undefined) {
      throw new RangeError(`Cohen's kappa is of two raters: expected two places a unit, got ${unit.length}.`);
    }
    if (a === null || b === null) continue;
    units += count;
    if (a === b) equal += count;
    first[a] = (first[a] ?? 0) + count;
    second[b] = (second[b] ?? 0) + count;
  }
  const chance = 1 - first.reduce((sum, share, k) => sum + share * (second[k] ?? 0), 0) / units ** 2;
  return partsOf(1 - equal / units, chance);
}

function ac1Parts(sample: Patterns, categories: number): Parts {
  const shares = new Float64Array(categories);
  let units = 0;
  for (const { unit, count } of sample) {
    const given = givenIn(unit).length;
    if (given === 0) continue;
    units += count;
    for (const [category, times] of countsOf(unit))
      shares[category] = (shares[category] ?? 0) + (count * times) / given;
  }
  const expected =
    shares.reduce((sum, share) => sum + (share / units) * (1 - share / units), 0) / (categories - 1);
  return partsOf(1 - rawOf(sample), 1 - expected);
}

function alphaParts(sample: Patterns, categories: number, distance: Distance): Parts {
  const pairs = coincidences(sample, categories);
  const totals = pairs.map((row) => row.reduce((sum, value) => sum + value, 0));
  const all = totals.reduce((sum, value) => sum + value, 0);
  let [observed, expected] = [0, 0];
  for (let a = 0; a < categories; a++) {
    for (let b = 0; b < categories; b++) {
      const apart = squaredDistance(a, b, totals, distance);
      observed += (pairs[a]?.[b] ?? 0) * apart;
      expected += (totals[a] ?? 0) * (totals[b] ?? 0) * apart;
    }
  }
  return partsOf(observed / all, expected / (all * (all - 1)));
}

/** How often each ordered pair of categories stands in one unit, each unit counting as often as it has ratings. */
function coincidences(sample: Patterns, categories: number): number[][] {
  const pairs = Array.from({ length: categories }, () => new Array<number>(categories).fill(0));
  for (const { unit, count } of sample) {
    const counts = countsOf(unit);
    const given = givenIn(unit).length;
    if (given < 2) continue;
    for (const [a, times] of counts) {
      const row = pairs[a] ?? [];
      for (const [b, other] of counts)
        row[b] = (row[b] ?? 0) + (count * times * (a === b ? times - 1 : other)) / (given - 1);
    }
  }
  return pairs;
}

function squaredDistance(a: number, b: number, totals: readonly number[], distance: Distance): number {
  if (a === b) return 0;
  if (distance === "nominal") return 1;
  if (distance === "interval") return (a - b) ** 2;
  const [low, high] = a < b ? [a, b] : [b, a];
  const between = totals.slice(low, high + 1).reduce((sum, total) => sum + total, 0);
  return (between - ((totals[a] ?? 0) + (totals[b] ?? 0)) / 2) ** 2;
}

function partsOf(observed: number, chance: number): Parts {
  return { value: 1 - observed / chance, chance };
}

function givenIn(unit: readonly (number | null)[]): number[] {
  return unit.filter((category) => category !== null);
}

function countsOf(unit: readonly (number | null)[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const category of givenIn(unit)) counts.set(category, (counts.get(category) ?? 0) + 1);
  return counts;
}
