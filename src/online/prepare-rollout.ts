/** What an objective makes of a scored rollout. */
import { ShapeError } from "../base/errors.ts";
import type { CompletionObjective } from "../methods/objective.ts";
import type { PreparedRollout, ScoredRollout } from "../methods/rollout.ts";
import type { ScoredGroups } from "./scored-rollout.ts";

/**
 * The objective's columns of the rollout, and its metrics.
 *
 * @throws {ShapeError} if the objective does not learn from rollouts
 */
export function prepareRollout(
  objective: CompletionObjective,
  { groups, rewards }: ScoredGroups,
  more: Pick<ScoredRollout, "referenceLogps" | "max_completion_length" | "values" | "masked">,
): PreparedRollout {
  if (objective.prepare === undefined) {
    throw new ShapeError(`${objective.name} makes nothing of rollouts: expected an objective with prepare`);
  }
  const completions = groups.flatMap((group) => group.completions);
  return objective.prepare({
    groupSizes: groups.map((group) => group.completions.length),
    rewards,
    truncated: completions.map(({ ended }) => !ended),
    samplerLogps: completions.map(({ logps }) => logps),
    ...more,
  });
}
