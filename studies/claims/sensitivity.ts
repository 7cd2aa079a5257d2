/** How much do SLIME's seven values matter? One at a time around the preset, and by elementary effects over their ranges. */
import { presetsOf } from "preftune/methods";
import {
  type Condition,
  type ConfigValues,
  drawValue,
  type Estimate,
  estimate,
  intervalText,
  type Measured,
  PAIR_METRICS,
  Random,
  type ReportSection,
  type ResultRow,
  type SearchRange,
  studentInterval,
  TRIAL_METRICS,
  type TrialMetricName,
} from "preftune/sweep";
import type { StudyDefinition } from "../definition.ts";
import { elementaryEffects, type MorrisPoint, morrisPlan } from "../morris.ts";
import type { Budget } from "../setup.ts";
import { SLIME_RANGES, type SlimeKey } from "../slime-ranges.ts";

/** SLIME's default preset. */
const [defaultPreset = ""] = presetsOf("slime");

/** The study. */
export const sensitivity: StudyDefinition = {
  title: "Sensitivity: what the seven hyperparameters do",
  question:
    "λw, λl, δ, mh, ms, κ and p: each set to the ends of its range with the others at the default preset, and all together by Morris's elementary effects, a global screening method.",
  metrics: PAIR_METRICS,
  referenceOf: (name) => (name.includes(" at ") ? standard : null),
  evaluations: "few",
  needsAnswers: false,
  seeds: { quick: 1, full: 2 },
  conditions: ({ budget }) => [...oneAtATime(), ...globally(budget)],
  sections: (measured) => [effects(measured)],
};

const standard = `SLIME ${defaultPreset}`;
const keys = Object.keys(SLIME_RANGES) as SlimeKey[];
const trajectories: Record<Budget, number> = { quick: 6, full: 20 };

function oneAtATime(): Condition[] {
  const base: ConfigValues = { objective: "slime", preset: defaultPreset };
  const ends = keys.flatMap((key) =>
    [0, 1].map((share) => {
      const value = drawValue(SLIME_RANGES[key], share);
      return { name: `${key} at ${value}`, changes: { ...base, [key]: value } };
    }),
  );
  return [{ name: standard, changes: base }, ...ends];
}

function planOf(count: number): MorrisPoint[] {
  return morrisPlan(keys.length, count, new Random(1));
}

function pointName(index: number): string {
  return `point ${index + 1}`;
}

function globally(budget: Budget): Condition[] {
  return planOf(trajectories[budget]).map(({ shares }, i) => ({
    name: pointName(i),
    changes: {
      objective: "slime",
      preset: defaultPreset,
      ...Object.fromEntries(
        keys.map((key, k) => [key, drawValue(SLIME_RANGES[key] as SearchRange, shares[k] as number)]),
      ),
    },
    isHidden: true,
  }));
}

const judged: readonly TrialMetricName[] = ["chosen_change", "margin_change", "accuracy"];

/** What is known of one factor's effect on one metric. */
interface Effect {
  /** μ*: mean size of the effects. */
  size: Estimate;
  /** μ: their mean, with its sign. */
  mean: Estimate;
}

/** By Student's t: of six values a bootstrap's interval covers their mean too seldom. A trajectory whose runs failed is left out. */
function overTrajectories(values: readonly number[]): Estimate {
  const known = values.filter(Number.isFinite);
  const { mean, low, high } = studentInterval(known);
  return { value: mean, low, high, seeds: 1, pairs: known.length };
}

/** The same of sizes, none of which is below 0. */
function sizeOver(sizes: readonly number[]): Estimate {
  const interval = overTrajectories(sizes);
  return { ...interval, low: Math.max(0, interval.low) };
}

function effects(measured: Measured): ReportSection {
  const count = [...measured.keys()].filter((name) => name.startsWith("point ")).length / (keys.length + 1);
  const plan = planOf(count);
  const byMetric = judged.map((metric) => {
    const values = plan.map((_, i) => {
      const condition = measured.get(pointName(i));
      return condition === undefined || condition.runs.length === 0
        ? Number.NaN
        : estimate(condition, metric).value;
    });
    const all = elementaryEffects(plan, values).map(
      (own): Effect => ({ size: sizeOver([...own].map(Math.abs)), mean: overTrajectories([...own]) }),
    );
    return { metric, all };
  });
  return {
    title: "Elementary effects",
    note:
      `${count} trajectories through the ranges of the seven values, ${plan.length} runs a seed. An effect is the change of the metric when the value goes from one end of its ` +
      "range to the other (on a logarithmic scale for λw, λl and κ), the others where the trajectory has them. Size: mean of the effects without their sign " +
      "(Morris's μ*); effect: with it (μ). A size well above the effect's means that it goes one way here and the other there. Intervals are Student's over trajectories, all with the same seeds and pairs.",
    tables: byMetric.map(({ metric, all }) => ({
      columns: [`${TRIAL_METRICS[metric].title}`, "range", "size", "effect", "trajectories"],
      rows: all.map(({ size, mean }, k) => [
        keys[k] as SlimeKey,
        rangeText(SLIME_RANGES[keys[k] as SlimeKey]),
        intervalText(size, "nats/token", { isSigned: false }),
        intervalText(mean, "nats/token"),
        String(size.pairs),
      ]),
    })),
    intervals: byMetric.map(({ metric, all }) => ({
      title: `Size of the effect on ${TRIAL_METRICS[metric].title}`,
      unit: TRIAL_METRICS[metric].unit,
      rows: all.map(({ size }, k) => ({ name: keys[k] as SlimeKey, interval: size })),
    })),
    sentences: byMetric.map(({ metric, all }) => {
      const order = all
        .map(({ size }, k) => ({ key: keys[k] as SlimeKey, size }))
        .filter(({ size }) => Number.isFinite(size.value))
        .sort((a, b) => b.size.value - a.size.value)
        .slice(0, 3);
      if (order.length === 0)
        return `${TRIAL_METRICS[metric].title}: no effect is known, as too many runs failed.`;
      return `${TRIAL_METRICS[metric].title}: most depends on ${order.map(({ key, size }) => `${key} (${intervalText(size, "nats/token", { isSigned: false })})`).join(", ")}.`;
    }),
    rows: byMetric.flatMap(({ metric, all }) =>
      all.flatMap(({ size, mean }, k): ResultRow[] => [
        {
          condition: keys[k] as SlimeKey,
          metric: `morris_size_${metric}`,
          unit: TRIAL_METRICS[metric].unit,
          interval: size,
        },
        {
          condition: keys[k] as SlimeKey,
          metric: `morris_effect_${metric}`,
          unit: TRIAL_METRICS[metric].unit,
          interval: mean,
        },
      ]),
    ),
  };
}

function rangeText({ min, max, scale }: SearchRange): string {
  return `${min} to ${max}${scale === "log" ? ", log" : ""}`;
}
