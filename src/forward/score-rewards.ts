/** What a reward model gives for completions, without gradients. */
import type { RewardModel } from "../models/reward-model.ts";
import { scope, synchronize } from "../torch/index.ts";
import { allCompletions, type MicroBatch, toDevice } from "./batch.ts";
import { valueHead } from "./head.ts";
import type { Numerics } from "./numerics.ts";
import { walk } from "./walk.ts";

/**
 * The rewards of the completions of a batch that was packed for scores, in the order of its spans: float32, read from the state of
 * each completion's last token. Of any other batch the values of its tokens, (R), read from the state before each.
 */
export function rewardsOfBatch(model: RewardModel, { packed }: MicroBatch, numerics: Numerics): Float32Array {
  using _ = scope();
  const onDevice = toDevice(packed, model.device);
  const pass = walk(model, onDevice, valueHead(model.score), { ...numerics, trained: null });
  const { values } = pass.head(allCompletions(onDevice));
  const rewards = Float32Array.from(values.data() as Float32Array);
  synchronize(model.device);
  return rewards;
}
