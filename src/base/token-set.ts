/** Sets of tokens of one vocabulary, held in the shorter of two forms. */

/**
 * Some tokens of a vocabulary of V. An `Int32Array` has their ids, ascending. A `Uint8Array` has a bit for each token of the
 * vocabulary, that of token i being bit i mod 8 of byte ⌊i / 8⌋: V / 8 bytes, however many they are.
 */
export type TokenSet = Int32Array | Uint8Array;

/**
 * The set of `ids`, which are in any order, each once: V / 8 bytes at most.
 *
 * @param size - V, above every id
 */
export function tokenSet(ids: Int32Array, size: number): TokenSet {
  const bytes = Math.ceil(size / 8);
  if (4 * ids.length <= bytes) return ids.slice().sort();
  const bits = new Uint8Array(bytes);
  for (const id of ids) bits[id >> 3] = (bits[id >> 3] ?? 0) | (1 << (id & 7));
  return bits;
}

/** Whether a bit of the second form is on; those beyond its end are not. */
export function hasBit(bits: Uint8Array, id: number): boolean {
  return (((bits[id >> 3] ?? 0) >> (id & 7)) & 1) === 1;
}

/** The ids of the set, ascending. */
export function idsOf(set: TokenSet): number[] {
  if (set instanceof Int32Array) return Array.from(set);
  return Array.from({ length: 8 * set.length }, (_, id) => id).filter((id) => hasBit(set, id));
}
