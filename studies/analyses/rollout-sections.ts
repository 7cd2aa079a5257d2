/** What on-policy runs are compared by besides their ends: at equal time, reward and KL; curves; spread between seeds. */
import {
  type Chart,
  differenceInterval,
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
  twinsOf,
} from "preftune/sweep";
import { at, crossing, curveOf, valueAt } from "./rollout-curves.ts";

/** How a study's conditions are read. */
export interface RolloutStudy {
  /** Splits a condition's name into the task it was trained on and the method. */
  splitName(condition: string): [task: string, method: string];
  /** The method that the others are compared with. */
  reference: string;
  /** Tasks whose reward nothing can raise: at equal reward nothing is read off. */
  unearnable: readonly string[];
}

/** The sections of each task. */
export function rolloutSections(measured: Measured, study: RolloutStudy): ReportSection[] {
  const byTask = Map.groupBy(
    [...measured.values()].filter(({ runs }) => runs.length > 0),
    ({ name }) => study.splitName(name)[0],
  );
  return [...byTask].flatMap(([task, conditions]) => {
    const named = conditions.map((condition) => ({ condition, name: study.splitName(condition.name)[1] }));
    const levels = levelsOf(named).filter(
      ({ metric }) => metric !== "reward" || !study.unearnable.includes(task),
    );
    return [
      ...curvesSections(task, named),
      equalSection(task, named, { levels, reference: study.reference }),
      spreadSection(task, named),
    ];
  });
}

interface Named {
  condition: MeasuredCondition;
  /** The method's. */
  name: string;
}

/** Lines of a chart, as many as there are colours. */
const linesPerChart = 7;

const goldTitle = "Gold against reward";

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
  { title: goldTitle, unit: "", x: "reward", y: "gold", xLabel: "reward" },
  { title: "Reward", unit: "", x: "step", y: "reward", xLabel: "step" },
  { title: "KL to the start", unit: "nats", x: "step", y: "kl_init", xLabel: "step" },
  { title: "Length", unit: "tokens", x: "step", y: "length", xLabel: "step" },
] as const;

/** The first method, with which others are compared, is in every group of lines. */
function curvesSections(task: string, conditions: readonly Named[]): ReportSection[] {
  const [first, ...others] = conditions;
  const room = linesPerChart - 1;
  const groups = Array.from({ length: Math.max(1, Math.ceil(others.length / room)) }, (_, i) => [
    ...(first === undefined ? [] : [first]),
    ...others.slice(i * room, (i + 1) * room),
  ]);
  return groups.map((group, i) => ({
    title: groups.length === 1 ? `${task}: curves` : `${task}: curves ${i + 1} of ${groups.length}`,
    note: "Means over seeds and held-out prompts at each evaluation.",
    curves: chartsOf(group),
  }));
}

