/**
 * Seeded randomness for the parts that do not touch libtorch: shuffling, splitting, generated data.
 * The stream depends on the seed alone, never on the platform.
 */
import { at } from "./at.ts";

/** A seeded stream of numbers. Its whole state is `state`, a 32-bit integer, so it can be saved and restored. */
export class Random {
  state: number;

  constructor(seed: number) {
    this.state = mix(seed >>> 0);
  }

  /** The next float in [0, 1), from the mulberry32 recurrence. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  /** A whole number in [0, bound). */
  below(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  /** One of `items`, which must not be empty. */
  pick<T>(items: readonly T[]): T {
    return at(items, this.below(items.length));
  }
}

/** A permutation of 0 … n-1 that depends on `seed` alone (Fisher–Yates). */
export function permutation(n: number, seed: number): Int32Array {
  const random = new Random(seed);
  const order = Int32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = random.below(i + 1);
    const swap = order[i] as number;
    order[i] = order[j] as number;
    order[j] = swap;
  }
  return order;
}

/** A seed for part `index` of a run with `seed`: neighbouring seeds and indices give unrelated streams. */
export function deriveSeed(seed: number, index: number): number {
  return mix((mix(seed >>> 0) ^ Math.imul(index + 1, 0x9e3779b1)) >>> 0);
}

function mix(x: number): number {
  let h = x | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
