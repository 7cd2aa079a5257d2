/**
 * Linears whose weight is held in 4 or 8 bits, in bitsandbytes' layout. The matrix is made for as long as a product needs it; its
 * numbers are those that bitsandbytes makes of the same tensors.
 */
import { at } from "../base/at.ts";
import { type QuantType, quantBlock } from "../formats/quantisation.ts";
import { type DType, noGrad, onDevice, ops, scope, type Tensor, tensor } from "../torch/index.ts";
import { dynamicMap, quantiseBlocks } from "./blockwise.ts";
import { cast } from "./linear.ts";
import type { DenseProjection, Projection } from "./module.ts";

/** The numbers of each 4-bit code: those of `nf4` ascend, of `fp4` a code is sign, exponent and fraction. */
const maps: Readonly<Record<QuantType, readonly number[]>> = {
  nf4: [
    ...[-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635],
    ...[-0.18477343022823334, -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725],
    ...[0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941],
    ...[0.7229568362236023, 1],
  ],
  fp4: [0, 0.0625, 8, 12, 4, 6, 2, 3, 0, -0.0625, -8, -12, -4, -6, -2, -3].map((value) => value / 12),
};

/** (16) float32, on the CPU: the number of each code, the largest of them 1. */
export function fourBitMap(type: QuantType): Tensor {
  return tensor(maps[type].map(Math.fround));
}

/** Codes in the order of their numbers; of two zeros the first code's comes first. */
function ascending(type: QuantType): number[] {
  return maps[type].map((_, code) => code).toSorted((a, b) => (maps[type][a] ?? 0) - (maps[type][b] ?? 0));
}

/** A matrix in fewer bits, frozen: the tensors, as the addon's `dequantise` takes them. */
abstract class QuantisedLinear implements Projection {
  readonly shape: readonly [out: number, input: number];
  /** (out) or null, frozen. */
  bias: Tensor | null;

  constructor(shape: readonly [number, number], bias: Tensor | null) {
    this.shape = shape;
    this.bias = bias;
  }

  /** The tensors of the weight, in the order of `native/quantised-linear.h`. */
  protected abstract get stored(): readonly Tensor[];

  /** Numbers of a block in 4 bits. */
  protected abstract get block(): number;

  get device(): string {
    return at(this.stored, 0).device;
  }

  /** A copy: what the held numbers stand for, rounded to `dtype`. */
  dense(dtype: DType): Tensor {
    return ops.dequantise(this.stored, this.shape, this.block, { dtype });
  }

  /** x: (T, in) -> (T, out). The backward pass makes the matrix again. */
  forward(x: Tensor): Tensor {
    const bias = this.bias === null ? null : cast(this.bias, x);
    return ops.quantisedLinear(x, this.stored, this.shape, this.block, bias);
  }
}

/** The blocks' largest values in 8 bits, in blocks of 256, less their mean. */
export interface NestedAbsmax {
  isModuleGroup: true;
  /** (⌈blocks / 256⌉) float32 */
  absmax: Tensor;
  /** (256) float32 */
  map: Tensor;
  /** () float32 */
  offset: Tensor;
}

/** The tensors of a matrix in 4 bits. */
export interface FourBitTensors {
  /** (⌈out · in / 2⌉) uint8: the first of two codes in the upper half. */
  codes: Tensor;
  /** (blocks) the largest absolute value of each block: float32, or uint8 with `nested`. */
  absmax: Tensor;
  /** (16) float32 */
  map: Tensor;
  nested: NestedAbsmax | null;
}

/** W in 4 bits, in blocks of its numbers row by row. Paper: Dettmers et al. 2023, arXiv:2305.14314, §3. */
export class FourBitLinear extends QuantisedLinear implements FourBitTensors {
  codes: Tensor;
  absmax: Tensor;
  map: Tensor;
  nested: NestedAbsmax | null;
  readonly #block: number;

  /** @param block - numbers of a block, even */
  constructor(
    shape: readonly [number, number],
    bias: Tensor | null,
    { codes, absmax, map, nested }: FourBitTensors,
    block: number = quantBlock,
  ) {
    super(shape, bias);
    this.codes = codes;
    this.absmax = absmax;
    this.map = map;
    this.nested = nested;
    this.#block = block;
  }

  protected override get stored(): readonly Tensor[] {
    const { codes, absmax, map, nested } = this;
    return nested === null
      ? [codes, absmax, map]
      : [codes, absmax, map, nested.absmax, nested.map, nested.offset];
  }

  protected override get block(): number {
    return this.#block;
  }
}

/**
 * W in 8 bits, row by row: its numbers are codes · scale / 127, the scale being the row's largest absolute value.
 *
 * Paper: Dettmers et al. 2022, arXiv:2208.07339, §2.1, the weights alone. Differs: activations keep their type, so that there is nothing
 * to decompose outliers from.
 */
export class EightBitLinear extends QuantisedLinear {
  /** (out, in) int8 */
  codes: Tensor;
  /** (out) float32 */
  scale: Tensor;

  constructor(shape: readonly [number, number], bias: Tensor | null, codes: Tensor, scale: Tensor) {
    super(shape, bias);
    this.codes = codes;
    this.scale = scale;
  }

  protected override get stored(): readonly Tensor[] {
    return [this.codes, this.scale];
  }

  protected override get block(): number {
    return 0;
  }
}

/** A head that computes in 8 bits, from a copy of its matrix. The matrix stays as it was: a tied embedding reads it. */
export class EightBitHead extends EightBitLinear implements DenseProjection {
  weight: Tensor;

