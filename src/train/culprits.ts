/** Which rows of a step are at fault when its loss or gradient is not finite. */
import { at } from "../base/at.ts";
import type { StepPlan } from "../data/batches.ts";
import { describeOrigin, type Example } from "../data/example.ts";
import { singleBatches } from "./plan.ts";
import { isFiniteStep, type Training } from "./step.ts";

/** What the step was made of. */
interface StepRows {
  plan: StepPlan;
  /** The whole data set. */
  examples: readonly Example[];
  share_prompt: boolean;
  /** Of the step's dropout masks. */
  seed: number;
}

/** `file:line` of all rows of a step. */
export function rowsOf({ plan, examples }: Pick<StepRows, "plan" | "examples">): string[] {
  return plan.examples.map((i) => describeOrigin(at(examples, i).origin));
}

/** The rows that are not finite alone; all of them when only together, or when the weights are at fault. */
export function culpritsOf(training: Training, { plan, examples, share_prompt, seed }: StepRows): string[] {
  const singles = singleBatches(examples, plan, share_prompt);
  const rows = rowsOf({ plan, examples });
  const bad = rows.filter((_, i) => !isFiniteStep(training, singles.slice(i, i + 1), seed));
  return bad.length > 0 ? bad : rows;
}

/** The first few of `rows`, and how many more there are. */
export function fewOf(rows: readonly string[], most = 5): string {
  const more = rows.length > most ? `, and ${rows.length - most} more` : "";
  return `${rows.slice(0, most).join(", ")}${more}`;
}
