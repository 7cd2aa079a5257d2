/** Sizes of what bitsandbytes stores in fewer bits, for those that store it and those that plan for it. */

/** Numbers of a block of 8-bit averages. */
export const stateBlock = 256;

/** Tensors of fewer numbers keep float32 averages, whatever is asked for: bitsandbytes' `min_8bit_size`. */
export const least8BitNumel = 4096;

/** Bytes of AdamW's two averages of a tensor in so many bits. */
export function averagesBytes(numel: number, bits: 32 | 16 | 8): number {
  if (bits === 32 || numel < least8BitNumel) return 8 * numel;
  return bits === 16 ? 4 * numel : 2 * (numel + 4 * Math.ceil(numel / stateBlock));
}

/** Numbers that torch's operators update at once on an accelerator: whole blocks. As `native/adamw-bf16.h` has it. */
export const updateStretch: number = 2 ** 22;

/** Bytes that such an update has at once beside the state, of each number. Counted by the rehearsal device. */
const updateItems = { 32: 0, 16: 36, 8: 42 } as const;

/** Bytes of the update, on an accelerator, of tensors of which the largest has so many numbers. */
export function updateBytes(largest: number, bits: 32 | 16 | 8): number {
  return largest < least8BitNumel ? 0 : updateItems[bits] * Math.min(largest, updateStretch);
}
