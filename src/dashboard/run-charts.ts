/** The charts of a run's page, in their groups: the same as in its report, and which lines they have. */
import { isOnPolicy } from "../config/online-keys.ts";
import type { RunConfig } from "../config/run-config.ts";
import { type ChartPlan, MACHINE_PLANS, SAMPLE_PLANS } from "../report/chart-plans.ts";
import { COMPLETION_PLANS } from "../report/rollouts-section.ts";
import { plansOf, unplanned } from "../report/run-plans.ts";

/** Charts under a heading. */
export interface ChartGroup {
  /** Which part of the page it stands in. */
  part: "outcome" | "health" | "training" | "machine" | "other";
  plans: readonly ChartPlan[];
}

/** The groups of a run with this configuration. */
export function chartGroups(config: RunConfig): ChartGroup[] {
  const { outcome, training } = plansOf(config);
  return [
    { part: "outcome", plans: outcome },
    { part: "health", plans: isOnPolicy(config) ? [...COMPLETION_PLANS, ...SAMPLE_PLANS] : SAMPLE_PLANS },
    { part: "training", plans: training },
    { part: "machine", plans: MACHINE_PLANS },
    { part: "other", plans: unplanned(config) },
  ];
}
