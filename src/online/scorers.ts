/** What scores the completions of a run: reward functions, a reward model, a judge, all of them or some. */
import { promptOf } from "../data/example.ts";
import type { Environment } from "../forward/environment.ts";
import { namedTensors } from "../nn/module.ts";
import type { ScoredCompletions } from "../rewards/scored-completions.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { openRewardModel, scoreCompletions } from "./reward-model.ts";
import type { Scorer } from "./scored-rollout.ts";

/** A scorer that gives what each of `scorers` gives, in their order. */
export function joined(scorers: readonly Scorer[]): Scorer {
  return {
    names: scorers.flatMap(({ names }) => names),
    async score(input, options): Promise<ScoredCompletions> {
      const all: ScoredCompletions[] = [];
      // one after the other: what is paid for comes last, when the others have not failed
      for (const scorer of scorers) all.push(await scorer.score(input, options));
      return { functions: all.flatMap(({ functions }) => functions) };
    },
  };
}

/** A reward model that scores the tokens as they were sampled. */
export interface RewardModelScorer extends Scorer, Disposable {}

/**
 * Opens the reward model in `dir`.
 *
 * @param tokenizer - the policy's
 * @throws {ConfigError} if its tokenizer is another; {FormatError} if it is no reward model
 */
export function rewardModelScorer(
  dir: string,
  tokenizer: Tokenizer,
  environment: Environment,
): RewardModelScorer {
  const model = openRewardModel(dir, tokenizer, environment);
  const numerics = { dtype: environment.dtype, gradient_checkpointing: false, logits_chunk_size: null };
  return {
    names: ["reward_model"],
    async score(_input, { groups }): Promise<ScoredCompletions> {
      const began = performance.now();
      const asked = groups.map(({ example, completions }) => ({
        promptIds: promptOf(example),
        completions: completions.map(({ ids }) => ids),
      }));
      const rewards = scoreCompletions(model, asked, { numerics });
      const values = rewards.map((reward) => (Number.isFinite(reward) ? reward : null));
      const unscored = values.flatMap((value, completion) =>
        value === null ? [{ completion, reason: "not_finite" as const, message: "" }] : [],
      );
      const seconds = (performance.now() - began) / 1000;
      return { functions: [{ name: "reward_model", values, unscored, seconds }] };
    },
    [Symbol.dispose]() {
      for (const [, tensor] of namedTensors(model)) tensor.dispose();
    },
  };
}
