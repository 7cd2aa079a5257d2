/** The three facts of docs/guarantees.md, checked on real runs: level-set bound, implied floor, and the step condition. */
import type { MetricRow } from "preftune";
import type { SettingsOf } from "preftune/methods";
import {
  type Condition,
  type Estimate,
  intervalText,
  type Measured,
  type MeasuredCondition,
  meanInterval,
  numberText,
  type ReportSection,
  type ResultRow,
  type ScatterPoint,
} from "preftune/sweep";
import type { ModelCoupling, PairCoupling } from "../coupling.ts";
import type { StudyDefinition } from "../definition.ts";
import { floorsOf, floorText, rejectedQuantile } from "../floors.ts";

/** The study. */
export const guarantees: StudyDefinition = {
  title: "Guarantees: what can be proved of SLIME, on real runs",
  question:
    "For any parameters whose loss is at most the starting loss L₀, the chosen answers' mean negative log-likelihood is at most L₀/λw; the stabiliser implies a floor for rejected tokens; and a gradient step raises l_w to first order iff (λw + g) > ρ (g − s). docs/guarantees.md has statements, assumptions and proofs.",
  metrics: [
    "chosen_change",
    "margin_change",
    "rejected_change",
    "chosen_down",
    "drift",
    "tail",
    "worst_token",
    "other_text",
  ],
  referenceOf: () => null,
  evaluations: "every step",
  needsAnswers: false,
  seeds: { quick: 2, full: 3 },
  conditions,
  sections: (measured) => [levelSets(measured), floors(measured), coupling(measured), steps(measured)],
};

function conditions(): Condition[] {
  return [
    { name: "SLIME script", changes: { objective: "slime", preset: "script" }, extra: "coupling" },
    { name: "SLIME config", changes: { objective: "slime", preset: "config" }, extra: "coupling" },
    { name: "SLIME paper", changes: { objective: "slime", preset: "paper" }, extra: "coupling" },
    { name: "SimPO", changes: { objective: "simpo" }, extra: "coupling" },
    { name: "DPO", changes: { objective: "dpo" }, extra: "coupling" },
  ];
}

function slimeConditions(
  measured: Measured,
): { condition: MeasuredCondition; settings: SettingsOf<"slime"> }[] {
  return [...measured.values()].flatMap((condition) => {
    const settings = condition.runs[0]?.settings;
    return settings?.objective === "slime" ? [{ condition, settings }] : [];
  });
}

/** Loss and chosen likelihood of the held-out pairs at every evaluation. */
function trajectory(metrics: readonly MetricRow[]): { loss: number; negative: number }[] {
  return metrics.flatMap((row) => {
    const { eval_loss: loss, "eval_logps/chosen_mean": mean } = row;
    return typeof loss === "number" && typeof mean === "number" ? [{ loss, negative: -mean }] : [];
  });
}

/** Rounding of the sums that a loss is made of. */
const tolerance = 1e-6;

/** How one run kept to the bound. */
interface LevelSets {
  bound: number;
  started: number;
  worst: number;
  steps: number;
  /** Evaluations at which the loss was at most its start. */
  inside: number;
  /** Of those, how many broke L₀/λw; and of all, L/λw. */
  brokenInside: number;
  broken: number;
}

function levelSetsOf(metrics: readonly MetricRow[], lambda_w: number): LevelSets {
  const points = trajectory(metrics);
  const start = points[0]?.loss ?? Number.NaN;
  const inside = points.filter(({ loss }) => loss <= start);
  return {
    bound: start / lambda_w,
    started: points[0]?.negative ?? Number.NaN,
    worst: Math.max(...points.map(({ negative }) => negative)),
    steps: points.length,
    inside: inside.length,
    brokenInside: inside.filter(({ negative }) => negative > start / lambda_w + tolerance).length,
    broken: points.filter(({ loss, negative }) => negative > loss / lambda_w + tolerance).length,
  };
}