  /** @param weight - (V, D), floats on the CPU */
  constructor(weight: Tensor) {
    const shape = [weight.size(0), weight.size(1)] as const;
    const flat = ops.view(weight, [-1]);
    const { codes, scale } = quantiseEightBits(shape, weight.device, (from, to) =>
      ops.to(ops.narrow(flat, 0, from, to - from), "float32"),
    );
    super(shape, null, codes, scale);
    this.weight = weight;
  }
}

/** Gives numbers [from, to) of a matrix in row-major order: (to − from) float32, on the device of the result. */
export type ReadNumbers = (from: number, to: number) => Tensor;

/** Numbers that are made float32 and quantised at a time. */
const stretch = 2 ** 22;

/** Calls `take` for stretches of `numel` numbers, each a multiple of `unit` but for the last. */
function inStretches(numel: number, unit: number, take: (from: number, to: number) => void): void {
  const step = Math.max(1, Math.floor(stretch / unit)) * unit;
  for (let from = 0; from < numel; from += step) {
    using _ = scope();
    noGrad(() => take(from, Math.min(numel, from + step)));
  }
}

/** Quantises a matrix of `shape` that is read a stretch at a time, on `device`. */
export function quantiseFourBits(
  shape: readonly [number, number],
  { quantType, doubleQuant }: { quantType: QuantType; doubleQuant: boolean },
  device: string,
  read: ReadNumbers,
): FourBitTensors {
  using making = scope();
  const numel = shape[0] * shape[1];
  const blocks = Math.ceil(numel / quantBlock);
  const codes = ops.empty([Math.ceil(numel / 2)], { dtype: "uint8", device });
  const absmax = ops.empty([blocks], { dtype: "float32", device });
  const map = onDevice(fourBitMap(quantType), device, "float32");
  const order = ascending(quantType);
  const sorted = ops.indexSelect(map, 0, onDevice(tensor(order), device, "int32"));
  const codeOf = onDevice(tensor(order), device, "uint8");
  inStretches(numel, quantBlock, (from, to) => {
    const found = quantiseBlocks(read(from, to), sorted, quantBlock);
    const places = ops.indexSelect(codeOf, 0, ops.to(found.codes, "int32"));
    const packed = packPairs(places, maps[quantType].indexOf(0));
    ops.copy_(ops.narrow(codes, 0, from / 2, packed.numel), packed);
    ops.copy_(ops.narrow(absmax, 0, from / quantBlock, found.absmax.numel), found.absmax);
  });
  const held = noGrad(() => (doubleQuant ? nestedAbsmax(absmax) : { absmax, nested: null }));
  if (held.nested !== null) {
    const { absmax: most, map: nestedMap, offset } = held.nested;
    for (const one of [most, nestedMap, offset]) making.keep(one);
  }
  return {
    codes: making.keep(codes),
    absmax: making.keep(held.absmax),
    map: making.keep(map),
    nested: held.nested,
  };
}

/** (n) uint8 below 16 -> (⌈n / 2⌉) uint8; `last` is beside the last of an odd number. */
function packPairs(codes: Tensor, last: number): Tensor {
  const even = codes.numel % 2 === 0 ? codes : ops.constantPadNd(codes, [0, 1], last);
  const pairs = ops.view(even, [-1, 2]);
  const [high, low] = [ops.narrow(pairs, 1, 0, 1), ops.narrow(pairs, 1, 1, 1)];
  return ops.reshape(ops.add(ops.mul(high, 16), low), [-1]);
}

/** The mean is taken in float64, so that it does not depend on how many threads add. */
function nestedAbsmax(absmax: Tensor): Pick<FourBitTensors, "absmax" | "nested"> {
  const { device } = absmax;
  const offset =
    device === "mps" ? ops.mean(absmax) : ops.to(ops.mean(absmax, { dtype: "float64" }), "float32");
  const map = onDevice(dynamicMap(true), device, "float32");
  const nested = quantiseBlocks(ops.sub(absmax, offset), map, 256);
  return { absmax: nested.codes, nested: { isModuleGroup: true, absmax: nested.absmax, map, offset } };
}

/**
 * Quantises a matrix of `shape` row by row, read a stretch at a time. Its numbers are rounded to float16 first, as bitsandbytes does, but
 * for those that are too large for it.
 */
export function quantiseEightBits(
  shape: readonly [number, number],
  device: string,
  read: ReadNumbers,
): { codes: Tensor; scale: Tensor } {
  using making = scope();
  const [out, input] = shape;
  const codes = ops.empty([out, input], { dtype: "int8", device });
  const scale = ops.empty([out], { dtype: "float32", device });
  inStretches(out * input, input, (from, to) => {
    const numbers = ops.view(read(from, to), [-1, input]);
    const rounded16 = ops.to(ops.to(numbers, "float16"), "float32");
    // above 65,504 bitsandbytes has infinity, and the row NaN
    const rows = ops.where(ops.isfinite(rounded16), rounded16, numbers);
    const most = ops.amax(ops.abs(rows), [1]);
    // a row of zeros has codes of zero
    const factor = ops.mul(ops.reciprocal(ops.clampMin(most, leastScale)), 127);
    const rounded = ops.round(ops.mul(rows, ops.unsqueeze(factor, 1)));
    const [first, count] = [from / input, (to - from) / input];
    ops.copy_(ops.narrow(codes, 0, first, count), ops.to(rounded, "int8"));
    ops.copy_(ops.narrow(scale, 0, first, count), most);
  });
  return { codes: making.keep(codes), scale: making.keep(scale) };
}

/** Below float16's smallest number. */
const leastScale = 1e-30;
