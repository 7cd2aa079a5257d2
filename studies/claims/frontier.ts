/** Likelihood against margin: the curve that swept baselines draw, and who lies above it, within training sets and at each learning rate. */
import { type Condition, numberText, PAIR_METRICS, type ReportSection, type ResultRow } from "preftune/sweep";
import { comparisonSentences } from "../analyses/comparison-count.ts";
import {
  type Compared,
  excessOf,
  overSets,
  type Point,
  readingOf,
  type SetMean,
} from "../analyses/excess.ts";
import { type ScaledBack, scaledBack, scaledBackKeys } from "../analyses/scaled-back.ts";
import type { Asked, StudyDefinition } from "../definition.ts";
import {
  atRates,
  BASELINES,
  CLOSER_BASELINES,
  isBaseline,
  MIXED,
  type NamedValues,
  pointsOf,
  scaledName,
  scaleTried,
} from "../points.ts";
import { estimateOf, meanText } from "../set-mean-text.ts";

/** The study. */
export const frontier: StudyDefinition = {
  title: "Frontier: likelihood of the chosen answer against the margin",
  question:
    "Does any method gain more margin than the curve that swept baselines draw, at the same change of the chosen answers' likelihood, and at which drift and tail? Every method at three learning rates, on disjoint training sets, compared within them.",
  metrics: PAIR_METRICS,
  referenceOf: () => null,
  evaluations: "few",
  needsAnswers: false,
  dividesRows: true,
  canChoose: true,
  // what is measured is what was trained, not a part that held-out pairs have chosen
  decides: ["final_scale"],
  values: () => ({ final_scale: 1 }),
  learningRates: [5e-4, 1e-3, 2e-3],
  seeds: { quick: 4, full: 8 },
  conditions,
  sections: (measured) => {
    const points = pointsOf(measured);
    const found = comparisonsIn(points);
    const names = [...new Set(points.map(({ name }) => name))];
    const numbers = new Map(names.map((name, i) => [name, String(i + 1)]));
    return [
      curveSection(points, numbers),
      excessSection(found, numbers),
      ratesSection(points),
      scaledSection(points),
      powerSection(found, points),
    ];
  },
};

/** What is held against the curve in both budgets. */
const candidates: readonly NamedValues[] = [
  ["SLIME balanced", { objective: "slime", preset: "balanced" }],
  ["SLIME script", { objective: "slime", preset: "script" }],
  ["DPO", { objective: "dpo" }],
  ["DPOP", { objective: "dpop", dpop_lambda: 5 }],
  ["DPO per token", { objective: "dpo", loss_type: "sigmoid_norm", beta: 5 }],
  ["APO", { objective: "dpo", loss_type: "apo_zero" }],
  ["ORPO", { objective: "orpo" }],
  ["RPO α 0.3", { objective: "dpo", loss_type: ["sigmoid", "sft"], loss_weights: [1, 0.3] }],
  ["CPO-SimPO", { objective: "simpo", preset: "slime-paper" }],
  ["start anchor η 3", { objective: "slime", preset: "balanced", lambda_w: 0, lambda_start: 3 }],
  ["start anchor η 1, λw 0.4", { objective: "slime", preset: "balanced", lambda_start: 1 }],
  ["chosen floor 0", { objective: "slime", preset: "balanced", chosen_floor: 0 }],
];

/** What the full budget has besides. */
const more: readonly NamedValues[] = [
  ["SLIME config", { objective: "slime", preset: "config" }],
  ["SLIME paper", { objective: "slime", preset: "paper" }],
  ["SLIME without anchor", { objective: "slime", preset: "balanced", lambda_w: 0 }],
  ["SLIME without stabiliser", { objective: "slime", preset: "balanced", lambda_l: 0 }],
  ["SLIME without soft gate", { objective: "slime", preset: "balanced", margin_soft: 1000 }],
  ["SLIME without hard margin", { objective: "slime", preset: "balanced", margin_hard: 1e6, lambda_d: 1e-6 }],
  ["DPO β 0.05", { objective: "dpo", beta: 0.05 }],
  ["DPO β 0.3", { objective: "dpo", beta: 0.3 }],
  ["RPO α 1", { objective: "dpo", loss_type: ["sigmoid", "sft"] }],
  ["SimPO γ 0", { objective: "simpo", preset: "authors", gamma_beta_ratio: 0 }],
  ["start anchor η 1", { objective: "slime", preset: "balanced", lambda_w: 0, lambda_start: 1 }],
  ["start anchor η 3, λw 0.4", { objective: "slime", preset: "balanced", lambda_start: 3 }],
  ["chosen floor 0.05", { objective: "slime", preset: "balanced", chosen_floor: 0.05 }],
];