function levelSets(measured: Measured): ReportSection {
  const rows = slimeConditions(measured).map(({ condition, settings: { lambda_w } }) => {
    const runs = condition.runs.map(({ metrics }) => levelSetsOf(metrics, lambda_w));
    const most = (key: keyof LevelSets): number => Math.max(...runs.map((run) => run[key]));
    const sum = (key: keyof LevelSets): number => runs.reduce((total, run) => total + run[key], 0);
    return {
      name: condition.name,
      bound: Math.min(...runs.map(({ bound }) => bound)),
      started: most("started"),
      worst: most("worst"),
      steps: sum("steps"),
      inside: sum("inside"),
      broken: sum("broken"),
      brokenInside: sum("brokenInside"),
    };
  });
  return {
    title: "Level sets: −l_w stays below L₀/λw",
    note:
      "On the held-out pairs, evaluated after every step of every run; of several runs the smallest bound and the largest −l_w. Where the loss is at most its start L₀, mean(−l_w) must be at most L₀/λw; and at every step at most L/λw. " +
      "A count above 0 in a column of violations would be a bug of the program, not of the method. DPO and SimPO have no such bound. These are facts of these runs and pairs, up to rounding, not estimates: they have no interval.",
    tables: [
      {
        columns: [
          "",
          "L₀/λw, nats per token",
          "−l_w at the start",
          "its largest",
          "evaluations",
          "of them with L ≤ L₀",
          "violations of L₀/λw",
          "violations of L/λw",
        ],
        rows: rows.map((row) => [
          row.name,
          numberText(row.bound, 3),
          numberText(row.started, 3),
          numberText(row.worst, 3),
          row.steps,
          row.inside,
          row.brokenInside,
          row.broken,
        ]),
      },
    ],
    sentences: rows.map(
      (row) =>
        `${row.name}: the bound is ${numberText(row.bound, 2)} nats per token, the largest −l_w over ${row.steps} evaluations ${numberText(row.worst, 2)} (${numberText(row.started, 2)} at the start); ${row.broken + row.brokenInside} violations.`,
    ),
  };
}

function floors(measured: Measured): ReportSection {
  const rows = slimeConditions(measured).map(({ condition }) => ({
    condition,
    floor: floorsOf(condition),
    low: rejectedQuantile(condition, 0.001),
    median: rejectedQuantile(condition, 0.5),
  }));
  return {
    title: "Implied floor",
    note: "Solved numerically at the push of the margin that the held-out pairs began with, beside the least likely rejected tokens after training.",
    tables: [
      {
        columns: ["", "implied floor, nats", "0.1 % of rejected tokens below", "half of them below"],
        rows: rows.map(({ condition, floor, low, median }) => [
          condition.name,
          floorText(floor.first),
          intervalText(low, "nats/token", { isSigned: false }),
          intervalText(median, "nats/token", { isSigned: false }),
        ]),
      },
    ],
  };
}

/** Conditions whose coupling was measured, at each place. */
function couplings(measured: Measured): { name: string; coupling: ModelCoupling }[] {
  return [...measured.values()].flatMap((condition) => {
    const measuredOf = condition.runs.find(({ extra }) => Array.isArray(extra))?.extra as
      | ModelCoupling[]
      | undefined;
    return (measuredOf ?? []).map((found) => ({ name: condition.name, coupling: found }));
  });
}

function over(
  { pairs, prompts }: ModelCoupling,
  value: (pair: PairCoupling) => number,
  isShare = false,
): Estimate {
  return meanInterval([Float64Array.from(pairs, value)], { isShare, prompts });
}

