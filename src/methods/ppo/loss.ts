/** Proximal policy optimisation: a clipped policy gradient on advantages of tokens that a value model makes. */
import { at } from "../../base/at.ts";
import { ShapeError } from "../../base/errors.ts";
import { ops } from "../../torch/index.ts";
import { deviation, mean, rewardMetrics, scorable } from "../advantages.ts";
import { weighted } from "../importance-sampling.ts";
import { klOfCompletion } from "../kl-estimators.ts";
import {
  type CompletionLogps,
  type CompletionObjective,
  meanOf,
  type ObjectiveResult,
  type StepTotals,
  shareOf,
} from "../objective.ts";
import { columnOf, greater, logRatio } from "../policy-ratio.ts";
import { type PreparedRollout, referenceOf, type ScoredRollout } from "../rollout.ts";
import { gae, tokenRewards, whitened } from "./advantages.ts";
import type { PpoOptions } from "./settings.ts";

/**
 * PPO's policy loss over completions; that of the value model is `valueLoss`. Their sum, the second times `vf_coef`, is PPO's.
 *
 * Paper: Schulman et al. 2017, "Proximal Policy Optimization Algorithms", arXiv:1707.06347, Eq. (7):
 *   L = (1/T) Σ_t max(−r_t Â_t, −clip(r_t, 1 ± cliprange) Â_t),   T the tokens of the optimiser step
 * Differs: the reward is at the completion's last token, and the value after it is 0 (TRL 1.12: both at the padding after it).
 *
 * Columns that `prepare` makes: `advantages`, whitened over the rollout, and for the value model `oldValues` and `returns`, all by
 * token. It needs the rollout's `values`. An unscorable completion has advantages of 0 and its old values as returns; one that is masked
 * has advantages of 0 too, and is not whitened with.
 */
export function ppo(options: PpoOptions): CompletionObjective {
  return {
    name: "ppo",
    over: "groups",
    mayCutGroups: true,
    columns: { advantages: "token", oldLogps: "token?", importanceWeights: "token?" },
    usesReference: options.kl_coef > 0,
    evaluate: (completions, totals) => evaluate(completions, totals, options),
    prepare: (rollout) => prepare(rollout, options),
  };
}

function evaluate(
  completions: CompletionLogps,
  totals: StepTotals,
  { cliprange }: PpoOptions,
): ObjectiveResult {
  const log = logRatio(completions);
  const ratio = ops.exp(log);
  const push = ops.neg(columnOf(completions, "advantages"));
  const free = ops.mul(push, ratio);
  const bound = ops.mul(push, ops.clamp(ratio, 1 - cliprange, 1 + cliprange));
  const losses = weighted(greater(free, bound), completions);
  return {
    loss: ops.mul(ops.sum(losses), 1 / Math.max(1, totals.tokens)),
    metrics: {
      "loss/policy_avg": meanOf(losses),
      "policy/approxkl_avg": meanOf(ops.mul(ops.pow(log, 2), 0.5)),
      "policy/clipfrac_avg": shareOf(ops.gt(bound, free)),
      "val/ratio": meanOf(ratio),
    },
  };
}

function prepare(rollout: ScoredRollout, options: PpoOptions): PreparedRollout {
  const { rewards, policyLogps = rollout.samplerLogps, values } = rollout;
  if (values === undefined) {
    throw new ShapeError(
      "ppo needs the rollout's values, one for each token, and got none: give `update` a value model (`valueModel` of openRolloutTraining), or compute them with one",
    );
  }
  const references = options.kl_coef > 0 ? referenceOf(rollout, "kl_coef") : null;
  const scored = rewards.flatMap((reward, i) => (Number.isNaN(reward) ? [] : [i]));
  const raw = scored.map((i) =>
    tokenRewards(at(rewards, i), at(policyLogps, i), references?.[i] ?? null, options),
  );
  const kept = options.whiten_rewards ? whitened(raw, true) : raw;
  const estimates = kept.map((row, k) => gae(row, at(values, at(scored, k)), options));
  const advantages = values.map(({ length }) => new Float32Array(length));
  const returns = values.map((row) => Float32Array.from(row));
  const trained = [...scored.keys()].filter((k) => rollout.masked?.[at(scored, k)] !== true);
  const white = whitened(trained.map((k) => at(estimates, k)));
  for (const [n, k] of trained.entries()) advantages[at(scored, k)]?.set(at(white, n));
  for (const [k, row] of estimates.entries()) {
    const i = at(scored, k);
    returns[i]?.set(row.map((advantage, t) => advantage + (values[i]?.[t] ?? Number.NaN)));
  }
  return {
    columns: { advantages, oldValues: values, returns },
    metrics: {
      ...rewardMetrics(rollout),
      ...scoreMetrics(rollout, references, options),
      "val/explained_variance": explainedVariance(
        scored.flatMap((i) => [...at(returns, i)]),
        estimates.flat(),
      ),
    },
  };
}

function scoreMetrics(
  { rewards, samplerLogps, policyLogps = samplerLogps }: ScoredRollout,
  references: readonly Float32Array[] | null,
  { kl_coef, kl_estimator }: PpoOptions,
): Record<string, number> {
  const scores = mean(scorable(rewards));
  if (references === null) return { "objective/scores": scores, "objective/rlhf_reward": scores };
  const kl = mean(policyLogps.map((logps, i) => klOfCompletion(kl_estimator, logps, at(references, i))));
  return {
    "objective/scores": scores,
    "objective/kl": kl,
    "objective/non_score_reward": -kl_coef * kl,
    "objective/rlhf_reward": scores - kl_coef * kl,
  };
}

/** What of the returns the values knew, `errors` being return less value; NaN where all returns are equal. */
function explainedVariance(returns: readonly number[], errors: readonly number[]): number {
  const variance = deviation(returns) ** 2;
  return variance === 0 ? Number.NaN : 1 - deviation(errors) ** 2 / variance;
}
