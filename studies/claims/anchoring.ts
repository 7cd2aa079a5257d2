/** Does the anchor keep the chosen answer's likelihood from falling? SLIME with and without it, DPO and SimPO. */
import { presetsOf } from "preftune/methods";
import { type Condition, estimate, intervalText, type Measured, type Section } from "preftune/sweep";
import { courseChart } from "../course-chart.ts";
import type { StudyDefinition } from "../definition.ts";

/** SLIME's default preset. */
const [defaultPreset = ""] = presetsOf("slime");

/** The study. */
export const anchoring: StudyDefinition = {
  title: "Anchoring: what becomes of the chosen answer's likelihood",
  question:
    "SLIME's authors say that its anchor (weight λw on the chosen answer's mean log-likelihood) prevents the unlearning that DPO and SimPO show.",
  figures: ["chosen_change", "chosen_down", "margin_change", "rejected_change", "both_down", "accuracy"],
  referenceOf: (name) => (name === "SLIME script" ? null : "SLIME script"),
  evaluations: "some",
  needsAnswers: false,
  seeds: { quick: 3, full: 6 },
  conditions,
  sections: (measured) => [courses(measured), verdicts(measured)],
};

function conditions(): Condition[] {
  return [
    { name: "SLIME script", changes: { objective: "slime", preset: "script" } },
    { name: "SLIME script, no anchor", changes: { objective: "slime", preset: "script", lambda_w: 0 } },
    { name: `SLIME ${defaultPreset}`, changes: { objective: "slime", preset: defaultPreset } },
    {
      name: `SLIME ${defaultPreset}, no anchor`,
      changes: { objective: "slime", preset: defaultPreset, lambda_w: 0 },
    },
    { name: "SLIME config", changes: { objective: "slime", preset: "config" } },
    { name: "SLIME paper", changes: { objective: "slime", preset: "paper" } },
    { name: "DPO", changes: { objective: "dpo" } },
    { name: "SimPO, its authors' values", changes: { objective: "simpo", preset: "authors" } },
    { name: "SimPO, the SLIME paper's values", changes: { objective: "simpo", preset: "slime-paper" } },
  ];
}

function courses(measured: Measured): Section {
  return {
    title: "Over training",
    note: "Held-out pairs; the area is the 95 % interval.",
    courses: [
      courseChart(measured, {
        title: "Chosen log-likelihood since the start",
        unit: "nats/token",
        value: (chosen) => chosen,
      }),
      courseChart(measured, {
        title: "Pairs whose chosen answer is below its start",
        unit: "share",
        value: (chosen) => Number(chosen < 0),
      }),
    ],
  };
}

function verdicts(measured: Measured): Section {
  const said = [...measured.values()].map((one) => {
    const change = estimate(one, "chosen_change");
    const down = estimate(one, "chosen_down");
    const fell = change.high < 0 ? "fell" : change.low > 0 ? "rose" : "did not move beyond the noise";
    return `${one.name}: the chosen answers' likelihood ${fell}, ${intervalText(change, "nats/token")} nats per token; ${intervalText(down, "share")} of the pairs are below their start.`;
  });
  return { title: "In words", said };
}
