/** Which rows of a step are at fault when its loss or gradient is not finite. */
import { describeOrigin } from "../data/example.ts";
import type { MicroBatch } from "../forward/batch.ts";
import type { Decoder } from "../models/causal-lm.ts";
import type { SkipReason } from "../runs/train-events.ts";
import { isFiniteStep, type Training } from "./step.ts";

/**
 * `file:line` of the rows to name for a step that was skipped for `reason`: those that are not finite alone, all of them when
 * only together they are not, or when the weights are at fault. Of a spike all.
 *
 * @param singles - each of the step's rows as a micro-batch by itself
 * @param seed - of the step's dropout masks
 */
export function culpritsOf(
  training: Training<Decoder>,
  singles: readonly MicroBatch[],
  reason: SkipReason,
  seed: number,
): string[] {
  const rows = (batches: readonly MicroBatch[]) =>
    batches.flatMap(({ packed }) => packed.examples.map(({ origin }) => describeOrigin(origin)));
  const bad = reason === "spike" ? [] : singles.filter((single) => !isFiniteStep(training, [single], seed));
  return rows(bad.length > 0 ? bad : singles);
}

/** The first few of `rows`, and how many more there are. */
export function fewOf(rows: readonly string[], most = 5): string {
  const more = rows.length > most ? `, and ${rows.length - most} more` : "";
  return `${rows.slice(0, most).join(", ")}${more}`;
}
