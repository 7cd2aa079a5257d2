/**
 * Child program, `machine-child.ts PLAN`: what this machine reads and multiplies at a number of threads, one JSON line
 * (`MachineSpeed`). By wall clock, the quickest of several: other programs make it slower, never faster.
 */
import { batchInvariant, noGrad, ops, scope, setThreads } from "../../src/torch/index.ts";
import { native } from "../../src/torch/native.ts";
import type { MachineSpeed } from "./bench-report.ts";
import { gemmGflops, quickest } from "./gemm.ts";

const { threads } = JSON.parse(process.argv[2] ?? "{}") as { threads: number };
setThreads(threads);

/** Numbers that no cache of today holds at once: 512 MiB. */
const [rows, width] = [32_768, 4096];

/** The faster of a sum, a product with a vector, and the products of decoding: a single loop may be bound by arithmetic. */
function bandwidth(): number {
  using _ = scope();
  const weight = ops.ones([rows, width], { dtype: "float32" });
  const vector = ops.ones([width], { dtype: "float32" });
  const row = ops.ones([1, width], { dtype: "float32" });
  const loops = [
    () => ops.sum(weight),
    () => ops.matmul(weight, vector),
    () => batchInvariant(() => ops.matmul(row, ops.t(weight))),
  ];
  return (4 * rows * width) / Math.min(...loops.map(quickest)) / 1e9;
}

const speed: MachineSpeed = noGrad(() => ({
  threads,
  readGbPerSecond: bandwidth(),
  gemmGflops: gemmGflops(),
  instructionSet: native.instructionSet(),
}));
process.stdout.write(`${JSON.stringify(speed)}\n`);
