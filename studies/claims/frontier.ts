/** Likelihood against margin: presets, baselines and a search over SLIME's values. Which are dominated, and which has both? */
import { presetsOf } from "preftune/methods";
import {
  type Condition,
  type ConfigValues,
  countText,
  drawValue,
  type Estimate,
  estimate,
  estimateDifference,
  half,
  intervalText,
  type Measured,
  type MeasuredCondition,
  meanInterval,
  numberText,
  plainMean,
  Random,
  type ReportSection,
  type ResultRow,
  type TrialMetricName,
  tableOf,
} from "preftune/sweep";
import type { StudyDefinition } from "../definition.ts";
import type { Budget } from "../setup.ts";
import { SLIME_RANGES } from "../slime-ranges.ts";

/** The study. */
export const frontier: StudyDefinition = {
  title: "Frontier: likelihood of the chosen answer against the margin",
  question:
    "Every preset, the baselines, and a random search over SLIME's seven values, by how much the chosen answer gained and how much the margin grew on held-out pairs. Which are dominated, does any have both, and which preset deserves to be the default?",
  metrics: [
    "chosen_change",
    "margin_change",
    "accuracy",
    "distinct_2",
    "ended_properly",
    "chosen_down",
    "drift",
    "worst_token",
    "other_text",
  ],
  referenceOf: (name) => (name === "SLIME script" || name.startsWith("search") ? null : "SLIME script"),
  evaluations: "few",
  needsAnswers: true,
  seeds: { quick: 2, full: 5 },
  conditions,
  sections: (measured) => [frontierSection(measured), choiceSection(measured)],
};

const searched: Record<Budget, number> = { quick: 12, full: 40 };

function conditions({ budget }: { budget: Budget }): Condition[] {
  const random = new Random(1);
  return [
    ...presetsOf("slime").map((preset) => ({
      name: `SLIME ${preset}`,
      changes: { objective: "slime", preset },
    })),
    { name: "DPO", changes: { objective: "dpo" } },
    { name: "DPOP", changes: { objective: "dpop", dpop_lambda: 5 } },
    { name: "RPO", changes: { objective: "dpo", loss_type: ["sigmoid", "sft"] } },
    { name: "DPO per token", changes: { objective: "dpo", loss_type: "sigmoid_norm", beta: 5 } },
    { name: "APO", changes: { objective: "dpo", loss_type: "apo_zero" } },
    { name: "ORPO", changes: { objective: "orpo" } },
    { name: "SimPO, its authors' values", changes: { objective: "simpo", preset: "authors" } },
    { name: "SimPO, the SLIME paper's values", changes: { objective: "simpo", preset: "slime-paper" } },
    ...Array.from({ length: searched[budget] }, (_, i) => ({
      name: `search ${i + 1}`,
      changes: { objective: "slime", preset: "script", ...drawn(random) },
    })),
  ];
}

function drawn(random: Random): ConfigValues {
  return Object.fromEntries(
    Object.entries(SLIME_RANGES).map(([key, range]) => [key, drawValue(range, random.next())]),
  );
}

/** How a condition stands among the others. */
interface Rank {
  condition: MeasuredCondition;
  /** Better by both metrics, each difference beyond its interval; of several the one with the largest margin. */
  dominatedBy: string | null;
  /** Better by both metrics as they were measured. */
  aheadOf: string | null;
  hasBoth: boolean;
}

function rankOf(condition: MeasuredCondition, all: readonly MeasuredCondition[]): Rank {
  const ahead = all
    .filter((other) => other !== condition)
    .map((other) => ({
      other,
      chosen: estimateDifference(other, condition, "chosen_change"),
      margin: estimateDifference(other, condition, "margin_change"),
    }))
    .filter(({ chosen, margin }) => chosen.value > 0 && margin.value > 0)
    .sort((a, b) => b.margin.value - a.margin.value);
  const beyondNoise = ahead.filter(({ chosen, margin }) => chosen.low > 0 && margin.low > 0);
  const hasBoth =
    estimate(condition, "chosen_change").low > 0 && estimate(condition, "margin_change").low > 0;
  return {
    condition,
    dominatedBy: beyondNoise[0]?.other.name ?? null,
    aheadOf: ahead[0]?.other.name ?? null,
    hasBoth,
  };
}

function frontierSection(measured: Measured): ReportSection {
  const all = [...measured.values()].filter(({ runs }) => runs.length > 0);
  const ranks = all.map((condition) => rankOf(condition, all));
  const points = all.map((condition, i) => ({
    name: condition.name,
    mark: String(i + 1),
    colour: condition.name.startsWith("search")
      ? 6
      : condition.name.startsWith("SLIME")
        ? 1
        : condition.name === "DPO"
          ? 2
          : 3,
    x: estimate(condition, "margin_change"),
    y: estimate(condition, "chosen_change"),
  }));
  return {
    title: "The frontier",
    note: "Numbers are those of the table. Up and right is better. Blue: SLIME's presets; grey: searched values; orange: DPO; green: the other objectives.",
    scatters: [
      {
        title: "Change of the chosen likelihood against change of the margin",
        xLabel: "change of the margin, nats per token",
        yLabel: "change of chosen, nats per token",
        points,
      },
    ],
    tables: [
      {
        columns: [
          "",
          "number",
          "beaten by both metrics, beyond noise, by",
          "as measured, by",
          "gains both",
          "its values",
        ],
        rows: ranks.map(({ condition, dominatedBy, aheadOf, hasBoth }, i) => [
          condition.name,
          String(i + 1),
          dominatedBy ?? "none",
          aheadOf ?? "none",
          hasBoth ? "yes" : "no",
          valuesText(condition),
        ]),
      },
    ],
    sentences: sentences(ranks),
  };
}

