/** The mean change of held-out pairs of an evaluation, with an interval over their prompts. */
import type { EvaluationRecord } from "../runs/evaluation-records.ts";
import { groupMeans, type MeanInterval, meanInterval } from "../stats/mean-interval.ts";

/**
 * The mean of `value` over the recorded pairs, those of one prompt averaged first, with the 95 % interval of Student's t over prompts; over
 * pairs in runs of earlier versions, which do not say what prompts they have.
 *
 * @returns `over`: of what it is, in words
 */
export function pairInterval(
  { pair_changes: pairs, pair_prompts: prompts }: Pick<EvaluationRecord, "pair_changes" | "pair_prompts">,
  value: (pair: [chosen: number, rejected: number]) => number,
): MeanInterval & { over: string } {
  const interval = meanInterval(groupMeans(pairs.map(value), prompts ?? [...pairs.keys()]));
  const count = prompts === undefined ? "" : ` of ${new Set(prompts).size} prompts`;
  return { ...interval, over: `${pairs.length} pairs${count}` };
}
