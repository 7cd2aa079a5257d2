/** Log-probs that a KL or a ratio is made of. */
import { at } from "../base/at.ts";
import { TrainingError } from "../base/errors.ts";
import { describeOrigin } from "../data/example.ts";
import { placesOf, type RolloutGroup } from "./rollout.ts";

const advice = {
  policy:
    "it diverged in training. Continue from an earlier checkpoint with a lower learning_rate or max_grad_norm.",
  reference: "its weights are damaged: check the model that the run began with.",
};

/**
 * `logps`, all of them finite: what is made of another one, a KL, a reward less a KL, a ratio, would be lost or spoil others unseen.
 *
 * @param logps - for each completion of the groups, in order, the log-probs of its tokens
 * @param model - which model's they are
 * @throws {TrainingError} naming the row and the model
 */
export function finiteLogps(
  model: keyof typeof advice,
  groups: readonly Pick<RolloutGroup, "completions" | "example">[],
  logps: Float32Array[],
): Float32Array[] {
  const bad = logps.findIndex((own) => !own.every(Number.isFinite));
  if (bad < 0) return logps;
  const { example, number } = at(placesOf(groups), bad);
  const own = at(logps, bad);
  const token = own.findIndex((logp) => !Number.isFinite(logp));
  throw new TrainingError(
    `${describeOrigin(example.origin)}: the log-prob of token ${token + 1} of completion ${number} under the ${model} is ` +
      `${at(own, token)}, so that there is no KL and no ratio: its numbers grow too large on the way. Compute in float32 (dtype: ` +
      `float32); if that is no better, ${advice[model]}`,
  );
}
