/** Damages to files, as disks do them. */
import type { Random } from "../../src/base/random.ts";

/** A copy with one bit flipped. */
export function flipBit(bytes: Buffer, random: Random): Buffer {
  const copy = Buffer.from(bytes);
  const bit = random.below(8 * copy.length);
  copy[bit >> 3] = (copy[bit >> 3] as number) ^ (1 << (bit & 7));
  return copy;
}

/** What becomes of a file. */
export interface Damage {
  kind: "missing" | "cut" | "empty" | "flipped";
  /** Null: the file is gone. */
  damage: (bytes: Buffer, random: Random) => Buffer | null;
}

/** A file that is missing, cut in half, empty, or has a flipped bit. */
export const damages: readonly Damage[] = [
  { kind: "missing", damage: () => null },
  { kind: "cut", damage: (bytes) => bytes.subarray(0, Math.floor(bytes.length / 2)) },
  { kind: "empty", damage: () => Buffer.alloc(0) },
  { kind: "flipped", damage: (bytes, random) => flipBit(bytes, random) },
];
