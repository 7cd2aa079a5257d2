/** Root-mean-square normalisation (Zhang & Sennrich 2019, arXiv:1910.07467). */
import { ops, type Tensor } from "../torch/index.ts";
import { cast } from "./linear.ts";

/** x / sqrt(mean(x²) + eps) over the last dimension, without a weight. */
export function normalised(x: Tensor, eps: number): Tensor {
  return ops.rmsNorm(x, ops.full([x.size(-1)], 1, { dtype: x.dtype, device: x.device }), eps);
}

/** y = x / sqrt(mean(x²) + eps) · w over the last dimension; some families store w − 1. */
export class RMSNorm {
  weight: Tensor;
  readonly eps: number;
  /** D */
  readonly size: number;
  readonly #offset: number;
  readonly #scale: number;

  /**
   * @param weight - (D)
   * @param eps - added to the mean square
   * @param offset - added to the weight: 0, or 1 where w − 1 is stored
   * @param scale - factor on the result
   */
  constructor(weight: Tensor, eps: number, offset: 0 | 1 = 0, scale: number = 1) {
    this.weight = weight;
    this.eps = eps;
    this.size = weight.size(0);
    this.#offset = offset;
    this.#scale = scale;
  }

  /** x: (…, D) -> (…, D) in its type */
  forward(x: Tensor): Tensor {
    return ops.rmsNorm(x, this.factor(x), this.eps);
  }

  /**
   * (D): what the normalised values are multiplied by, in the type of `like`; in float32 where it is computed, as in transformers: in half
   * precision 1 + w would lose most of w.
   */
  factor(like: Tensor): Tensor {
    if (this.#offset === 0 && this.#scale === 1) return cast(this.weight, like);
    const wide = ops.to(this.weight, "float32");
    const weight = this.#offset === 0 ? wide : ops.add(wide, this.#offset);
    return this.#scale === 1 ? weight : ops.mul(weight, this.#scale);
  }
}
