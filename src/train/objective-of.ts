/** From a configuration's objective settings to the objective. */
import { dpo } from "../objectives/dpo.ts";
import type { Objective } from "../objectives/objective.ts";
import { sft } from "../objectives/sft.ts";
import { simpo } from "../objectives/simpo.ts";
import { slime } from "../objectives/slime.ts";
import type { ObjectiveSettings } from "../runs/objective-config.ts";

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
