/** Reward-ranked fine-tuning: the negative log-likelihood of each group's best completion. */
import { at } from "../../base/at.ts";
import { ops } from "../../torch/index.ts";
import { inGroups, mean, rewardMetrics } from "../advantages.ts";
import type { CompletionNumbers, CompletionObjective } from "../objective.ts";
import { byToken, columnOf } from "../policy-ratio.ts";
import type { PreparedRollout, ScoredRollout } from "../rollout.ts";
import type { RaftOptions } from "./settings.ts";

/**
 * Supervised fine-tuning on the best completion of each group.
 *
 * Paper: Dong et al. 2023, "RAFT: Reward rAnked FineTuning for Generative Foundation Model Alignment", arXiv:2304.06767, Section 3.1:
 *   L = −(1/T) Σ over the tokens of selected completions of logp_t, T the selected tokens of the optimiser step.
 * Differs: a best completion whose reward is not above `reward_threshold` is left out; of equally good ones the first is the best,
 *   and one that is masked is none.
 *
 * Columns: `selected`, 1 for the completions that are trained on, else 0.
 */
export function raft(options: RaftOptions): CompletionObjective {
  return {
    name: "raft",
    over: "groups",
    mayCutGroups: true,
    columns: { selected: "completion" },
    counts: ({ lengths, columns }) => ({ selectedTokens: selectedTokens(lengths, columns) }),
    evaluate(completions, { counted }) {
      const selected = byToken(columnOf(completions, "selected"), completions);
      const tokens = Math.max(1, counted?.["selectedTokens"] ?? 0);
      return { loss: ops.mul(ops.sum(ops.mul(completions.logps, selected)), -1 / tokens), metrics: {} };
    },
    prepare: (rollout) => prepare(rollout, options),
    withoutGradient: ({ selected = [] }) => selected.map((one) => one === 0),
  };
}

function selectedTokens(lengths: readonly number[], columns: CompletionNumbers["columns"]): number {
  const selected = columns["selected"];
  return lengths.reduce((sum, length, i) => sum + length * (selected?.[i] ?? 0), 0);
}

function prepare(rollout: ScoredRollout, { reward_threshold }: RaftOptions): PreparedRollout {
  const { rewards, groupSizes, masked = [] } = rollout;
  const least = reward_threshold ?? Number.NEGATIVE_INFINITY;
  // what the loss leaves out cannot be trained on
  const trainable = rewards.map((reward, i) => (masked[i] === true ? Number.NaN : reward));
  const selected = inGroups(trainable, groupSizes).flatMap((group) => {
    const best = bestOf(group);
    return group.map((reward, i) => (i === best && reward > least ? 1 : 0));
  });
  const chosen = rewards.filter((_, i) => at(selected, i) === 1);
  return {
    columns: { selected },
    metrics: {
      ...rewardMetrics(rollout),
      "raft/frac_groups": chosen.length / groupSizes.length,
      ...(chosen.length === 0 ? {} : { "raft/reward": mean(chosen) }),
    },
  };
}

/** Index of the first of the greatest rewards; -1 where there is none. */
function bestOf(rewards: readonly number[]): number {
  return rewards.reduce(
    (best, reward, i) => (reward > (rewards[best] ?? Number.NEGATIVE_INFINITY) ? i : best),
    -1,
  );
}
