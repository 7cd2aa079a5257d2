/** How far two models' log-probs, or rewards, of the same completions differ. */

import type { MicroBatch } from "../forward/batch.ts";
import type { Numerics } from "../forward/numerics.ts";
import { scoreBatch } from "../forward/score-batch.ts";
import { rewardsOfBatch } from "../forward/score-rewards.ts";
import type { CausalLM, Decoder } from "../models/causal-lm.ts";
import { type LoadOptions, loadModel } from "../models/load.ts";
import { loadRewardModel } from "../models/load-reward-model.ts";
import { RewardModel } from "../models/reward-model.ts";
import type { LogpDifference } from "../runs/train-events.ts";

/** A language model, or a reward model. */
export type HeadedModel = CausalLM | RewardModel;

/** Log-probs of the tokens of each completion of `batches`, in their order; of a reward model the completion's reward. */
export function outputsOf(
  model: HeadedModel,
  { batches, numerics }: { batches: readonly MicroBatch[]; numerics: Numerics },
): Float32Array[] {
  if (model instanceof RewardModel) {
    return batches.flatMap((batch) =>
      Array.from(rewardsOfBatch(model, batch, numerics), (reward) => Float32Array.of(reward)),
    );
  }
  return batches.flatMap((batch) => scoreBatch(model, batch, numerics).map(({ logps }) => logps));
}

/** Loads the model in `dir` as one of the kind of `like`. */
export function loadLike(like: Decoder, dir: string, options: LoadOptions): HeadedModel {
  return like instanceof RewardModel ? loadRewardModel(dir, options) : loadModel(dir, options);
}

/** How far two models' outputs for the same completions differ. */
export function differenceOf(want: readonly Float32Array[], got: readonly Float32Array[]): LogpDifference {
  let tokens = 0;
  let sum = 0;
  let max = 0;
  for (const [i, logps] of want.entries()) {
    for (const [t, logp] of logps.entries()) {
      const difference = Math.abs(logp - (got[i]?.[t] ?? Number.NaN));
      // NaN must not pass: Math.max keeps it, a comparison would drop it
      max = Math.max(max, difference);
      sum += difference;
      tokens += 1;
    }
  }
  return { answers: want.length, tokens, maxDifference: max, meanDifference: sum / Math.max(1, tokens) };
}

/** What of `model` is compared, where that is no log-prob. */
export function kindOf(model: Decoder): Pick<LogpDifference, "of"> {
  return model instanceof RewardModel ? { of: "rewards" } : {};
}

/** The difference in words: "token log-probs differ by up to 2e-4 nats (mean 1e-5) over 900 tokens". */
export function differenceText(
  model: Decoder,
  { maxDifference, meanDifference, tokens }: LogpDifference,
): string {
  const isReward = model instanceof RewardModel;
  const [what, unit, counted] = isReward
    ? ["rewards", "", "completions"]
    : ["token log-probs", " nats", "tokens"];
  const [most, mean] = [maxDifference.toExponential(2), meanDifference.toExponential(2)];
  return `${what} differ by up to ${most}${unit} (mean ${mean}) over ${tokens} ${counted}`;
}
