/** The mean change of held-out pairs of an evaluation, with an interval over their prompts. */
import type { EvaluationRecord } from "../runs/evaluation-records.ts";
import { groupMeans, type MeanInterval, meanInterval } from "../stats/mean-interval.ts";
import { signed } from "./signed.ts";

/**
 * The mean of `value` over the recorded pairs, those of one prompt averaged first, with the 95 % interval of Student's t over prompts; over
 * pairs in runs of earlier versions, which do not say what prompts they have. Its bounds are NaN where all pairs are of one prompt.
 *
 * @returns `over`: of what it is, in words; `text`: the interval in words, or that there is none
 */
export function pairInterval(
  { pair_changes: pairs, pair_prompts: prompts }: Pick<EvaluationRecord, "pair_changes" | "pair_prompts">,
  value: (pair: [chosen: number, rejected: number]) => number,
): MeanInterval & { over: string; text: string } {
  const interval = meanInterval(groupMeans(pairs.map(value), prompts ?? [...pairs.keys()]));
  const { low, high } = interval;
  const count = new Set(prompts).size;
  const of = prompts === undefined ? "" : count === 1 ? " of one prompt" : ` of ${count} prompts`;
  const over = `${pairs.length} pairs${of}`;
  const text = Number.isNaN(low)
    ? `over ${over}, which has no interval`
    : `95 % interval [${signed(low)}, ${signed(high)}] over ${over}`;
  return { ...interval, over, text };
}
