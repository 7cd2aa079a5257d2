/** A rollout as rows of `rollouts.jsonl.gz`: every completion with what it was given. */
import { at } from "../base/at.ts";
import type { RunConfig } from "../config/run-config.ts";
import { describeOrigin } from "../data/example.ts";
import { type IndexPair, pairsOf } from "../methods/pairing/pairs.ts";
import type { RolloutColumns } from "../methods/rollout.ts";
import type { RolloutRow } from "../runs/train-events.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { ScoredGroups } from "./scored-rollout.ts";
import { textOf } from "./scored-rollout.ts";

/** The rollout as rows; `step`: the first optimiser step that learns from it, from 1. */
export function rolloutRows(
  { groups, scores, rewards, round, columns }: ScoredGroups & { round: number; columns: RolloutColumns },
  { step, tokenizer, config }: { step: number; tokenizer: Tokenizer; config: PairConfig },
): RolloutRow[] {
  const pairs = pairsIn(groups, columns, config);
  let index = 0;
  return groups.flatMap(({ example, completions }, group) => {
    const first = index;
    return completions.map(({ ids, ended }): RolloutRow => {
      const i = index++;
      const reward = at(rewards, i);
      const advantage = columns["advantages"]?.[i];
      return {
        ...{ step, rollout: round, group, row: describeOrigin(example.origin) },
        completion: textOf(ids, tokenizer),
        ...{ ids, ended },
        reward: Number.isNaN(reward) ? null : reward,
        rewards: Object.fromEntries(scores.functions.map(({ name, values }) => [name, values[i] ?? null])),
        ...(typeof advantage === "number" ? { advantage } : {}),
        ...(pairs === null ? {} : { chosen_over: rejectedBy(i, pairs[group] ?? []).map((k) => k - first) }),
      };
    });
  });
}

type PairConfig = Pick<RunConfig, "method" | "mask_truncated_completions">;

/** The pairs of each group, as the loss makes them; null for a method that makes none. */
function pairsIn(
  groups: ScoredGroups["groups"],
  { rewards = [] }: RolloutColumns,
  { method, mask_truncated_completions }: PairConfig,
): IndexPair[][] | null {
  if (!("pairs" in method) || rewards.length === 0) return null;
  const completions = groups.flatMap((group) => group.completions);
  const paired = completions.map(({ ended }, i) =>
    mask_truncated_completions && !ended ? Number.NaN : Number(rewards[i]),
  );
  return pairsOf(
    paired,
    groups.map((group) => group.completions.length),
    method,
  );
}

function rejectedBy(chosen: number, pairs: readonly IndexPair[]): number[] {
  return pairs.flatMap(([better, rejected]) => (better === chosen ? [rejected] : []));
}
