/** Clipping of the global gradient norm. */
import { noGrad, ops, scope, type Tensor } from "../torch/index.ts";

/**
 * Scales `grads` in place so that their joint L2 norm is at most `maxNorm`, and gives the norm before.
 *
 * Numerics: equals `torch.nn.utils.clip_grad_norm_`, its 1e-6 in the divisor included. A norm that is not finite is
 * returned and nothing is scaled.
 *
 * @param maxNorm - 0 or less: measure only
 */
export function clipGradNorm(grads: readonly Tensor[], maxNorm: number): number {
  if (grads.length === 0) return 0;
  using _ = scope();
  return noGrad(() => {
    const norms = ops._foreachNormScalar(grads, 2);
    const total = ops.linalgVectorNorm(ops.stack(norms), 2);
    const norm = total.item();
    if (maxNorm > 0 && Number.isFinite(norm)) {
      const factor = ops.clamp(ops.mulScalar(ops.reciprocal(ops.addScalar(total, 1e-6)), maxNorm), null, 1);
      ops._foreachMul_Tensor(grads, factor);
    }
    return norm;
  });
}
