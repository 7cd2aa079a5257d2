/**
 * Figures of judged pairs: wins, ties and losses, a Bradley–Terry win rate with and without control for style, and how much
 * the judge looks at position and length.
 */
import { type BootstrapOptions, bootstrapInterval, type Interval } from "../evaluate/bootstrap.ts";
import { type BattleOptions, type Control, controlFigures, winRate } from "./bradley-terry.ts";
import { type LengthBias, lengthBias, type PositionBias, positionBias } from "./judge-bias.ts";
import { byQuestion, type Figure, type JudgedPair, outcomeOf } from "./judged-pair.ts";

/** Wins, ties and losses of A. A pair whose two verdicts do not agree is a tie. */
export interface Outcomes {
  /** Pairs with both verdicts. */
  pairs: number;
  wins: number;
  ties: number;
  losses: number;
  /** Wins and half of the ties, as a share of the pairs. */
  winRate: Figure;
}

/** All figures of judged pairs. */
export interface PairFigures {
  outcomes: Outcomes;
  perCategory: Record<string, Outcomes>;
  /** Pairs that lack a verdict, in one order or both. */
  incomplete: number;
  /** Bradley–Terry: over single verdicts, far better ones counted several times. */
  bradleyTerry: {
    verdicts: number;
    strongWeight: number;
    winRate: Figure;
    /** The interval as Arena-Hard takes it: single verdicts are resampled as if each stood alone. */
    intervalOverVerdicts: Interval;
    lengthControlled: Control;
    styleControlled: Control;
  };
  positionBias: PositionBias;
  lengthBias: LengthBias;
}

/** How figures are taken. */
export interface PairFigureOptions extends BattleOptions {
  bootstrap?: BootstrapOptions;
}

/** The figures of `pairs`. */
export function pairFigures(pairs: readonly JudgedPair[], options: PairFigureOptions): PairFigures {
  const { bootstrap = {}, strongWeight } = options;
  const categories = [...new Set(pairs.flatMap(({ category }) => category ?? []))];
  const controls = controlFigures(pairs, options);
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
  const sums = byQuestion(known).map((group) => ({
    count: group.length,
    sum: group.reduce((sum, { outcome }) => sum + outcome, 0),
  }));
  const count = (wanted: number): number => known.filter(({ outcome }) => outcome === wanted).length;
  const rate = (draw: Int32Array): number => {
    let total = 0;
    let won = 0;
    for (const i of draw) {
      total += sums[i]?.count ?? 0;
      won += sums[i]?.sum ?? 0;
    }
    return won / total;
  };
  const [wins, ties, losses] = [count(1), count(0.5), count(0)];
  return {
    pairs: known.length,
    wins,
    ties,
    losses,
    winRate: {
      value: (wins + ties / 2) / known.length,
      interval: bootstrapInterval(sums.length, rate, bootstrap),
    },
  };
}
