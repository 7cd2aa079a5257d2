/** What does each part of SLIME do? The full objective, and each of its four parts out, in the form of the paper's table. */
import type { Condition } from "preftune/sweep";
import type { StudyDefinition } from "../definition.ts";

/** The study. */
export const ablation: StudyDefinition = {
  title: "Ablation: SLIME without each of its parts",
  question:
    "In the paper (Gemma-3-4B, MT-Bench) the full objective has 6.15, without anchoring 5.74, without stabiliser 5.74, without soft gate 5.80, without hard margin 5.90. Here: accuracy, likelihoods and diversity, for two presets, as the stabiliser of preset script is all but off.",
  figures: [
    "accuracy",
    "chosen_change",
    "margin_change",
    "distinct_2",
    "self_bleu",
    "ended_properly",
    "malformed",
    "chosen_down",
  ],
  referenceOf: (name) => {
    const full = `${name.split(",")[0]}, full`;
    return name === full ? null : full;
  },
  evaluations: "few",
  needsAnswers: true,
  seeds: { quick: 3, full: 6 },
  conditions,
  sections: () => [
    {
      title: "How the parts are taken out",
      note:
        "Without anchoring: λw 0. Without stabiliser: λl 0. Without soft gate: ms 1000, at which σ(κ(ms − Δ)) is 1. Without hard margin: mh 10⁶ and " +
        "λd 10⁻⁶, whose product λd · relu(mh − Δ) is 1 to within 10⁻⁵, so that the gate is left alone. All are ordinary values of the configuration.",
    },
  ],
};

/** A part and the values that take it out. */
const parts = {
  full: {},
  "without anchoring": { lambda_w: 0 },
  "without stabiliser": { lambda_l: 0 },
  "without soft gate": { margin_soft: 1000 },
  "without hard margin": { margin_hard: 1e6, lambda_d: 1e-6 },
} as const;

function conditions(): Condition[] {
  return ["script", "paper"].flatMap((preset) =>
    Object.entries(parts).map(([name, changes]) => ({
      name: `${preset}, ${name}`,
      changes: { objective: "slime", preset, ...changes },
    })),
  );
}
