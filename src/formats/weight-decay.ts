/** Which trained tensors weight decay applies to. */
import { isMagnitude } from "./adapter-names.ts";

/**
 * Whether weight decay applies to a tensor, as in transformers' trainer, which goes by names: to matrices and DoRA's magnitudes, not to
 * biases and the weights of norms.
 */
export function decays({ name, shape }: { name: string; shape: readonly number[] }): boolean {
  return shape.length > 1 || isMagnitude(name);
}
