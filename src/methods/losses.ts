/** From a configuration's objective settings to the objective. */

import type { ObjectiveSettings } from "../runs/objective-config.ts";
import { dpo } from "./dpo/loss.ts";
import type { Objective } from "./objective.ts";
import { sft } from "./sft/loss.ts";
import { simpo } from "./simpo/loss.ts";
import { slime } from "./slime/loss.ts";

/** The objective that `settings` describe. */
export function objectiveOf(settings: ObjectiveSettings): Objective {
  switch (settings.objective) {
    case "slime":
      return slime(settings);
    case "dpo":
      return dpo(settings);
    case "simpo":
      return simpo(settings);
    case "sft":
      return sft();
    default:
      return settings satisfies never;
  }
}
