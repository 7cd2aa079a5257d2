/** The built-in reward `think_format`. */
import { type RewardFunction, textOf } from "../reward-function.ts";

/**
 * 1 where the completion begins with `<think>`, which comes once, and `</think>` follows; 0 where not. TRL's think_format_reward.
 */
export function thinkFormatReward(): RewardFunction {
  const opening = "<think>";
  const score = (text: string): number => {
    const isOnce = text.startsWith(opening) && text.lastIndexOf(opening) === 0;
    return isOnce && text.includes("</think>") ? 1 : 0;
  };
  return ({ completions }) => completions.map((each) => score(textOf(each)));
}