function conditions({ budget, prompts, fromAdapter = false, learningRates = [] }: Asked): Condition[] {
  // rows and model of the user's own are trained with adapters, whose weights are not mixed
  const besides =
    budget === "full" ? [...CLOSER_BASELINES, ...more, ...(prompts === null ? [] : [MIXED])] : [];
  // a run from an adapter is measured whole alone: scale 0 would not be its start
  const baselines = fromAdapter
    ? BASELINES.map(([name, changes]): NamedValues => [name, changes])
    : BASELINES;
  return atRates([...baselines, ...candidates, ...besides], learningRates);
}

/** A method at a learning rate against the curve of that rate. */
interface Comparison {
  name: string;
  learningRate: number;
  points: readonly Point[];
  excess: Readonly<Record<Compared, SetMean>>;
}

/** The points of each learning rate, lowest first. */
function byRate(points: readonly Point[]): [learningRate: number, own: Point[]][] {
  return [...Map.groupBy(points, ({ learningRate }) => learningRate)].sort(([a], [b]) => a - b);
}

function comparisonsIn(points: readonly Point[]): Comparison[] {
  return byRate(points).flatMap(([learningRate, own]) => {
    const baselines = own.filter(({ name }) => isBaseline(name));
    return [...Map.groupBy(own, ({ name }) => name)].map(([name, method]) => ({
      ...{ name, learningRate, points: method },
      excess: againstCurve(method, baselines),
    }));
  });
}

function againstCurve(method: readonly Point[], baselines: readonly Point[]): Comparison["excess"] {
  const reading = readingOf(baselines);
  const of = (what: Compared): SetMean => overSets(excessOf(method, baselines, what, reading));
  return { margin: of("margin"), drift: of("drift"), tail: of("tail") };
}

const meanOver = (points: readonly Point[], key: Compared | "chosen"): SetMean =>
  overSets(points.map((point) => point[key]));

/** "+0.010 [−0.017, +0.037] n6". */
function excessText(value: SetMean): string {
  return value.sets === 0 ? "–" : `${meanText(value)} n${value.sets}`;
}

/** The number by which charts and table call a method. */
type Numbers = ReadonlyMap<string, string>;

function curveSection(points: readonly Point[], numbers: Numbers): ReportSection {
  return {
    title: "The curve",
    note:
      "Means over training sets; numbers are those of the next table. Joined: the baselines, whose anchor grows from SimPO over SLIME with λw 0.2, 0.8 and 1.6 (in the full budget 4 and 10 too) to the likelihood alone. " +
      "One curve belongs to one learning rate, which with the number of steps sets how far a run goes; the rows decide which curve it is.",
    scatters: byRate(points).map(([learningRate, own]) => {
      const methods = [...Map.groupBy(own, ({ name }) => name)].map(([name, method]) => ({
        name,
        x: { value: meanOver(method, "chosen").mean, low: Number.NaN, high: Number.NaN },
        y: { value: meanOver(method, "margin").mean, low: Number.NaN, high: Number.NaN },
      }));
      return {
        title: `Learning rate ${learningRate}`,
        xLabel: "change of chosen, nats per token",
        yLabel: "change of the margin, nats per token",
        points: methods
          .sort((a, b) => a.x.value - b.x.value)
          .map((point) => ({
            ...point,
            mark: numbers.get(point.name) ?? "",
            colour: isBaseline(point.name) ? 3 : 1,
            isJoined: isBaseline(point.name),
          })),
      };
    }),
  };
}

function excessSection(found: readonly Comparison[], numbers: Numbers): ReportSection {
  const rows = found.toSorted(
    (a, b) =>
      a.learningRate - b.learningRate ||
      meanOver(a.points, "chosen").mean - meanOver(b.points, "chosen").mean,
  );
  return {
    title: "Excess over the curve",
    note:
      "Excess: a method's margin (drift, tail) less the baselines' curve of the same learning rate at the method's own change of chosen, taken within each training set; mean over sets with 95 % t interval, n sets. " +
      "Sets in which it lies beyond the curve's ends are left out, so the outermost baselines have none; a baseline (*) is held against the others. " +
      "Where the curve is short (its ends less than 0.15 nats apart) or steep (more than 1 nat of margin per nat of chosen) the two baselines next to the method in their means are weighed alike in all sets, with one slope. " +
      "× 0.4: the trained model scaled back towards its start. SimPO 0.75 + likelihood 0.25: so much of the weights of either. Nothing is chosen on held-out pairs.",
    tables: [
      {
        columns: [
          "",
          "number",
          "learning rate",
          "change of chosen",
          "change of the margin",
          "excess of margin",
          "excess of drift",
          "excess of tail",
          "drift",
          "tail",
          "least margin seen",
        ],
        rows: rows.map(({ name, learningRate, points, excess }) => [
          `${name}${isBaseline(name) ? "*" : ""}`,
          numbers.get(name) ?? "",
          String(learningRate),
          meanText(meanOver(points, "chosen")),
          meanText(meanOver(points, "margin")),
          excessText(excess.margin),
          excessText(excess.drift),
          excessText(excess.tail),
          numberText(meanOver(points, "drift").mean, 3),
          numberText(meanOver(points, "tail").mean, 2),
          numberText(excess.margin.smallest, 3),
        ]),
      },
    ],
    rows: rows.flatMap(({ name, learningRate, points, excess }): ResultRow[] => [
      ...(["margin", "drift", "tail"] as const).map((what) => ({
        condition: `${name} @ ${learningRate}`,
        metric: `excess_of_${what}`,
        unit: what === "margin" ? "nats/token" : "nats",
        interval: estimateOf(excess[what]),
      })),
      ...(["drift", "tail"] as const).map((what) => ({
        condition: `${name} @ ${learningRate}`,
        metric: what,
        unit: "nats",
        interval: estimateOf(meanOver(points, what)),
      })),
    ]),
  };
}

