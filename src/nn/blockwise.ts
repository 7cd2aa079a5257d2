/**
 * Numbers stored in fewer bits, block by block, as bitsandbytes stores them: of each block its largest absolute value, and for each
 * number the entry of a table that is nearest to it when the block is scaled to [-1, 1].
 */
import { at } from "../base/at.ts";
import { noGrad, ops, scope, type Tensor, tensor } from "../torch/index.ts";

/** Numbers of one tensor in fewer bits. */
export interface Blockwise {
  /** uint8: indices into the table. */
  codes: Tensor;
  /** (blocks) float32: the largest absolute value of each block. */
  absmax: Tensor;
}

/** bitsandbytes' bound for blocks of zeros. */
const leastAbsmax = 1e-38;

/**
 * (256) float32, ascending, on the CPU: the dynamic table of Dettmers (2015, arXiv:1511.04561), in which seven powers of ten have
 * 1, 2, … 64 numbers each (128 without signs), so that small numbers are as exact, relatively, as large ones.
 */
export function dynamicMap(signed: boolean): Tensor {
  const decades = Array.from({ length: 7 }, (_, i) => {
    const bounds = evenlySpaced(0.1, 1, 2 ** (signed ? i : i + 1) + 1);
    const middles = bounds.slice(1).map((bound, k) => Math.fround(Math.fround(at(bounds, k) + bound) / 2));
    return middles.map((middle) => Math.fround(middle * Math.fround(10 ** (i - 6))));
  }).flat();
  const all = [...decades, ...(signed ? decades.map((value) => -value) : []), 0, 1];
  return tensor(all.toSorted((a, b) => a - b));
}

/** `torch.linspace` in float32, with each number rounded once, as a processor with FMA does it: the same on those without. */
function evenlySpaced(from: number, to: number, count: number): number[] {
  const [first, last] = [Math.fround(from), Math.fround(to)];
  const step = Math.fround(Math.fround(last - first) / (count - 1));
  const number = (i: number) => (i < count / 2 ? first + step * i : last - step * (count - 1 - i));
  return Array.from({ length: count }, (_, i) => Math.fround(number(i)));
}

/**
 * Stores numbers by torch's operators, on any device.
 *
 * @param values - float32; blocks run over its numbers in their order, the last may be shorter
 * @param code - (at most 256) float32, ascending, on the same device
 */
export function quantiseBlocks(values: Tensor, code: Tensor, blockSize: number): Blockwise {
  using making = scope();
  return noGrad(() => {
    const blocks = inBlocks(values, blockSize);
    const absmax = ops.amax(ops.abs(blocks), [1]);
    const scale = ops.unsqueeze(ops.reciprocal(ops.clampMin(absmax, leastAbsmax)), 1);
    const last = code.numel - 1;
    const bounds = ops.mul(ops.add(ops.narrow(code, 0, 0, last), ops.narrow(code, 0, 1, last)), 0.5);
    const found = ops.to(ops.bucketize(ops.mul(blocks, scale), bounds, { outInt32: true }), "uint8");
    const codes = ops.view(ops.narrow(ops.reshape(found, [-1]), 0, 0, values.numel), values.shape);
    return { codes: making.keep(ops.contiguous(codes)), absmax: making.keep(absmax) };
  });
}

/** The stored numbers, float32, of the shape of the codes; by torch's operators, on any device. */
export function dequantiseBlocks({ codes, absmax }: Blockwise, code: Tensor, blockSize: number): Tensor {
  using making = scope();
  return noGrad(() => {
    const blocks = inBlocks(codes, blockSize);
    const indices = ops.to(ops.reshape(blocks, [-1]), "int32");
    const values = ops.view(ops.indexSelect(code, 0, indices), blocks.shape);
    const scaled = ops.reshape(ops.mul(values, ops.unsqueeze(absmax, 1)), [-1]);
    return making.keep(ops.view(ops.narrow(scaled, 0, 0, codes.numel), codes.shape));
  });
}

/** (blocks, blockSize), the last filled up with zeros. */
function inBlocks(values: Tensor, blockSize: number): Tensor {
  const flat = ops.reshape(values, [-1]);
  const missing = (blockSize - (flat.numel % blockSize)) % blockSize;
  return ops.view(missing === 0 ? flat : ops.constantPadNd(flat, [0, missing]), [-1, blockSize]);
}
