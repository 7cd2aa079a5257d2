/** Random bytes that are nearly right: the changes that fuzzers make, cheap enough for tens of thousands a second. */

/** Numbers from a seed, fast: xorshift with 32 bits. */
export class FastRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ 0x85ebca6b) | 1;
    for (let i = 0; i < 8; i++) this.below(2);
  }

  /** A whole number from 0 to `count` - 1. */
  below(count: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return (x >>> 0) % count;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
}

const boundaries = [
  0x00, 0x01, 0x20, 0x22, 0x2d, 0x30, 0x39, 0x5c, 0x7b, 0x7d, 0x7f, 0x80, 0xc0, 0xed, 0xf4, 0xff,
];

/** The marks that JSON is written with, and escapes of a NUL and of half a character. */
export const jsonMarks: readonly string[] = ["{", "}", "[", "]", ",", ":", '"', "\\", "\\u0000", "\\ud800"];

/** A buffer that one input after the other is made in. */
export class Mutant {
  readonly room: Uint8Array;
  length = 0;

  constructor(size: number) {
    this.room = new Uint8Array(size);
  }

  /** Begins with a copy of `bytes`. */
  begin(bytes: Uint8Array): void {
    this.room.set(bytes);
    this.length = bytes.length;
  }

  get bytes(): Uint8Array {
    return this.room.subarray(0, this.length);
  }

  /** One random change; `words` are what the format has a meaning for, `others` what to splice with. */
  change(random: FastRandom, words: readonly Uint8Array[], others: readonly Uint8Array[]): void {
    const at = random.below(this.length + 1);
    const rest = this.length - at;
    switch (random.below(8)) {
      case 0:
        if (rest > 0) this.room[at] = (this.room[at] as number) ^ (1 << random.below(8));
        break;
      case 1:
        if (rest > 0) this.room[at] = random.pick(boundaries);
        break;
      case 2:
        this.#replace(at, 0, random.pick(words));
        break;
      case 3:
        this.#replace(at, Math.min(rest, 1 + random.below(12)), random.pick(words));
        break;
      case 4:
        this.#replace(at, Math.min(rest, 1 + random.below(24)), none);
        break;
      case 5:
        this.#replace(at, 0, this.room.slice(at, at + Math.min(rest, 1 + random.below(48))));
        break;
      case 6: {
        const other = random.pick(others);
        const from = random.below(other.length);
        this.#replace(at, rest, other.subarray(from));
        break;
      }
      default:
        this.#digit(random, at);
    }
  }

  /** Puts another digit in the place of the next one. */
  #digit(random: FastRandom, from: number): void {
    for (let i = from; i < this.length; i++) {
      const byte = this.room[i] as number;
      if (byte < 0x30 || byte > 0x39) continue;
      this.room[i] = 0x30 + random.below(10);
      return;
    }
  }

  #replace(at: number, count: number, by: Uint8Array): void {
    if (this.length - count + by.length > this.room.length) return;
    this.room.copyWithin(at + by.length, at + count, this.length);
    this.room.set(by, at);
    this.length += by.length - count;
  }
}

const none = new Uint8Array(0);
