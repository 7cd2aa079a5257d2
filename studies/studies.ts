/** The studies by name. */
import { ablation } from "./claims/ablation.ts";
import { anchoring } from "./claims/anchoring.ts";
import { frontier } from "./claims/frontier.ts";
import { guarantees } from "./claims/guarantees.ts";
import { margins } from "./claims/margins.ts";
import { sensitivity } from "./claims/sensitivity.ts";
import { stabiliser } from "./claims/stabiliser.ts";
import { transfer } from "./claims/transfer.ts";
import type { StudyDefinition } from "./definition.ts";
import type { StudyName } from "./names.ts";

/** All studies. */
export const STUDIES: Readonly<Record<StudyName, StudyDefinition>> = {
  anchoring,
  stabiliser,
  margins,
  ablation,
  sensitivity,
  transfer,
  guarantees,
  frontier,
};
