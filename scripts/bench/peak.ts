/** Memory of a measured process of ours, in MB (2^20 bytes). */
import { ops, scope } from "../../src/torch/index.ts";

/** The highest so far. */
export function peakMb(): number {
  return process.resourceUsage().maxRSS / 1024;
}

/** The peak with the libraries loaded and no model; to be called first. */
export function barePeakMb(): number {
  using _ = scope();
  const small = ops.zeros([2, 2], { dtype: "float32" });
  ops.matmul(small, small);
  return peakMb();
}
