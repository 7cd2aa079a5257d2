/** The loss of PPO's value model. */
import { ops, type Tensor } from "../../torch/index.ts";
import { type CompletionObjective, meanOf, type ObjectiveResult, shareOf } from "../objective.ts";
import { columnOf, greater, smaller } from "../policy-ratio.ts";
import type { PpoOptions } from "./settings.ts";

/** What the value model says now, what it said when the rollout was made, and what came: (R) each, of one type. */
export interface TokenValues {
  /** With grad in training. */
  values: Tensor;
  oldValues: Tensor;
  returns: Tensor;
}

/**
 * The clipped value loss, this micro-batch's part of the step's.
 *
 * Paper: Schulman et al. 2017, arXiv:1707.06347, Eq. (9), with the clipping of OpenAI's and TRL's code:
 *   L = vf_coef · ½ (1/T) Σ_t max((V − G)², (clip(V, V_old ± cliprange_value) − G)²)
 *
 * @param tokens - T: the tokens of the optimiser step
 */
export function valueLoss(
  { values, oldValues, returns }: TokenValues,
  { cliprange_value, vf_coef }: Pick<PpoOptions, "cliprange_value" | "vf_coef">,
  tokens: number,
): ObjectiveResult {
  const lowest = ops.sub(oldValues, cliprange_value);
  const inside = greater(smaller(values, ops.add(oldValues, cliprange_value)), lowest);
  const free = ops.pow(ops.sub(values, returns), 2);
  const bound = ops.pow(ops.sub(inside, returns), 2);
  const losses = ops.mul(greater(free, bound), 0.5);
  return {
    loss: ops.mul(ops.sum(losses), vf_coef / Math.max(1, tokens)),
    metrics: { "loss/value_avg": meanOf(losses), "val/clipfrac_avg": shareOf(ops.gt(bound, free)) },
  };
}

/** The value loss as what a value model is trained by: on the columns that `ppo` made of the rollout. */
export function valueObjective(
  options: Pick<PpoOptions, "cliprange_value" | "vf_coef">,
): CompletionObjective {
  return {
    name: "ppo's value loss",
    over: "groups",
    mayCutGroups: true,
    takesValues: true,
    columns: { oldValues: "token", returns: "token" },
    evaluate: (completions, totals) => {
      const [oldValues, returns] = [columnOf(completions, "oldValues"), columnOf(completions, "returns")];
      return valueLoss({ values: completions.logps, oldValues, returns }, options, totals.tokens);
    },
  };
}
