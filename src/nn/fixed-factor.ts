/** A number by which a layer's output is multiplied: stored in the checkpoint, and never trained. */
import { ops, type Tensor } from "../torch/index.ts";

/** x · value. */
export class FixedFactor {
  /** (1) */
  value: Tensor;

  constructor(value: Tensor) {
    this.value = value;
  }

  /** x: any shape, which the result has too */
  forward(x: Tensor): Tensor {
    return ops.mul(x, this.value.dtype === x.dtype ? this.value : ops.to(this.value, x.dtype));
  }
}
