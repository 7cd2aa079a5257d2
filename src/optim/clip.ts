/** Clipping of the global gradient norm. */
import { noGrad, ops, scope, type Tensor } from "../torch/index.ts";

/**
 * Scales `grads` in place so that their joint L2 norm is at most `maxNorm`, and gives the norm before, () float32 on their
 * device: nothing is read from the device. Null when there are no gradients.
 *
 * Numerics: equals `torch.nn.utils.clip_grad_norm_`, its 1e-6 in the divisor included. With a norm that is not finite
 * nothing is scaled.
 *
 * @param maxNorm - 0 or less: measure only
 */
export function clipGradNorm(grads: readonly Tensor[], maxNorm: number): Tensor | null {
  if (grads.length === 0) return null;
  using clipping = scope();
  return noGrad(() => {
    const norms = ops._foreachNormScalar(grads, 2);
    const norm = ops.linalgVectorNorm(ops.stack(norms), 2);
    if (maxNorm > 0) {
      const factor = ops.clamp(ops.mulScalar(ops.reciprocal(ops.addScalar(norm, 1e-6)), maxNorm), null, 1);
      ops._foreachMul_Tensor(grads, ops.whereSelf(ops.isfinite(norm), factor, ops.onesLike(norm)));
    }
    return clipping.keep(norm);
  });
}
