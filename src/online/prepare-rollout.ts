/** What an objective makes of a scored rollout. */
import { ShapeError } from "../base/errors.ts";
import type { CompletionObjective } from "../methods/objective.ts";
import type { PreparedRollout, ScoredRollout } from "../methods/rollout.ts";
import type { ScoredGroups } from "./scored-rollout.ts";

/** What there is beside the scored rollout. */
interface PrepareOptions
  extends Pick<ScoredRollout, "policyLogps" | "referenceLogps" | "max_completion_length" | "values"> {
  mask_truncated_completions: boolean;
}

/**
 * The objective's columns of the rollout, with the sampler's log-probs where it takes them, and its metrics.
 *
 * @throws {ShapeError} if the objective does not learn from rollouts
 */
export function prepareRollout(
  objective: CompletionObjective,
  { groups, rewards }: ScoredGroups,
  { mask_truncated_completions, ...more }: PrepareOptions,
): PreparedRollout {
  if (objective.prepare === undefined) {
    throw new ShapeError(`${objective.name} makes nothing of rollouts: expected an objective with prepare`);
  }
  const completions = groups.flatMap((group) => group.completions);
  const samplerLogps = completions.map(({ logps }) => logps);
  const { columns, metrics } = objective.prepare({
    groupSizes: groups.map((group) => group.completions.length),
    rewards,
    truncated: completions.map(({ ended }) => !ended),
    masked: completions.map(({ ended }) => mask_truncated_completions && !ended),
    samplerLogps,
    ...more,
  });
  const takesSampler = "samplerLogps" in (objective.columns ?? {});
  return { columns: { ...columns, ...(takesSampler ? { samplerLogps } : {}) }, metrics };
}
