/** A rollout as rows of `rollouts.jsonl.gz`: every completion with what it was given. */
import { at } from "../base/at.ts";
import type { RunConfig } from "../config/run-config.ts";
import { describeOrigin } from "../data/example.ts";
import { mean } from "../methods/advantages.ts";
import { chosenOver } from "../methods/pairing/pairs.ts";
import type { RolloutColumns } from "../methods/rollout.ts";
import type { RolloutRow } from "../runs/train-events.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { sizesOf } from "./rollout.ts";
import { type ScoredGroups, textOf } from "./scored-rollout.ts";

/** The rollout as rows; `step`: the first optimiser step that learns from it, from 1. */
export function rolloutRows(
  { groups, scores, rewards, round, columns }: ScoredGroups & { round: number; columns: RolloutColumns },
  { step, tokenizer, config }: { step: number; tokenizer: Tokenizer; config: Pick<RunConfig, "method"> },
): RolloutRow[] {
  const { method } = config;
  const paired = rewards.map((_, i) => Number(columns["rewards"]?.[i]));
  const chosen = "pairs" in method ? chosenOver(paired, sizesOf(groups), method) : null;
  let index = 0;
  return groups.flatMap(({ example, completions }, group) =>
    completions.map(({ ids, ended }): RolloutRow => {
      const i = index++;
      const reward = at(rewards, i);
      const advantage = advantageOf(columns["advantages"]?.[i]);
      const selected = columns["selected"]?.[i];
      return {
        ...{ step, rollout: round, group, row: describeOrigin(example.origin) },
        completion: textOf(ids, tokenizer),
        ...{ ids, ended },
        reward: Number.isNaN(reward) ? null : reward,
        rewards: Object.fromEntries(scores.functions.map(({ name, values }) => [name, values[i] ?? null])),
        ...(advantage === null ? {} : { advantage }),
        ...(selected === undefined ? {} : { selected: selected === 1 }),
        ...(chosen === null ? {} : { chosen_over: at(chosen, i) }),
      };
    }),
  );
}

/** Of advantages by token their mean. */
function advantageOf(advantage: number | Float32Array | undefined): number | null {
  if (advantage === undefined) return null;
  return typeof advantage === "number" ? advantage : mean([...advantage]);
}
