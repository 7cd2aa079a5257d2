/** Small tensors made on the host, moved to the device that needs them. */
import type { DType } from "./dtype.ts";
import { to } from "./generated/operators.ts";
import { isGpu } from "./machine.ts";
import type { Tensor } from "./tensor.ts";

/**
 * `values`, a tensor on the CPU, on `device` in `dtype`. A copy to a GPU is queued behind the work that is there
 * and not waited for; the GPU has taken the values over when the call returns, so they may be freed.
 */
export function onDevice(values: Tensor, device: string, dtype: DType): Tensor {
  return to(values, device, dtype, isGpu(device));
}
