/**
 * Completions that hold a token which the head masks out: its row of the head is so large that a logit made with it is infinite, so
 * the completion's log-prob can only be −∞ or NaN. Such rows are found before training, which could do nothing but skip their steps.
 */
import { DataError } from "../base/errors.ts";
import { describeOrigin, type Example } from "../data/example.ts";
import { HeadMatrix } from "../forward/head-matrix.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { type DType, noGrad, ops, scope } from "../torch/index.ts";
import { fewOf } from "./culprits.ts";

/**
 * @param splits - rows for training, and those that are held out
 * @param dtype - of the activations: what logits are rounded to
 * @throws {DataError} if a completion holds a token in the loss whose logit cannot be a number, with the rows of the first such split
 */
export function refuseMaskedTokens(
  model: CausalLM,
  splits: readonly (readonly Example[])[],
  dtype: DType,
): void {
  const masked = maskedIds(model, dtype);
  if (masked.size === 0) return;
  for (const examples of splits) refuseRows(examples, masked);
}

function refuseRows(examples: readonly Example[], masked: ReadonlySet<number>): void {
  const found = examples.flatMap((example) => {
    const id = maskedTokenOf(example, masked);
    return id === undefined ? [] : [`${describeOrigin(example.origin)} (token ${id})`];
  });
  if (found.length === 0) return;
  throw new DataError(
    `${found.length === 1 ? "An answer holds a token" : `${found.length} rows have answers with tokens`} that the model's head masks out, ` +
      `with weights so large that the log-prob is −∞ or NaN: ${fewOf(found)}. ` +
      "Remove the rows, or take a model whose head knows these tokens.",
  );
}

/** Tokens whose row of the head has a norm of a tenth of the type's largest number or more: hidden states have norms above 10. */
function maskedIds({ lm_head, residence }: CausalLM, dtype: DType): Set<number> {
  const most = (dtype === "float16" ? 65504 : 3.4e38) / 10;
  const masked = new Set<number>();
  for (const { rows, start } of new HeadMatrix(lm_head.weight, residence).forth(false)) {
    using _ = scope();
    const norms = noGrad(() => ops.linalgVectorNorm(ops.detach(rows), 2, [1], false, { dtype: "float32" }));
    const [, largest] = noGrad(() => ops.aminmax(norms));
    if (largest.item() < most) continue;
    for (const [row, norm] of norms.toNumbers().entries()) if (!(norm < most)) masked.add(start + row);
  }
  return masked;
}

function maskedTokenOf({ completions }: Example, masked: ReadonlySet<number>): number | undefined {
  for (const { ids, mask } of completions) {
    const id = ids.find((token, i) => mask?.[i] !== 0 && masked.has(token));
    if (id !== undefined) return id;
  }
  return undefined;
}
