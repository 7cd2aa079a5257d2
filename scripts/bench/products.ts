/**
 * The matrix products of a training step of ours at the sizes that they have there. Timed alone they are the most of GEMM that a step
 * can reach with the libraries' products: those of a small model are smaller than the square that GEMM is measured by.
 */
import { blockLinears } from "../../src/formats/block-linears.ts";
import type { ModelConfig } from "../../src/formats/model-config.ts";

/** (rows, inner) · (inner, columns), and which operand is transposed in memory: the second, none, or the first. */
export interface Product {
  form: "forward" | "input gradient" | "weight gradient";
  rows: number;
  inner: number;
  columns: number;
  /** How often a step makes it. */
  times: number;
}

/** What of a step decides its products. */
export interface StepSizes {
  mode: "full" | "lora";
  /** Tokens that go through the blocks. */
  tokens: number;
  /** Tokens whose log-probability is taken. */
  completionTokens: number;
  /** Entries of the vocabulary whose logits are made at once. */
  logitsColumns: number;
}

/** What `products-child.ts` is asked. */
export interface ProductsPlan extends Omit<StepSizes, "logitsColumns"> {
  /** A name of `shapes`. */
  model: string;
  threads: number;
}

/** What it answers: GFLOP/s of the step's products, and of the square, in one process. */
export interface ProductsSpeed {
  gflops: number;
  gemmGflops: number;
}

/** The products of one linear on `rows` tokens: forward, and back to its input and, if it is trained, to its weight. */
function productsOf(
  { inputs, outputs, rows }: { inputs: number; outputs: number; rows: number },
  isTrained: boolean,
): Omit<Product, "times">[] {
  return [
    { form: "forward", rows, inner: inputs, columns: outputs },
    { form: "input gradient", rows, inner: outputs, columns: inputs },
    ...(isTrained ? [{ form: "weight gradient", rows: outputs, inner: rows, columns: inputs } as const] : []),
  ];
}

/** Widths of the parts of the vocabulary. */
function partsOf(vocabulary: number, columns: number): number[] {
  return Array.from({ length: Math.ceil(vocabulary / columns) }, (_, i) =>
    Math.min(columns, vocabulary - i * columns),
  );
}

/**
 * The products of a step, equal ones once. Not attention's, and with LoRA those of the frozen weights alone: the adapter's, and the
 * making of W + s B A, come on top.
 */
export function stepProducts(
  config: ModelConfig,
  { mode, tokens, completionTokens, logitsColumns }: StepSizes,
): Product[] {
  const isTrained = mode === "full";
  const ofBlocks = config.layerKinds.flatMap((_, layer) =>
    blockLinears(config, layer).flatMap((linear) => productsOf({ ...linear, rows: tokens }, isTrained)),
  );
  const ofHead = partsOf(config.vocabSize, logitsColumns).flatMap((outputs) =>
    productsOf({ inputs: config.hiddenSize, outputs, rows: completionTokens }, isTrained),
  );
  const counted = new Map<string, Product>();
  for (const product of [...ofBlocks, ...ofHead]) {
    const key = JSON.stringify(Object.values(product));
    counted.set(key, { ...product, times: (counted.get(key)?.times ?? 0) + 1 });
  }
  return [...counted.values()];
}

/** FLOPs of all of them. */
export function flopsOf(products: readonly Product[]): number {
  return products.reduce(
    (sum, { rows, inner, columns, times }) => sum + 2 * rows * inner * columns * times,
    0,
  );
}