/** What another learning rate does, by the same reading: the baselines of each rate against the curve of the middle one. */
function otherRates(points: readonly Point[]): { middle: number; rows: Omit<Comparison, "points">[] } {
  const rates = byRate(points);
  const [middle, curve] = rates[Math.floor((rates.length - 1) / 2)] ?? [Number.NaN, []];
  const baselines = curve.filter(({ name }) => isBaseline(name));
  const rows = rates
    .filter(([learningRate]) => learningRate !== middle)
    .flatMap(([learningRate, own]) =>
      [...Map.groupBy(own, ({ name }) => name)]
        .filter(([name]) => isBaseline(name))
        .map(([name, method]) => {
          const renamed = method.map((point) => ({ ...point, name: `${name}, other rate` }));
          return { name, learningRate, excess: againstCurve(renamed, baselines) };
        }),
    );
  return { middle, rows };
}

function ratesSection(points: readonly Point[]): ReportSection {
  const { middle, rows } = otherRates(points);
  return {
    title: "What the learning rate does",
    note: `Baselines at other learning rates against the curve of ${middle}: above 0, the margin grows with the distance from the start, and two methods must not be compared at different rates.`,
    tables: [
      {
        columns: ["", "learning rate", "excess of margin", "excess of drift", "excess of tail"],
        rows: rows.map(({ name, learningRate, excess }) => [
          name,
          String(learningRate),
          excessText(excess.margin),
          excessText(excess.drift),
          excessText(excess.tail),
        ]),
      },
    ],
  };
}

function scaledRows(points: readonly Point[]): ScaledBack[] {
  return scaledBack(
    points,
    BASELINES.map(([name]) => [name, scaledName(name, scaleTried)] as const),
  );
}

function scaledSection(points: readonly Point[]): ReportSection {
  return {
    title: "Trained further, then scaled back",
    note:
      `Models of the higher learning rates taken at ${scaleTried} of the way from their start, less those that the same method trained at the lowest rate; differences within training sets, with 95 % t intervals. ` +
      "Drift and tail are of held-out chosen tokens; a greater tail is a better one.",
    tables: [
      {
        columns: ["", "learning rate", "chosen", "margin", "drift", "tail", "other text"],
        rows: scaledRows(points).map(({ name, learningRate, less }) => [
          name,
          String(learningRate),
          ...scaledBackKeys.map((key) => meanText(less[key])),
        ]),
      },
    ],
  };
}

function powerSection(found: readonly Comparison[], points: readonly Point[]): ReportSection {
  const compared = found.filter(({ name, excess }) => !isBaseline(name) && excess.margin.sets > 1);
  const above = compared.filter(({ excess }) => excess.margin.low > 0);
  const below = compared.filter(({ excess }) => excess.margin.high < 0);
  const list = (some: readonly Comparison[]): string =>
    some.map(({ name, learningRate }) => `${name} at ${learningRate}`).join("; ") || "none";
  const powers = compared.map(({ excess }) => excess.margin.smallest).sort((a, b) => a - b);
  const middle = powers[Math.floor(powers.length / 2)] ?? Number.NaN;
  const counted = comparisonSentences({
    sets: new Set(points.map(({ set }) => set)).size,
    margins: compared.map(({ excess }) => excess.margin),
    damage: compared.flatMap(({ excess }) => [excess.drift, excess.tail]),
    besides: [
      ...found.filter(({ name }) => isBaseline(name)).flatMap(({ excess }) => Object.values(excess)),
      ...otherRates(points).rows.flatMap(({ excess }) => Object.values(excess)),
      ...scaledRows(points).flatMap(({ less }) => Object.values(less)),
    ],
  });
  return {
    title: "In words",
    sentences: [
      ...counted,
      `Above the curve: ${list(above)}. Below it: ${list(below)}.`,
      `The smallest excess of margin that would have been seen in four of five such studies: ${numberText(powers[0] ?? Number.NaN, 3)} to ${numberText(powers.at(-1) ?? Number.NaN, 3)} nats per token, half of the comparisons ${numberText(middle, 3)} or less. What is smaller stays unseen. Intervals are over training sets, which share their held-out pairs.`,
    ],
  };
}
