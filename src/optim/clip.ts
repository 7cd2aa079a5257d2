/** Clipping of the global gradient norm. */
import { noGrad, ops, scope, type Tensor } from "../torch/index.ts";

/**
 * Scales `grads` in place so that their joint L2 norm is at most `maxNorm`, and gives the norm before, () on their device:
 * nothing is read from the device. Null when there are no gradients.
 *
 * Numerics: the norm is summed in float64 whatever the gradients' type (on MPS pairwise in float32) and scales as
 * `torch.nn.utils.clip_grad_norm_`, its 1e-6 in the divisor included. torch's own norm of a float32 table is up to 1.4e-4
 * too small at 12 million numbers. With a norm that is not finite nothing is scaled.
 *
 * @param maxNorm - 0 or less: measure only
 */
export function clipGradNorm(grads: readonly Tensor[], maxNorm: number): Tensor | null {
  if (grads.length === 0) return null;
  using clipping = scope();
  return noGrad(() => {
    const norm = ops.sqrt(ops.sumSquares(grads));
    if (maxNorm > 0) {
      const factor = ops.clamp(ops.mul(ops.reciprocal(ops.add(norm, 1e-6)), maxNorm), null, 1);
      const finite = ops.where(ops.isfinite(norm), factor, ops.onesLike(norm));
      ops._foreachMul_(grads, ops.to(finite, "float32"));
    }
    return clipping.keep(norm);
  });
}
