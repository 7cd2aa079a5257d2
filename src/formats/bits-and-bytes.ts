/** Sizes of what bitsandbytes stores in fewer bits, for those that store it and those that plan for it. */

/** Numbers of a block of 8-bit averages. */
export const stateBlock = 256;

/** Tensors of fewer numbers keep float32 averages: bitsandbytes' `min_8bit_size`. */
export const least8BitNumel = 4096;

/** Bytes of AdamW's two averages of a tensor. */
export function averagesBytes(numel: number, in8Bits: boolean): number {
  return in8Bits && numel >= least8BitNumel ? 2 * (numel + 4 * Math.ceil(numel / stateBlock)) : 8 * numel;
}