/** What is chosen from: presets, baselines, and what was searched. */
const groups: readonly { title: string; has: (name: string) => boolean }[] = [
  { title: "presets of SLIME", has: (name) => name.startsWith("SLIME") },
  { title: "baselines", has: (name) => !name.startsWith("SLIME") && !name.startsWith("search") },
  { title: "searched settings", has: (name) => name.startsWith("search") },
];

function choiceSection(measured: Measured): ReportSection {
  const choices = groups.flatMap(({ title, has }) => {
    const among = [...measured.values()].filter(({ name }) => has(name));
    const best = bestOfBoth(among);
    return best === null ? [] : [{ title, count: among.length, ...best }];
  });
  return {
    title: "The best of each kind",
    note:
      "By the smaller of the two gains, which is above 0 only where both are. Chosen on one half of the held-out pairs (every other one) and measured on the " +
      "other half, so that being lucky in the choice does not count.",
    tables: [
      {
        columns: ["of", "chosen", "change of chosen", "change of the margin", "seeds × pairs"],
        rows: choices.map(({ title, count, name, chosen, margin }) => [
          `${count} ${title}`,
          name,
          intervalText(chosen, "nats/token"),
          intervalText(margin, "nats/token"),
          countText(chosen),
        ]),
      },
    ],
    sentences: choices.map(
      ({ title, count, name, chosen, margin }) =>
        `Of ${count} ${title} ${name} has the most of both: on the pairs that had no part in the choice, chosen ${intervalText(chosen, "nats/token")}, margin ${intervalText(margin, "nats/token")} nats per token.`,
    ),
    rows: choices.flatMap(({ title, name, chosen, margin }): ResultRow[] => {
      const condition = `best of ${title}: ${name}`;
      return [
        { condition, metric: "chosen_change_on_other_half", unit: "nats/token", interval: chosen },
        { condition, metric: "margin_change_on_other_half", unit: "nats/token", interval: margin },
      ];
    }),
  };
}

function valuesText({ runs, name }: MeasuredCondition): string {
  if (!name.startsWith("search")) return "as named";
  return Object.entries(runs[0]?.trial.changes ?? {})
    .flatMap(([key, value]) => (typeof value === "number" ? [`${key} ${Number(value.toPrecision(3))}`] : []))
    .join(", ");
}

function sentences(ranks: readonly Rank[]): string[] {
  const named = ranks.filter(({ condition }) => !condition.name.startsWith("search"));
  const both = named.filter(({ hasBoth }) => hasBoth);
  const free = named.filter(({ dominatedBy }) => dominatedBy === null);
  const count = ranks.filter(({ hasBoth }) => hasBoth).length;
  const list = (some: readonly Rank[]): string =>
    some.map(({ condition }) => condition.name).join("; ") || "none";
  const best = both.toSorted(
    (a, b) => estimate(b.condition, "margin_change").value - estimate(a.condition, "margin_change").value,
  )[0];
  const bestText =
    best === undefined
      ? ""
      : ` Of the presets and baselines that gain both, ${best.condition.name} has the largest margin: ${intervalText(estimate(best.condition, "margin_change"), "nats/token")}, chosen ${intervalText(estimate(best.condition, "chosen_change"), "nats/token")}.`;
  return [
    `Not dominated beyond noise among presets and baselines: ${list(free)}.`,
    `Chosen likelihood and margin both grew beyond noise with: ${list(both)}; and in ${numberText(count - both.length, 0)} of ${ranks.length - named.length} searched settings.${bestText}`,
  ];
}

/** The condition that was chosen, and its gains on the pairs that had no part in the choice. */
export interface BothGains {
  name: string;
  chosen: Estimate;
  margin: Estimate;
}

const gains = ["chosen_change", "margin_change"] as const satisfies readonly TrialMetricName[];

/**
 * The best of `conditions` by the smaller of its two gains, chosen on one half of the held-out pairs and measured on the other,
 * as the best of many is partly the luckiest. Null when none has runs.
 */
export function bestOfBoth(conditions: readonly MeasuredCondition[]): BothGains | null {
  let best: { condition: MeasuredCondition; gain: number } | null = null;
  for (const condition of conditions) {
    const gain = Math.min(...gains.map((metric) => plainMean(half(tableOf(condition.runs, metric), 0))));
    if (Number.isFinite(gain) && (best === null || gain > best.gain)) best = { condition, gain };
  }
  if (best === null) return null;
  const { condition } = best;
  const [chosen, margin] = gains.map((metric) => meanInterval(half(tableOf(condition.runs, metric), 1)));
  return { name: condition.name, chosen: chosen as Estimate, margin: margin as Estimate };
}
