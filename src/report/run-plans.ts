/** All charts that a run has, in their groups. */
import { isOnPolicy } from "../config/online-keys.ts";
import type { RunConfig } from "../config/run-config.ts";
import { methodOf } from "../methods/index.ts";
import {
  type ChartPlan,
  MACHINE_PLANS,
  OUTCOME_PLANS,
  otherPlans,
  SAMPLE_PLANS,
  trainingPlans,
} from "./chart-plans.ts";
import { COMPLETION_PLANS, COST_PLANS, POLICY_PLANS, REWARD_PLANS } from "./rollouts-section.ts";

/** What became of a run's held-out rows, and how its training went. */
export interface RunPlans {
  outcome: readonly ChartPlan[];
  training: readonly ChartPlan[];
}

/** The charts of a run's outcome and of its training. */
export function plansOf(config: RunConfig): RunPlans {
  const { objective } = config.method;
  if (isOnPolicy(config)) {
    const isElsewhere = ({ title }: ChartPlan): boolean =>
      COMPLETION_PLANS.some((plan) => plan.title === title);
    const training = trainingPlans([objective]).filter((plan) => !isElsewhere(plan));
    return { outcome: [...REWARD_PLANS, ...COST_PLANS], training: [...POLICY_PLANS, ...training] };
  }
  const hasOneAnswer = methodOf(objective).over === "completions";
  const outcome = OUTCOME_PLANS.map((plan) =>
    hasOneAnswer ? { ...plan, title: plan.title.replace("Chosen answers", "Answers") } : plan,
  );
  return { outcome, training: trainingPlans([objective]) };
}

/** A chart for each metric that no other chart of the run shows. */
export function unplanned(config: RunConfig): ChartPlan[] {
  const { outcome, training } = plansOf(config);
  const plans = [
    ...outcome,
    ...OUTCOME_PLANS,
    ...training,
    ...SAMPLE_PLANS,
    ...MACHINE_PLANS,
    ...COMPLETION_PLANS,
    ...POLICY_PLANS,
  ];
  return otherPlans(plans);
}
