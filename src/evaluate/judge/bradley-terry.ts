/**
 * Win rates of one model against another by the Bradley–Terry model, with control for style.
 *
 * Paper: Bradley and Terry 1952, Rank analysis of incomplete block designs; Li et al. 2024, From Crowdsourced Data to
 * High-Quality Benchmarks: Arena-Hard, arXiv:2406.11939.
 *   P(A beats B) = 1 / (1 + exp(−(b + Σ c_k d_k))), d_k: how much more of style feature k A has, (a − b) / (a + b)
 * Differs: with two models and no controls the fit is the weighted win rate. d_k is divided by its spread but not centred,
 * so that b is the strength at equal style; Arena-Hard centres it over all models of a board, which a single pair does not have.
 * Features are numbers, as in its first script; its current one has headers, bold and lists per token, (a − b) / (a + b + 1), and leaves
 * out questions that lack a verdict.
 * Coefficients c_k are held by a penalty of c²/2, nothing beside hundreds of verdicts, so that they stay finite where style
 * alone decides.
 */
import { at } from "../../base/at.ts";
import {
  type BootstrapOptions,
  bootstrapDraws,
  bootstrapInterval,
  type Interval,
  percentileInterval,
} from "../../stats/bootstrap.ts";
import { fitLogistic, type LogisticData, sigmoid } from "../../stats/logistic.ts";
import { meanOverGroups, type Statistic, type Worth } from "../../stats/mean-over-groups.ts";
import { byQuestion, type JudgedPair } from "./judged-pair.ts";
import { STYLE_FEATURES, styleDifference } from "./style.ts";

/** How verdicts become battles. */
export interface BattleOptions {
  /** How often a verdict "far better" counts. */
  strongWeight: number;
  bootstrap?: BootstrapOptions;
}

/** A win rate under control of style features. */
export interface Control {
  winRate: Statistic;
  /** Change of the log-odds for one standard deviation more of a feature. */
  coefficients: Record<string, Statistic>;
}

/** A pair's verdicts. */
interface Battle {
  id: string;
  verdicts: { outcome: number; weight: number }[];
  differences: readonly number[];
}

/** Penalty on the strength: only keeps it finite where one side won everything. */
const strengthPenalty = 1e-6;
const stylePenalty = 1;

/** The win rate of A without controls. */
export function winRate(
  pairs: readonly JudgedPair[],
  options: BattleOptions,
): { verdicts: number; winRate: Statistic; intervalOverVerdicts: Interval } {
  const battles = battlesOf(pairs, options.strongWeight);
  const all = battles.flatMap(({ verdicts }) => verdicts);
  const repeated = all.flatMap(({ outcome, weight }) => Array.from({ length: weight }, () => outcome));
  const mean = (draw: Int32Array): number => draw.reduce((sum, i) => sum + at(repeated, i), 0) / draw.length;
  return {
    verdicts: all.length,
    winRate: overQuestions(battles, options.bootstrap),
    intervalOverVerdicts: bootstrapInterval(repeated.length, mean, options.bootstrap),
  };
}

/** The win rate of A at equal length, and at equal style. */
export function controlStatistics(
  pairs: readonly JudgedPair[],
  options: BattleOptions,
): { lengthControlled: Control; styleControlled: Control } {
  const battles = battlesOf(pairs, options.strongWeight);
  return {
    lengthControlled: controlled(battles, ["length"], options.bootstrap),
    styleControlled: controlled(battles, STYLE_FEATURES, options.bootstrap),
  };
}

/** The pairs that have a verdict. Outcomes: 1 where A won, 0 where B did, 0.5 for a tie. */
function battlesOf(pairs: readonly JudgedPair[], strongWeight: number): Battle[] {
  return pairs.flatMap(({ id, verdicts, styles: [a, b] }) => {
    const known = verdicts.filter((verdict) => verdict !== null);
    if (known.length === 0) return [];
    return {
      id,
      verdicts: known.map((verdict) => ({
        outcome: (1 + Math.sign(verdict)) / 2,
        weight: Math.abs(verdict) > 1 ? strongWeight : 1,
      })),
      differences: STYLE_FEATURES.map((name) => styleDifference(a[name], b[name])),
    };
  });
}

function totals(verdicts: Battle["verdicts"]): Worth {
  return {
    sum: verdicts.reduce((sum, { outcome, weight }) => sum + weight * outcome, 0),
    count: verdicts.reduce((sum, { weight }) => sum + weight, 0),
  };
}

/** The weighted fraction of verdicts that A won, with its interval over questions. */
function overQuestions(battles: readonly Battle[], bootstrap?: BootstrapOptions): Statistic {
  const sums = byQuestion(battles).map((group) => totals(group.flatMap(({ verdicts }) => verdicts)));
  return meanOverGroups(sums, bootstrap);
}

function controlled(
  battles: readonly Battle[],
  features: readonly (typeof STYLE_FEATURES)[number][],
  bootstrap: BootstrapOptions = {},
): Control {
  const columns = features.map((name) => {
    const index = STYLE_FEATURES.indexOf(name);
    return scaled(battles.map(({ differences }) => at(differences, index)));
  });
  const sums = battles.map(({ verdicts }) => totals(verdicts));
  const data: LogisticData = {
    covariates: Float64Array.from(battles.flatMap((_, i) => [1, ...columns.map((column) => at(column, i))])),
    // Verdicts on the same pair share its covariates: their mean says as much as they do.
    outcomes: Float64Array.from(sums, ({ sum, count }) => sum / count),
    weights: Float64Array.from(sums, ({ count }) => count),
  };
  const penalties = [strengthPenalty, ...features.map(() => stylePenalty)];
  const fit = fitLogistic(data, { penalties });
  // Where all pairs are alike no resample differs: what more style would change is not known, and the rate as surely as without it.
  const isAlike = data.outcomes.every((outcome) => outcome === data.outcomes[0]);
  const fits = isAlike ? [] : resampledFits(data, battles, { penalties, start: fit }, bootstrap);
  const statistic = (index: number, shown: (coefficient: number) => number): Statistic => ({
    value: shown(at(fit, index)),
    interval: percentileInterval(
      fits.map((coefficients) => shown(at(coefficients, index))),
      bootstrap.level,
    ),
  });
  const rate = statistic(0, sigmoid);
  return {
    winRate: isAlike ? { ...rate, interval: overQuestions(battles, bootstrap).interval } : rate,
    coefficients: Object.fromEntries(features.map((name, i) => [name, statistic(i + 1, (c) => c)])),
  };
}

/** Coefficients fitted to questions drawn with replacement, a list a sample. */
function resampledFits(
  data: LogisticData,
  battles: readonly Battle[],
  options: Parameters<typeof fitLogistic>[1],
  bootstrap: BootstrapOptions,
): number[][] {
  const ids = [...new Set(battles.map(({ id }) => id))];
  const unit = new Map(ids.map((id, i) => [id, i]));
  const unitOf = Int32Array.from(battles, ({ id }) => unit.get(id) as number);
  const fits: number[][] = [];
  for (const draw of bootstrapDraws(ids.length, bootstrap)) {
    const times = new Int32Array(ids.length);
    for (const i of draw) times[i] = at(times, i) + 1;
    const weights = data.weights.map((weight, i) => weight * at(times, at(unitOf, i)));
    fits.push(fitLogistic({ ...data, weights }, options));
  }
  return fits;
}

/** Values divided by their standard deviation; all 0 where they do not differ. */
function scaled(values: readonly number[]): number[] {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  return values.map((value) => (spread > 1e-12 ? value / spread : 0));
}
