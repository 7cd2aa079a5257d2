/** What on-policy runs are compared by besides their ends: at equal time, reward and KL; curves; spread between seeds. */
import {
  type Chart,
  type Estimate,
  intervalText,
  type Measured,
  type MeasuredCondition,
  type MeasuredRun,
  meanInterval,
  numberText,
  type PairTable,
  plainMean,
  type ReportSection,
  type ResultRow,
  type Series,
  spreadInterval,
  tableOf,
} from "preftune/sweep";
import { at, crossing, curveOf, valueAt } from "./rollout-curves.ts";

/** Splits a condition's name into the task it was trained on and the method. */
export type SplitName = (condition: string) => [task: string, method: string];

/** The sections of each task. */
export function rolloutSections(measured: Measured, splitName: SplitName): ReportSection[] {
  const byTask = Map.groupBy(
    [...measured.values()].filter(({ runs }) => runs.length > 0),
    ({ name }) => splitName(name)[0],
  );
  return [...byTask].flatMap(([task, conditions]) => {
    const named = conditions.map((condition) => ({ condition, name: splitName(condition.name)[1] }));
    return [curvesSection(task, named), equalSection(task, named), spreadSection(task, named)];
  });
}

interface Named {
  condition: MeasuredCondition;
  /** The method's. */
  name: string;
}

/** Colours of the style sheet. */
const colours = 7;

/** What is drawn against what. */
const drawings = [
  {
    title: "Reward against KL",
    unit: "",
    x: "kl_init",
    y: "reward",
    xLabel: "KL to the start, nats per completion",
  },
  {
    title: "Good answers against reward",
    unit: "nats/token",
    x: "reward",
    y: "chosen_delta",
    xLabel: "reward",
  },
  { title: "Gold against reward", unit: "", x: "reward", y: "gold", xLabel: "reward" },
  { title: "Reward", unit: "", x: "step", y: "reward", xLabel: "step" },
  { title: "KL to the start", unit: "nats", x: "step", y: "kl_init", xLabel: "step" },
  { title: "Length", unit: "tokens", x: "step", y: "length", xLabel: "step" },
] as const;

function curvesSection(task: string, conditions: readonly Named[]): ReportSection {
  const curves = drawings.map(({ title, unit, x, y, xLabel }): Chart => {
    const series = conditions.map(({ condition: { runs }, name }, i): Series => {
      const points = meanCurve(runs).map((point): [number, number] => [
        x === "step" ? point.step : (point.means[x] ?? Number.NaN),
        point.means[y] ?? Number.NaN,
      ]);
      const drawn = points.filter((point) => point.every(Number.isFinite)).sort(([a], [b]) => a - b);
      return { name, colour: (i % colours) + 1, isEval: false, points: drawn };
    });
    return { title: `${task}: ${title}`, unit, xLabel, series };
  });
  return {
    title: `${task}: the way there`,
    note: "Means over seeds and held-out prompts at each evaluation.",
    // a task without a gold has nothing to draw of it
    curves: curves.filter(({ series }) => series.some(({ points }) => points.length > 0)),
  };
}

/** Means over the seeds at each evaluation that all have. */
function meanCurve(runs: readonly MeasuredRun[]): { step: number; means: Record<string, number> }[] {
  const [first, ...others] = runs.map(curveOf);
  return (first ?? []).flatMap((point) => {
    const same = others.flatMap((curve) => curve.filter(({ step }) => step === point.step));
    if (same.length < others.length) return [];
    const all = [point, ...same];
    const means = Object.fromEntries(
      Object.keys(point.values).map((name) => [
        name,
        plainMean(all.map(({ values }) => values[name] ?? []).map((row) => known(row))),
      ]),
    );
    return [{ step: point.step, means }];
  });
}

function known(values: ArrayLike<number>): Float64Array {
  return Float64Array.from(values).filter((value) => !Number.isNaN(value));
}

/** Where all are read off: at the least of what each reached. */
interface Level {
  metric: "reward" | "kl_init" | "seconds";
  title: string;
  value: number;
  read: readonly ("reward" | "gold" | "kl_init" | "chosen_delta")[];
}

