/**
 * Child program, `products-child.ts PLAN` (`ProductsPlan`): how fast the products of a training step are by themselves, and GEMM beside
 * them, one JSON line (`ProductsSpeed`). By wall clock, the quickest of several: other programs make it slower, never faster.
 */
import { automaticColumns } from "../../src/forward/token-logps.ts";
import { noGrad, ops, scope, setThreads, type Tensor } from "../../src/torch/index.ts";
import { gemmGflops, quickest } from "./gemm.ts";
import { flopsOf, type Product, type ProductsPlan, type ProductsSpeed, stepProducts } from "./products.ts";
import { type ModelShape, modelConfigOf, shapes } from "./shapes.ts";

function random(rows: number, columns: number): Tensor {
  return ops.normal_(ops.zeros([rows, columns], { dtype: "float32" }), 0, 1);
}

/** The operands as training has them: weights are (out, in), tokens are rows. */
function operands({ form, rows, inner, columns }: Product): [Tensor, Tensor] {
  if (form === "forward") return [random(rows, inner), ops.t(random(columns, inner))];
  if (form === "input gradient") return [random(rows, inner), random(inner, columns)];
  return [ops.t(random(inner, rows)), random(inner, columns)];
}

function secondsOf(product: Product): number {
  using _ = scope();
  const [a, b] = operands(product);
  return product.times * quickest(() => ops.matmul(a, b));
}

function measure({ model, mode, tokens, completionTokens, threads }: ProductsPlan): ProductsSpeed {
  setThreads(threads);
  const config = modelConfigOf(shapes[model] as ModelShape);
  const head = ops.zeros([config.vocabSize, config.hiddenSize], { dtype: "float32" });
  const logitsColumns = automaticColumns(completionTokens, head, mode === "lora");
  const products = stepProducts(config, { mode, tokens, completionTokens, logitsColumns });
  const seconds = products.reduce((sum, product) => sum + secondsOf(product), 0);
  return { gflops: flopsOf(products) / seconds / 1e9, gemmGflops: gemmGflops() };
}

const plan = JSON.parse(process.argv[2] ?? "{}") as ProductsPlan;
process.stdout.write(`${JSON.stringify(noGrad(() => measure(plan)))}\n`);
