/** The built-in reward `regex`. */
import type { RewardOptions } from "../../config/reward-specs.ts";
import { type RewardFunction, textOf } from "../reward-function.ts";
import { compareWithReferences, isReference } from "./references.ts";

/**
 * 1 where the expression is found in the completion, 0 where not. With `column` 1 where the first match is the reference of the row
 * as well: its first group, or all of it where there is none.
 */
export function regexReward({ pattern = "", flags = "", column }: RewardOptions): RewardFunction {
  const expression = new RegExp(pattern, flags);
  if (column === undefined) {
    return ({ completions }) => completions.map((each) => (expression.test(textOf(each)) ? 1 : 0));
  }
  return (input) =>
    compareWithReferences(input, column, (text, reference) => {
      const match = expression.exec(text);
      const found = match?.[1] ?? match?.[0];
      return found !== undefined && isReference(found, reference) ? 1 : 0;
    });
}
