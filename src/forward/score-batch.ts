/** Log-probabilities of completions without gradients: what scoring, evaluation and reference passes share. */
import { at } from "../base/at.ts";
import { FormatError } from "../base/errors.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { scope, synchronize } from "../torch/index.ts";
import { allCompletions, type MicroBatch, toDevice } from "./batch.ts";
import { tokenLogpsHead } from "./head.ts";
import type { Numerics } from "./numerics.ts";
import { walk } from "./walk.ts";

/** One completion's log-probabilities. */
export interface CompletionScore {
  /** Position of the completion's example in the dataset. */
  index: number;
  /** Index of the completion in its example; 0: chosen, 1: rejected where those are pairs. */
  completion: number;
  /** Σ logps, nats, added in float64. */
  sum: number;
  /** Per token, nats; tokens outside the loss are left out. */
  logps: Float32Array;
}

/** Scores of the completions of a batch, in the order of its spans. */
export function scoreBatch(model: CausalLM, batch: MicroBatch, numerics: Numerics): CompletionScore[] {
  using _ = scope();
  const onDevice = toDevice(batch.packed, model.device, batch.keptTokens);
  const head = tokenLogpsHead(model, { ...numerics, entropies: false });
  const run = walk(model, onDevice, head, { ...numerics, trained: null });
  const pass = run.head(allCompletions(onDevice));
  const logps = Float32Array.from(pass.logps.data() as Float32Array);
  synchronize(model.device);
  return batch.packed.spans.map((span) => {
    const own = logps.subarray(span.start, span.end);
    const sum = own.reduce((total, x) => total + x, 0);
    return { index: at(batch.indices, span.example), completion: span.completion, sum, logps: own };
  });
}

/**
 * Refuses a log-prob that is NaN or infinite: with finite weights (`loadModel` sees to that) numbers grew too large on the way.
 *
 * @param row - where the completion is from, for the message
 * @param role - its role, "chosen", for the message
 * @throws {FormatError} naming the row
 */
export function requireFiniteScore({ sum }: Pick<CompletionScore, "sum">, row: string, role: string): void {
  if (Number.isFinite(sum)) return;
  throw new FormatError(
    `${row}: the log-prob of the ${role} completion is ${sum}, though every weight is ` +
      "finite: the model's numbers grow too large on the way. Compute in float32 (dtype: float32, --dtype float32); if " +
      "that is no better, the weights are damaged or diverged in training: use an earlier checkpoint.",
  );
}