function chartsOf(conditions: readonly Named[]): Chart[] {
  const charts = drawings.map(({ title, unit, x, y, xLabel }): Chart => {
    const series = conditions.map(({ condition: { runs }, name }, i): Series => {
      const points = meanCurve(runs).map((point): [number, number] => [
        x === "step" ? point.step : (point.means[x] ?? Number.NaN),
        point.means[y] ?? Number.NaN,
      ]);
      // in the order of time: a curve may turn back
      return {
        name,
        colour: i + 1,
        isEval: false,
        points: points.filter((row) => row.every(Number.isFinite)),
      };
    });
    return { title, unit, xLabel, isOverValues: x !== "step", series };
  });
  // a task without a gold has nothing to draw of it, and one whose reward is the gold nothing to see
  return charts.filter(
    ({ title, series }) =>
      series.some(({ points }) => points.length > 0) &&
      (title !== goldTitle || series.some(({ points }) => points.some(([x, y]) => x !== y))),
  );
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

/** Where all are read off. */
interface Level {
  metric: "reward" | "kl_init" | "seconds";
  title: string;
  value: number;
  read: readonly ReadMetric[];
}

type ReadMetric = "reward" | "gold" | "kl_init" | "chosen_delta";

const levels: readonly Omit<Level, "value">[] = [
  { metric: "reward", title: "reward", read: ["kl_init", "chosen_delta", "gold"] },
  { metric: "kl_init", title: "KL", read: ["reward", "chosen_delta", "gold"] },
  { metric: "seconds", title: "time", read: ["reward", "kl_init", "chosen_delta"] },
];

/**
 * Two runs of three come to a level: a few methods that hardly move do not decide for the others. All come to that of time, which the fastest
 * sets: without it the cheapest method would be the one that is left out.
 */
function levelsOf(conditions: readonly Named[]): Level[] {
  return levels.map((level) => {
    const reached = conditions
      .flatMap(({ condition: { runs } }) => runs.map((run) => mostOf(run, level.metric)))
      .filter(Number.isFinite)
      .sort((a, b) => a - b);
    const least = level.metric === "seconds" ? 0 : Math.floor(reached.length / 3);
    return { ...level, value: reached[least] ?? Number.NaN };
  });
}

function mostOf(run: MeasuredRun, metric: Level["metric"]): number {
  return Math.max(...curveOf(run).map((point) => mean(at(point, metric))));
}

/** A method at a level, over the runs that came to it, and the difference from the reference over the seeds that both have there. */
interface Reading {
  name: string;
  condition: MeasuredCondition;
  reached: number;
  values: ReadonlyMap<ReadMetric, Estimate>;
  differences: ReadonlyMap<ReadMetric, Estimate>;
}

function equalSection(
  task: string,
  conditions: readonly Named[],
  { levels: read, reference }: { levels: readonly Level[]; reference: string },
): ReportSection {
  const base = conditions.find(({ name }) => name === reference)?.condition;
  const readings = read.map((level) => ({
    level,
    rows: conditions.map((named) => readingOf(named, base, level)),
  }));
  return {
    title: `${task}: at equal ${read.map(({ title }) => title).join(", ")}`,
    note:
      "Each run is read off where its curve first reaches the level, between two evaluations on a straight line. The level is one that two runs of three came to; " +
      "a run that did not is left out. That of time is the whole of the fastest run. Differences from " +
      `${reference} are prompt by prompt over the seeds that both have there. Time is that of the training steps, sampling and scoring included, as it was measured: on a busy machine it says little.`,
    tables: readings.map(({ level, rows }) => ({
      columns: [
        `at ${level.title} ${numberText(level.value, 2)}${level.metric === "seconds" ? " s" : ""}`,
        ...level.read.flatMap((of) => [headings[of], `less ${reference}`]),
        "runs",
      ],
      rows: rows.map(({ name, condition, reached, values, differences }) => [
        name,
        ...level.read.flatMap((of) => [
          cell(values.get(of), of, false),
          condition === base ? "" : cell(differences.get(of), of, true),
        ]),
        `${reached} of ${condition.runs.length}`,
      ]),
    })),
    rows: readings.flatMap(({ level, rows }) => rows.flatMap((row) => resultRows(row, level, base))),
  };
}

function cell(value: Estimate | undefined, of: ReadMetric, isSigned: boolean): string {
  if (value === undefined) return "–";
  const isPerToken = units[of] === "nats/token";
  return intervalText(value, units[of], { digits: isPerToken ? 3 : 2, isSigned: isSigned || isPerToken });
}

function readingOf({ condition, name }: Named, base: MeasuredCondition | undefined, level: Level): Reading {
  const reached = condition.runs.filter((run) => mostOf(run, level.metric) >= level.value);
  const twins = (base === undefined ? [] : twinsOf({ condition, base })).filter(({ run, twin }) =>
    [run, twin].every((one) => mostOf(one, level.metric) >= level.value),
  );
  const tables = (runs: readonly MeasuredRun[], of: ReadMetric): PairTable =>
    runs.map((run) => valueAt(curveOf(run), crossing(curveOf(run), level.metric, level.value), of));
  const each = (estimated: (of: ReadMetric) => Estimate): ReadonlyMap<ReadMetric, Estimate> =>
    new Map(level.read.map((of) => [of, estimated(of)]));
  const isCompared = twins.length > 0 && condition !== base;
  return {
    name,
    condition,
    reached: reached.length,
    values: reached.length === 0 ? new Map() : each((of) => meanInterval(tables(reached, of))),
    differences: isCompared
      ? each((of) => {
          const [own, others] = [twins.map(({ run }) => run), twins.map(({ twin }) => twin)];
          return differenceInterval(tables(own, of), tables(others, of));
        })
      : new Map(),
  };
}

function resultRows(
  { condition, values, differences }: Reading,
  { title, value }: Level,
  base: MeasuredCondition | undefined,
): ResultRow[] {
  const row = (of: ReadMetric, interval: Estimate): ResultRow => ({
    condition: condition.name,
    metric: `${of}_at_equal_${title}_${numberText(value, 2)}`,
    unit: units[of],
    interval,
  });
  return [
    ...[...values].map(([of, interval]) => row(of, interval)),
    ...[...differences].map(([of, interval]) => ({ ...row(of, interval), minus: base?.name ?? "" })),
  ];
}

const headings = {
  reward: "reward",
  gold: "gold reward",
  kl_init: "KL",
  chosen_delta: "change of good answers",
};
const units = { reward: "reward", gold: "reward", kl_init: "nats", chosen_delta: "nats/token" } as const;

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
    note: "Standard deviation of each seed's mean, with the interval of normal theory: with two seeds it spans a factor of seventy, with three one of twelve.",
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
