/** The built-in reward `exact`. */
import type { RewardOptions } from "../../config/reward-specs.ts";
import type { RewardFunction } from "../reward-function.ts";
import { compareWithReferences, isReference } from "./references.ts";

/**
 * 1 where the completion is the reference of its row, 0 where not; white space at the ends does not count. A reference that is a
 * number, no text, is also a completion that spells this number otherwise: 18 and 18.0 are one.
 */
export function exactReward({
  column = "answer",
  ignore_case: ignoreCase = false,
}: RewardOptions): RewardFunction {
  const normal = (text: string): string => (ignoreCase ? text.toLowerCase() : text).normalize("NFC").trim();
  return (input) =>
    compareWithReferences(input, column, (text, reference) => (isReference(text, reference, normal) ? 1 : 0));
}
