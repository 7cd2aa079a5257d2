/** The figures of studies, each a value for every held-out pair (or watched prompt) and seed, so that runs are compared pair by pair. */
import { at } from "../base/at.ts";
import { diversityOf } from "../evaluate/diversity/diversity.ts";
import type { Interval } from "../stats/crossed-bootstrap.ts";
import type { HeldOutPair } from "./cell.ts";
import { differenceInterval, meanInterval, type PairTable } from "./estimates.ts";
import { lastSamples, type MeasuredCondition, type MeasuredRun, twinsOf } from "./measured.ts";

/** How a figure is written: nats per token, nats, or a share of pairs or answers. */
export type FigureUnit = "nats/token" | "nats" | "share";

/** A figure of one run, by pair. */
export interface Figure {
  /** Heading of a column. */
  title: string;
  unit: FigureUnit;
  /** Which way is better, where one is. */
  better: "more" | "less" | null;
  /** A value for each held-out pair or watched prompt. */
  perPair(run: MeasuredRun): Float64Array;
}

type Means = { chosen: number; rejected: number };

function ofPairs(value: (before: Means, after: Means) => number): Figure["perPair"] {
  return ({ before, after }) =>
    Float64Array.from(after, (pair, i) => value(meansOf(at(before, i)), meansOf(pair)));
}

/** Figures of the answers that the run's watch sampled at its last evaluation. */
function ofAnswers(
  figure: "distinct_2" | "repetition" | "ended_properly" | "malformed" | "self_bleu",
): Figure["perPair"] {
  return (run) => {
    const { perPrompt } = diversityOf(lastSamples(run), "words");
    const scale = figure === "self_bleu" ? 0.01 : 1;
    return Float64Array.from(perPrompt, (prompt) => scale * prompt.figures[figure]);
  };
}

/** Name of a figure. */
export type FigureName =
  | "accuracy"
  | "chosen_change"
  | "rejected_change"
  | "margin_change"
  | "margin"
  | "chosen_down"
  | "both_down"
  | "preference_loss"
  | "distinct_2"
  | "self_bleu"
  | "repetition"
  | "ended_properly"
  | "malformed";

/** All figures by name. */
export const FIGURES: Readonly<Record<FigureName, Figure>> = {
  accuracy: {
    title: "held-out accuracy",
    unit: "share",
    better: "more",
    perPair: ofPairs((_, now) => Number(now.chosen > now.rejected)),
  },
  chosen_change: {
    title: "change of chosen",
    unit: "nats/token",
    better: "more",
    perPair: ofPairs((then, now) => now.chosen - then.chosen),
  },
  rejected_change: {
    title: "change of rejected",
    unit: "nats/token",
    better: null,
    perPair: ofPairs((then, now) => now.rejected - then.rejected),
  },
  margin_change: {
    title: "change of the margin",
    unit: "nats/token",
    better: "more",
    perPair: ofPairs((then, now) => now.chosen - now.rejected - (then.chosen - then.rejected)),
  },
  margin: {
    title: "margin at the end",
    unit: "nats/token",
    better: "more",
    perPair: ofPairs((_, now) => now.chosen - now.rejected),
  },
  chosen_down: {
    title: "chosen below its start",
    unit: "share",
    better: "less",
    perPair: ofPairs((then, now) => Number(now.chosen < then.chosen)),
  },
  both_down: {
    title: "both below their start",
    unit: "share",
    better: "less",
    perPair: ofPairs((then, now) => Number(now.chosen < then.chosen && now.rejected < then.rejected)),
  },
  preference_loss: {
    title: "−log σ(Δ)",
    unit: "nats",
    better: "less",
    perPair: ofPairs((_, now) => Math.log1p(Math.exp(now.rejected - now.chosen))),
  },
  distinct_2: {
    title: "distinct-2 of answers",
    unit: "share",
    better: "more",
    perPair: ofAnswers("distinct_2"),
  },
  self_bleu: {
    title: "self-BLEU of answers",
    unit: "share",
    better: "less",
    perPair: ofAnswers("self_bleu"),
  },
  repetition: {
    title: "repeated runs of four",
    unit: "share",
    better: "less",
    perPair: ofAnswers("repetition"),
  },
  ended_properly: {
    title: "ended properly",
    unit: "share",
    better: "more",
    perPair: ofAnswers("ended_properly"),
  },
  malformed: { title: "malformed Markdown", unit: "share", better: "less", perPair: ofAnswers("malformed") },
};

/** Share of pairs that "the longer answer is the better one" gets right; equal lengths count one half. */
export function lengthAccuracy({ after }: MeasuredRun): Interval {
  const right = Float64Array.from(after, ({ chosen, rejected }) =>
    chosen.length === rejected.length ? 0.5 : Number(chosen.length > rejected.length),
  );
  return meanInterval([right]);
}

const rows: WeakMap<MeasuredRun, Map<FigureName, Float64Array>> = new WeakMap();
const estimates: WeakMap<MeasuredCondition, Map<FigureName, Interval>> = new WeakMap();
/** By figure and the other condition. */
const differences: WeakMap<MeasuredCondition, Map<string, Interval>> = new WeakMap();

/** The figure by seed and pair. */
export function tableOf(runs: readonly MeasuredRun[], name: FigureName): PairTable {
  return runs.map((run) => kept(rows, run, name, () => FIGURES[name].perPair(run)));
}

/** What `compute` gives, remembered: tables and charts ask for the same figures many times. */
function kept<K extends object, N extends string, V>(
  memory: WeakMap<K, Map<N, V>>,
  key: K,
  name: N,
  compute: () => V,
): V {
  const known = memory.get(key) ?? new Map<N, V>();
  memory.set(key, known);
  const value = known.get(name) ?? compute();
  known.set(name, value);
  return value;
}

/** The figure of a condition. */
export function estimate(one: MeasuredCondition, name: FigureName): Interval {
  const isShare = FIGURES[name].unit === "share";
  return kept(estimates, one, name, () => meanInterval(tableOf(one.runs, name), { isShare }));
}

/** How much the figure is above that of `other`, over the seeds that both have. */
export function estimateDifference(
  one: MeasuredCondition,
  other: MeasuredCondition,
  name: FigureName,
): Interval {
  // the table of results and the report ask for the same differences
  return kept(differences, one, `${name} − ${other.name}`, () => {
    const twins = twinsOf({ one, base: other });
    const tables = [twins.map(({ run }) => run), twins.map(({ twin }) => twin)] as const;
    return differenceInterval(tableOf(tables[0], name), tableOf(tables[1], name));
  });
}

function meansOf({ chosen, rejected }: HeldOutPair): Means {
  return { chosen: mean(chosen), rejected: mean(rejected) };
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}
