/** Where runs ended, as points of likelihood against margin, and the baselines whose curve others are held against. */
import {
  type Condition,
  type ConfigValues,
  chosenChanges,
  type Measured,
  type MeasuredRun,
  plainMean,
  quantile,
  tableOf,
} from "preftune/sweep";
import type { Point } from "./analyses/excess.ts";

/** A method: a name, and its values. */
export type NamedValues = readonly [
  name: string,
  changes: ConfigValues,
  more?: Pick<Condition, "extra" | "isHidden">,
];

/** The likelihood of chosen answers alone. */
export const LIKELIHOOD = "likelihood (SFT)";

/** What draws the curve: a pull on the margin, and more and more of the chosen likelihood beside it. */
export const BASELINES: readonly NamedValues[] = [
  ["SimPO", { objective: "simpo", preset: "authors" }],
  ["SLIME λw 0.2", { objective: "slime", preset: "balanced", lambda_w: 0.2 }],
  ["SLIME λw 0.8", { objective: "slime", preset: "balanced", lambda_w: 0.8 }, { extra: "scales" }],
  ["SLIME λw 1.6", { objective: "slime", preset: "balanced", lambda_w: 1.6 }],
  // −l_w alone
  [LIKELIHOOD, { objective: "slime", preset: "script", lambda_w: 1, lambda_l: 0, lambda_d: 0 }],
];

/** What draws it in the full budget besides, where it bends between the strongest of these anchors and the likelihood alone. */
export const CLOSER_BASELINES: readonly NamedValues[] = [
  ["SLIME λw 4", { objective: "slime", preset: "balanced", lambda_w: 4 }],
  ["SLIME λw 10", { objective: "slime", preset: "balanced", lambda_w: 10 }],
];

/** Its runs are there for mixtures of their weights with those of the likelihood alone: SimPO again. */
export const MIXED: NamedValues = [
  "SimPO, mixed",
  { objective: "simpo", preset: "authors" },
  { extra: "mixtures", isHidden: true },
];

/** Whether the method called `name` is one of those that draw the curve. */
export function isBaseline(name: string): boolean {
  return [...BASELINES, ...CLOSER_BASELINES].some(([baseline]) => baseline === name);
}

const between = " @ ";

/** Every method with every learning rate. */
export function atRates(methods: readonly NamedValues[], learningRates: readonly number[]): Condition[] {
  return methods.flatMap(([name, changes, more = {}]) =>
    learningRates.map((learning_rate) => ({
      name: `${name}${between}${learning_rate}`,
      changes: { ...changes, learning_rate },
      ...more,
      ofAllSeeds: true,
    })),
  );
}

/** The method of a condition of {@link atRates}; the name of any other. */
export function methodOf(condition: string): string {
  return condition.split(between)[0] ?? condition;
}

/** The learning rate of a condition of {@link atRates}. */
export function rateOf(condition: string): number {
  return Number(condition.split(between).at(-1));
}

/** The points of all runs, those of scaled models among them, each training set being a seed. */
export function pointsOf(measured: Measured): Point[] {
  return [...measured.values()].flatMap(({ name, runs }) => {
    const method = methodOf(name);
    return runs.flatMap((run): Point[] => {
      const place = { set: run.trial.seed, learningRate: rateOf(name) };
      const { mixtures = null } = (run.extra ?? {}) as Partial<Mixtures>;
      if (mixtures !== null) return mixtures.map((one) => ({ ...place, ...mixedEnd(one) }));
      return [
        { ...place, name: method, ...endOf(run) },
        ...scaledEnds(run).map(({ scale, ...end }) => ({
          ...place,
          name: scaledName(method, scale),
          ...end,
        })),
      ];
    });
  });
}

/** The scale between start and result at which a run's model is measured as well: what is worth seeing without another training. */
export const scaleTried = 0.4;

/** What a method's runs are called where their models are taken at `scale`. */
export function scaledName(method: string, scale: number): string {
  return `${method} × ${scale}`;
}

type End = Omit<Point, "set" | "name" | "learningRate">;

function endOf(run: MeasuredRun): End {
  return {
    ...endOfPairs(run.before, run.after),
    otherText: plainMean(tableOf([run], "other_text")),
  };
}

/** What the extra `mixtures` has measured of a run's weights and those of the likelihood alone. */
export interface Mixtures {
  mixtures: readonly (Omit<End, "otherText"> & {
    /** Of the likelihood's weights; the rest is the run's. */ weight: number;
  })[];
}

function mixedEnd({ weight, ...end }: Mixtures["mixtures"][number]): End & Pick<Point, "name"> {
  return { name: `SimPO ${1 - weight} + likelihood ${weight}`, ...end, otherText: Number.NaN };
}

/** Where a model ended by its held-out pairs, before and after. */
export function endOfPairs(
  before: MeasuredRun["before"],
  after: MeasuredRun["after"],
): Omit<End, "otherText"> {
  const mean = (logps: readonly number[] = []) => plainMean([Float64Array.from(logps)]);
  const change = (side: "chosen" | "rejected") =>
    plainMean([Float64Array.from(after, (pair, i) => mean(pair[side]) - mean(before[i]?.[side]))]);
  const [chosen, rejected] = [change("chosen"), change("rejected")];
  const tokens = Float64Array.from(chosenChanges({ before, after }).flat());
  return {
    ...{ chosen, margin: chosen - rejected },
    drift: plainMean([tokens.map(Math.abs)]),
    tail: quantile(tokens.sort(), 0.01),
  };
}

/** What the extra `scales` has measured of a run. */
interface ScaledFigures {
  rows: readonly { scale: number; figures: Readonly<Record<string, number>> }[];
}

function scaledEnds({ extra }: Pick<MeasuredRun, "extra">): (End & { scale: number })[] {
  const { rows = [] } = (extra ?? {}) as Partial<ScaledFigures>;
  return rows
    .filter(({ scale }) => scale !== 0 && scale !== 1)
    .map(({ scale, figures }) => {
      const of = (key: string): number => figures[key] ?? Number.NaN;
      const [chosen, rejected] = [of("logps/chosen_delta_init"), of("logps/rejected_delta_init")];
      return {
        ...{ scale, chosen, margin: chosen - rejected },
        ...{ drift: of("displacement/token_change_mean_abs"), tail: of("displacement/token_change_p01") },
        otherText: of("displacement/other_text_change"),
      };
    });
}
