/** How fast this process multiplies: what a benchmark's FLOPs are set beside. */
import { noGrad, ops, scope } from "../../src/torch/index.ts";

const side = 1536;

/** GFLOP/s of a float32 product of two 1536 × 1536 matrices, best of five: other programs make it slower, never faster. */
export function gemmGflops(): number {
  return noGrad(() => {
    using _ = scope();
    const square = () => ops.normal_(ops.zeros([side, side], { dtype: "float32" }), 0, 1);
    const [a, b] = [square(), square()];
    const seconds = Array.from({ length: 5 }, () => {
      using _ = scope();
      const start = performance.now();
      ops.matmul(a, b);
      return (performance.now() - start) / 1000;
    });
    return (2 * side ** 3) / Math.min(...seconds) / 1e9;
  });
}
