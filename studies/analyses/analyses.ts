/** What studies make of results besides the tables that all have, by the names that their files use. */
import type { Analysis } from "../definition.ts";
import { chosenLikelihood, curves } from "./curves.ts";
import { marginSpread, marginZones } from "./margins.ts";
import { regret } from "./regret.ts";
import { rejectedTokens } from "./rejected-tokens.ts";

/** Name of an analysis. */
export type AnalysisName =
  | "curves"
  | "chosen likelihood"
  | "rejected tokens"
  | "margin zones"
  | "margin spread"
  | "regret";

/** All analyses. */
export const ANALYSES: Readonly<Record<AnalysisName, Analysis>> = {
  curves,
  "chosen likelihood": chosenLikelihood,
  "rejected tokens": rejectedTokens,
  "margin zones": marginZones,
  "margin spread": marginSpread,
  regret,
};
