/** A rollout as rows of `rollouts.jsonl.gz`: every completion with what it was given. */
import { at } from "../base/at.ts";
import { describeOrigin } from "../data/example.ts";
import type { RolloutColumns } from "../methods/rollout.ts";
import type { RolloutRow } from "../runs/train-events.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { ScoredGroups } from "./scored-rollout.ts";
import { textOf } from "./scored-rollout.ts";

/** The rollout as rows; `step`: the first optimiser step that learns from it, from 1. */
export function rolloutRows(
  { groups, scores, rewards, round, columns }: ScoredGroups & { round: number; columns: RolloutColumns },
  { step, tokenizer }: { step: number; tokenizer: Tokenizer },
): RolloutRow[] {
  let index = 0;
  return groups.flatMap(({ example, completions }, group) =>
    completions.map(({ ids, ended }): RolloutRow => {
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
      };
    }),
  );
}
