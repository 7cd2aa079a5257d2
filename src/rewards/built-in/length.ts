/** The built-in reward `length`. */
import type { RewardOptions } from "../../config/reward-specs.ts";
import { type PromptOrCompletion, type RewardFunction, textOf } from "../reward-function.ts";

/**
 * The length of a completion, in tokens (with the end token), words or characters; with `min` or `max` 1 inside of these bounds
 * and, outside, falling linearly to 0: at length 0, and at twice `max`.
 */
export function lengthReward({ unit = "tokens", min, max }: RewardOptions): RewardFunction {
  return ({ completions, completion_ids: ids }) => {
    const lengths =
      unit === "tokens" ? ids.map(({ length }) => length) : completions.map((each) => lengthOf(each, unit));
    return min === undefined && max === undefined
      ? lengths
      : lengths.map((length) => within(length, min, max));
  };
}

/** 1 from `min` to `max`. */
function within(length: number, min = 0, max = Number.POSITIVE_INFINITY): number {
  if (length < min) return length / min;
  return length > max ? Math.max(0, 2 - length / max) : 1;
}

function lengthOf(completion: PromptOrCompletion, unit: "words" | "characters"): number {
  const text = textOf(completion);
  // characters as a reader counts them, not the halves of surrogate pairs
  return unit === "words" ? (text.match(/\S+/gu)?.length ?? 0) : Array.from(text).length;
}
