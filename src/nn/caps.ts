/** Caps: c · tanh(x / c) on scores of attention and on logits (Bello et al. 2016, arXiv:1611.09940). */
import { ops, scope, type Tensor } from "../torch/index.ts";

/** c · tanh(x / c), x's shape; x is used up. */
export function capped(x: Tensor, cap: number): Tensor {
  return ops.mul(ops.tanh_(ops.div_(x, cap)), cap);
}

/** What attention over capped scores needs to know beside its tensors. */
export interface CappedScores {
  /** Factor on q·k, before the cap. */
  scale: number;
  cap: number;
  /** (n, m) of 0 and -inf, added after the cap; null: every query sees every key. */
  mask: Tensor | null;
}

/**
 * Softmax attention over capped scores, which torch's kernels and the addon's do not have.
 *
 * Numerics: as transformers' eager attention: scores in the type of q, the softmax in float32, rounded.
 * Memory: scores of all heads. For a backward pass H · n · m numbers twice, in half precision a third time in that type; while it
 * runs a table or two more. A window saves nothing.
 *
 * @param q - (n, H, E)
 * @param k - (m, K, E), K divides H
 * @param v - (m, K, E)
 * @returns (n, H, E)
 */
export function cappedAttention(q: Tensor, k: Tensor, v: Tensor, { scale, cap, mask }: CappedScores): Tensor {
  using attending = scope();
  const [queries, heads, width] = q.shape as [number, number, number];
  const [keys, keyHeads] = k.shape as [number, number];
  // queries of heads that share keys, one below the other
  const shared = [keyHeads, (heads / keyHeads) * queries] as const;
  const rows = ops.reshape(ops.transpose(q, 0, 1), [...shared, width]);
  const products = ops.matmul(rows, ops.transpose(ops.transpose(k, 0, 1), 1, 2));
  const scores = capped(ops.mul_(products, scale), cap);
  const byHead = ops.view(scores, [heads, queries, keys]);
  const weights = ops.softmax(mask === null ? byHead : ops.add_(byHead, mask), -1, "float32");
  const typed = ops.view(ops.to(weights, q.dtype), [...shared, keys]);
  const out = ops.matmul(typed, ops.transpose(v, 0, 1));
  return attending.keep(ops.transpose(ops.view(out, [heads, queries, width]), 0, 1));
}