function coupling(measured: Measured): ReportSection {
  const rows = couplings(measured).map(({ name, coupling: found }) => ({
    name: `${name}, ${found.place}`,
    weights: found.weights,
    rho: over(found, ({ rho }) => rho),
    pull: over(found, ({ pull }) => pull),
    drag: over(found, ({ drag }) => drag),
    raises: over(found, ({ pull, drag }) => Number(pull > drag), true),
    did: over(found, ({ realised }) => Number(realised > 0), true),
    agree: over(found, ({ predicted, realised }) => Number(predicted > 0 === realised > 0), true),
  }));
  return {
    title: "Step condition, pair by pair",
    note:
      "Each training pair is taken alone, and a plain gradient step of the objective is made on the weights that move (the adapter's, or the last block's), so short that l_w can change by no more than 0.001 nats per token to first order. " +
      "ρ: ⟨∇l_w, ∇l_l⟩/‖∇l_w‖². Pull: −∂L/∂l_w, for SLIME λw + g. Drag: ρ (g − s), what the rejected answer takes from it. To first order l_w rises iff pull > drag. Intervals are over pairs, of one run; pairs of one prompt are drawn together.",
    tables: [
      {
        columns: [
          "",
          "ρ",
          "pull",
          "drag",
          "condition says: rises",
          "rose",
          "prediction right",
          "pairs",
          "weights",
        ],
        rows: rows.map((row) => [
          row.name,
          intervalText(row.rho, "nats/token", { isSigned: false }),
          intervalText(row.pull, "nats/token", { isSigned: false }),
          intervalText(row.drag, "nats/token", { isSigned: false }),
          intervalText(row.raises, "share"),
          intervalText(row.did, "share"),
          intervalText(row.agree, "share"),
          String(row.rho.pairs),
          row.weights,
        ]),
      },
    ],
    sentences: rows.map(
      (row) =>
        `${row.name}: ρ ${intervalText(row.rho, "nats/token", { isSigned: false })}; a step on one pair raises its l_w in ${intervalText(row.did, "share")} of ${row.rho.pairs} pairs, as the condition says in ${intervalText(row.agree, "share")}.`,
    ),
    rows: rows.flatMap(({ name, rho, raises, did, agree }): ResultRow[] => [
      { condition: name, metric: "rho", unit: "1", interval: rho },
      { condition: name, metric: "condition_says_rises", unit: "share", interval: raises },
      { condition: name, metric: "rose", unit: "share", interval: did },
      { condition: name, metric: "prediction_right", unit: "share", interval: agree },
    ]),
  };
}

function steps(measured: Measured): ReportSection {
  const all = couplings(measured).flatMap(({ name, coupling: { place, prompts, steps: taken } }) =>
    taken.map((step) => ({ name: `${name}, ${place}`, prompts, ...step })),
  );
  const rows = all.map(({ name, size, prompts, predicted, realised }) => {
    const errors = predicted.map((value, i) => Math.abs((realised[i] as number) - value) / size);
    const mean = (values: readonly number[]) => meanInterval([Float64Array.from(values)], { prompts });
    return { name, size, error: mean(errors), mean: mean(realised), wanted: mean(predicted) };
  });
  const points = all
    .filter(({ size }) => size === all[0]?.size)
    .flatMap(({ name, predicted, realised }): ScatterPoint[] =>
      predicted.map((value, i) => ({
        name,
        mark: "",
        colour: name.startsWith("SLIME") ? 1 : name.startsWith("DPO") ? 2 : 3,
        x: exact(value),
        y: exact(realised[i] as number),
      })),
    );
  return {
    title: "One step on all pairs: predicted and realised change of l_w",
    note:
      "A gradient step on the pairs together, sized so that the largest predicted change of a pair is as said. Here pairs also move each other, which the condition for one pair says nothing about: the prediction is ⟨∇l_w of the pair, −∇L⟩, from the Gram matrix. " +
      "Error: mean distance of realised from predicted change, as a fraction of the size; it must shrink with the step.",
    tables: [
      {
        columns: ["", "size, nats per token", "predicted mean change", "realised mean change", "error"],
        rows: rows.map(({ name, size, wanted, mean, error }) => [
          name,
          String(size),
          intervalText(wanted, "nats/token", { digits: 5 }),
          intervalText(mean, "nats/token", { digits: 5 }),
          intervalText(error, "share", { digits: 4 }),
        ]),
      },
    ],
    scatters: [
      {
        title: `Change of l_w by a step of size ${all[0]?.size ?? 0}`,
        note: "A point is a training pair under one objective, at the start or the end of training. Blue: SLIME; orange: DPO; green: SimPO.",
        xLabel: "predicted, nats per token",
        yLabel: "realised, nats per token",
        points,
      },
    ],
    rows: rows.flatMap(({ name, size, error, mean }): ResultRow[] => [
      {
        condition: `${name}, size ${size}`,
        metric: "step_prediction_error",
        unit: "fraction of size",
        interval: error,
      },
      {
        condition: `${name}, size ${size}`,
        metric: "step_realised_change",
        unit: "nats/token",
        interval: mean,
      },
    ]),
  };
}

/** Of one pair: no estimate, so without ends. */
function exact(value: number): Estimate {
  return { value, low: Number.NaN, high: Number.NaN, seeds: 1, pairs: 1 };
}
