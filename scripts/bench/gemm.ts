/** How fast this process multiplies: what a benchmark's FLOPs are set beside. */
import { noGrad, ops, scope, type Tensor } from "../../src/torch/index.ts";

const side = 1536;

/** Seconds of the quickest of five runs: other programs make it slower, never faster. */
export function quickest(body: () => Tensor): number {
  return Math.min(
    ...Array.from({ length: 5 }, () => {
      using _ = scope();
      const start = performance.now();
      body();
      return (performance.now() - start) / 1000;
    }),
  );
}

/** GFLOP/s of a float32 product of two 1536 × 1536 matrices, best of five. */
export function gemmGflops(): number {
  return noGrad(() => {
    using _ = scope();
    const square = () => ops.normal_(ops.zeros([side, side], { dtype: "float32" }), 0, 1);
    const [a, b] = [square(), square()];
    return (2 * side ** 3) / quickest(() => ops.matmul(a, b)) / 1e9;
  });
}
