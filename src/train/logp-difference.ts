/** How far two models' log-probs of the same completions differ. */

import type { MicroBatch } from "../forward/batch.ts";
import type { Numerics } from "../forward/numerics.ts";
import { scoreBatch } from "../forward/score-batch.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import type { LogpDifference } from "../runs/train-events.ts";

/** Log-probs of the tokens of each completion of `batches`, in their order. */
export function tokenLogps(
  model: CausalLM,
  { batches, numerics }: { batches: readonly MicroBatch[]; numerics: Numerics },
): Float32Array[] {
  return batches.flatMap((batch) => scoreBatch(model, batch, numerics).map(({ logps }) => logps));
}

/** How far two models' log-probs of the same completions differ. */
export function differenceOf(want: readonly Float32Array[], got: readonly Float32Array[]): LogpDifference {
  let tokens = 0;
  let sum = 0;
  let max = 0;
  for (const [i, logps] of want.entries()) {
    for (const [t, logp] of logps.entries()) {
      const difference = Math.abs(logp - (got[i]?.[t] ?? Number.NaN));
      // NaN must not pass: Math.max keeps it, a comparison would drop it
      max = Math.max(max, difference);
      sum += difference;
      tokens += 1;
    }
  }
  return { answers: want.length, tokens, maxDifference: max, meanDifference: sum / Math.max(1, tokens) };
}
