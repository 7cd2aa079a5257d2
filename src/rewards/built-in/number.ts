/** The built-in reward `number`. */
import type { RewardOptions } from "../../config/reward-specs.ts";
import type { RewardFunction } from "../reward-function.ts";
import { compareWithReferences, distanceOf } from "./references.ts";

/**
 * 1 where the last number of the completion is the last number of the reference, within `tolerance`; 0 where it is not, or there is
 * none. So a reference may be 18, "18" or a worked solution that ends in "#### 18". One without a number is not scored. Whole
 * numbers are compared exactly, however long.
 */
export function numberReward({ column = "answer", tolerance = 0 }: RewardOptions): RewardFunction {
  return (input) =>
    compareWithReferences(input, column, (text, reference) => {
      const wanted = lastDigits(reference.text);
      const given = lastDigits(text);
      if (wanted === null) return null;
      return given !== null && distanceOf(given, wanted) <= tolerance ? 1 : 0;
    });
}

/** A sign belongs to a number unless something is subtracted there; thousands may be separated by commas. */
const numbers =
  /(?<![\w.)\]}])[-+−]?(?:\d{1,3}(?:,\d{3})+(?!,?\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|(?<![\w.])[-+−]?\.\d+|(?<=[\w.)\]}])\d+(?:\.\d+)?/g;

/** The last number in `text` as it is written, without commas; null: there is none. */
export function lastDigits(text: string): string | null {
  return text.match(numbers)?.at(-1)?.replaceAll(",", "").replace("−", "-") ?? null;
}