function levelsOf(conditions: readonly Named[]): Level[] {
  const ends = (metric: Level["metric"]): number[] =>
    conditions.flatMap(({ condition: { runs } }) =>
      runs.map((run) => Math.max(...curveOf(run).map((point) => mean(at(point, metric))))),
    );
  const least = (metric: Level["metric"]): number => Math.min(...ends(metric).filter(Number.isFinite));
  return [
    { metric: "reward", title: "reward", value: least("reward"), read: ["kl_init", "chosen_delta", "gold"] },
    { metric: "kl_init", title: "KL", value: least("kl_init"), read: ["reward", "chosen_delta", "gold"] },
    {
      metric: "seconds",
      title: "time",
      value: least("seconds"),
      read: ["reward", "kl_init", "chosen_delta"],
    },
  ];
}

function equalSection(task: string, conditions: readonly Named[]): ReportSection {
  const read = levelsOf(conditions).map((level) => ({
    ...level,
    rows: conditions.map(({ condition, name }) => ({
      name,
      condition,
      values: readAt(condition.runs, level),
    })),
  }));
  return {
    title: `${task}: at equal reward, KL and time`,
    note:
      "Each run is read off where its curve first reaches the level, between two evaluations on a straight line; the level is the least that any run " +
      "came to. Time is that of the training steps, sampling and scoring included, as it was measured: on a busy machine it says little.",
    tables: read.map(({ title, value, read: metrics, rows }) => ({
      columns: [`at ${title} ${numberText(value, 2)}`, ...metrics.map((name) => headings[name])],
      rows: rows.map(({ name, values }) => [
        name,
        ...metrics.map((of) => intervalText(values[of] as Estimate, units[of])),
      ]),
    })),
    rows: read.flatMap(({ title, value, read: metrics, rows }) =>
      rows.flatMap(({ condition, values }) =>
        metrics.map(
          (of): ResultRow => ({
            condition: condition.name,
            metric: `${of}_at_equal_${title}_${numberText(value, 2)}`,
            unit: units[of],
            interval: values[of] as Estimate,
          }),
        ),
      ),
    ),
  };
}

const headings = {
  reward: "reward",
  gold: "gold reward",
  kl_init: "KL",
  chosen_delta: "change of good answers",
};
const units = { reward: "reward", gold: "reward", kl_init: "nats", chosen_delta: "nats/token" } as const;

/** The metrics of `level` where each run first gets there. */
function readAt(runs: readonly MeasuredRun[], { metric, value, read }: Level): Record<string, Estimate> {
  const places = runs.map((run) => ({ curve: curveOf(run), place: crossing(curveOf(run), metric, value) }));
  return Object.fromEntries(
    read.map((name) => {
      const table: PairTable = places.map(({ curve, place }) => valueAt(curve, place, name));
      return [name, meanInterval(table)];
    }),
  );
}

function mean(values: ArrayLike<number>): number {
  return plainMean([known(values)]);
}

const spreads = ["reward", "kl_init", "chosen_change", "length"] as const;

function spreadSection(task: string, conditions: readonly Named[]): ReportSection {
  const rows = conditions.map(({ condition, name }) => ({
    condition,
    name,
    values: spreads.map((metric) => {
      const table = tableOf(condition.runs, metric);
      return spreadInterval(
        table.map((row) => mean(row)),
        table[0]?.length ?? 0,
      );
    }),
  }));
  return {
    title: `${task}: spread between seeds`,
    note: "Standard deviation of each seed's mean, with the interval of normal theory: with two seeds it spans a factor of seventy.",
    tables: [
      {
        columns: ["", "reward", "KL", "change of good answers", "length"],
        rows: rows.map(({ name, values }) => [
          name,
          ...values.map((value) => intervalText(value, "nats", { isSigned: false })),
        ]),
      },
    ],
    rows: rows.flatMap(({ condition, values }) =>
      values.map(
        (interval, i): ResultRow => ({
          condition: condition.name,
          metric: `${spreads[i]}_deviation_between_seeds`,
          unit: "",
          interval,
        }),
      ),
    ),
  };
}
