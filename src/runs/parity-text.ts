/** What the check of an export measured and allows, in words: of which numbers, and by which of the two differences it judges. */
import type { ParityResult } from "./train-events.ts";

/** How many times the tolerance the mean difference of a half-precision export may be, whatever rounding does. */
export const halfTolerances = 200;

/**
 * What was scored again, the unit of the differences (a blank before it, or nothing), and what the check allows: of float32 the largest
 * difference counts, of weights rounded to a half type the mean.
 */
export function parityText(result: ParityResult): { counted: string; unit: string; allowed: string } {
  const { kind, dtype, of, answers, tokens, tolerance } = result;
  const isReward = of === "rewards";
  const count = (many: number): string => many.toLocaleString("en-US");
  const counted = isReward
    ? `${count(answers)} completions`
    : `${count(tokens)} tokens of ${count(answers)} completions`;
  const unit = isReward ? "" : " nats";
  const rounded = kind === "model" ? `, or what rounding to ${dtype} explains,` : "";
  const mean = Number((halfTolerances * tolerance).toPrecision(4));
  const allowed =
    dtype === "float32"
      ? `a largest difference of ${tolerance}${unit} is allowed`
      : `a mean difference of ${mean}${unit}${rounded} is allowed`;
  return { counted, unit, allowed };
}
