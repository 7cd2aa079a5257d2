/**
 * Statistics of judged pairs: wins, ties and losses, a Bradley–Terry win rate with and without control for style, and
 * position and length bias.
 */
import type { BootstrapOptions, Interval } from "../../stats/bootstrap.ts";
import { meanOverGroups, type Statistic } from "../../stats/mean-over-groups.ts";
import { type BattleOptions, type Control, controlStatistics, winRate } from "./bradley-terry.ts";
import { type JudgeLengthBias, lengthBias, type PositionBias, positionBias } from "./judge-bias.ts";
import { byQuestion, type JudgedPair, outcomeOf } from "./judged-pair.ts";

/** Wins, ties and losses of A. A pair whose two verdicts do not agree is a tie. */
export interface Outcomes {
  /** Pairs with both verdicts. */
  pairs: number;
  wins: number;
  ties: number;
  losses: number;
  /** Wins, ties and losses as fractions of the pairs. */
  shares: Record<"win" | "tie" | "loss", Statistic>;
  /** Wins and half of the ties, as a fraction of the pairs. */
  winRate: Statistic;
}

/** All statistics of judged pairs. */
export interface PairStatistics {
  outcomes: Outcomes;
  perCategory: Record<string, Outcomes>;
  /** Pairs that lack a verdict, in one order or both. */
  incomplete: number;
  /** Bradley–Terry: over single verdicts, far better ones counted several times. */
  bradleyTerry: {
    verdicts: number;
    strongWeight: number;
    winRate: Statistic;
    /** As Arena-Hard resamples: single verdicts, as if each stood alone. */
    intervalOverVerdicts: Interval;
    lengthControlled: Control;
    styleControlled: Control;
  };
  positionBias: PositionBias;
  lengthBias: JudgeLengthBias;
}

/** How statistics are taken. */
export interface PairStatisticsOptions extends BattleOptions {
  bootstrap?: BootstrapOptions;
}

/** The statistics of `pairs`. */
export function pairStatistics(pairs: readonly JudgedPair[], options: PairStatisticsOptions): PairStatistics {
  const { bootstrap = {}, strongWeight } = options;
  const categories = [...new Set(pairs.flatMap(({ category }) => category ?? []))];
  const controls = controlStatistics(pairs, options);
  return {
    outcomes: outcomesOf(pairs, bootstrap),
    perCategory: Object.fromEntries(
      categories.map((name) => [
        name,
        outcomesOf(
          pairs.filter(({ category }) => category === name),
          bootstrap,
        ),
      ]),
    ),
    incomplete: pairs.filter((pair) => outcomeOf(pair) === null).length,
    bradleyTerry: { ...winRate(pairs, options), strongWeight, ...controls },
    positionBias: positionBias(pairs, bootstrap),
    lengthBias: lengthBias(pairs, bootstrap),
  };
}

function outcomesOf(pairs: readonly JudgedPair[], bootstrap: BootstrapOptions): Outcomes {
  const known = pairs.flatMap((pair) => {
    const outcome = outcomeOf(pair);
    return outcome === null ? [] : [{ id: pair.id, outcome }];
  });
  const groups = byQuestion(known).map((group) => group.map(({ outcome }) => outcome));
  const count = (wanted: number): number => known.filter(({ outcome }) => outcome === wanted).length;
  const statistic = (worth: (outcome: number) => number): Statistic => {
    const worths = groups.map((group) => ({
      sum: group.reduce((sum, outcome) => sum + worth(outcome), 0),
      count: group.length,
    }));
    return meanOverGroups(worths, bootstrap);
  };
  return {
    pairs: known.length,
    wins: count(1),
    ties: count(0.5),
    losses: count(0),
    shares: {
      win: statistic((outcome) => Number(outcome === 1)),
      tie: statistic((outcome) => Number(outcome === 0.5)),
      loss: statistic((outcome) => Number(outcome === 0)),
    },
    winRate: statistic((outcome) => outcome),
  };
}
