/**
 * Heads: what a walk makes of the hidden states of completion tokens. Log-probs of the tokens, a value for each, or the states
 * themselves; the way through the blocks is the same. A head records no graph: it has its gradient by hand.
 */
import type { CausalLM, HeadRows } from "../models/causal-lm.ts";
import type { DenseProjection } from "../nn/module.ts";
import type { ParameterSet } from "../nn/parameter-set.ts";
import { ops, type Tensor } from "../torch/index.ts";
import type { CompletionSlice } from "./batch.ts";
import { HeadMatrix } from "./head-matrix.ts";
import type { Numerics } from "./numerics.ts";
import { type TokenLogps, tokenLogps } from "./token-logps.ts";

/** What a head gives for R completion tokens, `Values`, and its way back. */
export type HeadPass<Values> = Values & {
  /**
   * Takes the loss's gradient with respect to the first of the values, of its shape, and to entropies (R) where they have one: adds
   * to the `grad` of the head's parameters. Gives that of the hidden states, (R, D) in their type. Once.
   */
  backward(grad: Tensor, gradEntropies?: Tensor | null): Tensor;
};

/**
 * A head: `hidden` (R, D) are the states that predict the slice's tokens. Where nothing is `trained` there is no way back,
 * and nothing is kept for one.
 */
export type Head<Values> = (
  hidden: Tensor,
  slice: CompletionSlice,
  trained: ParameterSet | null,
) => HeadPass<Values>;

/** Options of `tokenLogpsHead`. */
export interface TokenLogpsHeadOptions
  extends Pick<Numerics, "temperature" | "logits_chunk_size" | "logits_kept_mib"> {
  /** Also compute entropies, or entropies with a gradient. */
  entropies: boolean | "with gradient";
  /** Also compute log Σ_v p_v² of each token's distribution. */
  logSquares?: boolean;
}

/** The model's own head. */
export function tokenLogpsHead(
  { lm_head, residence, config }: Pick<CausalLM, "lm_head" | "residence" | "config">,
  options: TokenLogpsHeadOptions,
): Head<TokenLogps> {
  const matrix = new HeadMatrix(lm_head.weight, residence);
  return (hidden, { targets, keptTokens, isLast }, trained) => {
    const owner = trained?.trains(lm_head) === true ? trained : null;
    const gradOf = owner === null ? null : ({ rows }: HeadRows) => owner.gradOf(rows);
    const { backward, ...values } = tokenLogps(hidden, matrix, targets, {
      ...options,
      cap: config.design.logitCap,
      keptTokens,
      isLast,
      gradient: owner !== null ? "hidden-and-weight" : trained !== null ? "hidden" : "none",
    });
    return {
      ...values,
      backward: (grad, gradEntropies = null) => backward(grad, gradOf, gradEntropies),
    };
  };
}

/**
 * A value for each row of hidden states, v = w · h + b. For each token: what a critic expects of the completion from the state before
 * the token. Of a batch packed for scores: what a reward model gives for each completion.
 * Numerics: float32, whatever the type of the hidden states.
 *
 * @param layer - weight (1, D) and bias (1), if it has one, float32
 */
export function valueHead(layer: DenseProjection): Head<{ values: Tensor }> {
  return (hidden, _, trained) => {
    const { weight, bias } = layer;
    const exact = ops.to(hidden, "float32");
    return {
      values: ops.squeeze(layer.forward(exact), 1),
      backward(grad) {
        const column = ops.unsqueeze(grad, 1);
        if (trained?.trains(layer) === true) {
          ops.addmm_(trained.gradOf(weight), ops.t(column), exact);
          if (bias !== null) ops.add_(trained.gradOf(bias), ops.sum(column, [0]));
        }
        return ops.to(ops.matmul(column, weight), hidden.dtype);
      },
    };
  };
}

/** No head: the hidden states, (R, D), in the activations' type. */
export const hiddenStates: Head<{ hidden: Tensor }> = (hidden) => ({ hidden, backward: (grad) => grad });
