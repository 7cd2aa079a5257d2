/** The order in which examples are trained on: another one each epoch, restorable at any example. */
import { ConfigError } from "../base/errors.ts";
import { deriveSeed, permutation } from "../base/random.ts";

/** Where a sampler stands: `cursor` examples of `epoch` are used up. */
export interface SamplerState {
  epoch: number;
  cursor: number;
}

/**
 * Seeded orders of `size` examples. An epoch's order depends on the seed and the epoch's number alone: no other random
 * stream is touched, and a resumed run continues the same order at the same position.
 */
export class EpochSampler {
  readonly size: number;
  readonly #seed: number;
  #epoch: number;
  #cursor: number;
  #order: Int32Array;

  /** @throws ConfigError when there are no examples or `state` does not fit their number */
  constructor(size: number, seed: number, state: SamplerState = { epoch: 0, cursor: 0 }) {
    const { epoch, cursor } = state;
    if (!Number.isSafeInteger(size) || size < 1) {
      throw new ConfigError(`Expected at least one example to sample from, got ${size}. Check the data.`);
    }
    if (
      !Number.isSafeInteger(epoch) ||
      epoch < 0 ||
      !Number.isSafeInteger(cursor) ||
      cursor < 0 ||
      cursor >= size
    ) {
      throw new ConfigError(
        `Expected a place in the data of epoch 0 or more and example 0 to ${size - 1}, got epoch ${epoch}, ` +
          `example ${cursor}. Resume with the data the run began with.`,
      );
    }
    this.size = size;
    this.#seed = seed;
    this.#epoch = epoch;
    this.#cursor = cursor;
    this.#order = orderOf(size, seed, epoch);
  }

  /** To save, and to give to the constructor on resuming. */
  get state(): SamplerState {
    return { epoch: this.#epoch, cursor: this.#cursor };
  }

  /** The current epoch's whole order: indices of examples. A copy. */
  order(): Int32Array {
    return this.#order.slice();
  }

  /** The examples left in this epoch, at least one. A copy. */
  remaining(): Int32Array {
    return this.#order.slice(this.#cursor);
  }

  /**
   * Marks the next `count` examples as used; at the end of the epoch the next one begins.
   *
   * @throws ConfigError when fewer are left in this epoch
   */
  advance(count: number): void {
    const left = this.size - this.#cursor;
    if (!Number.isSafeInteger(count) || count < 0 || count > left) {
      throw new ConfigError(
        `Expected to use up at most the ${left} examples left in this epoch, got ${count}.`,
      );
    }
    this.#cursor += count;
    if (this.#cursor < this.size) return;
    this.#epoch++;
    this.#cursor = 0;
    this.#order = orderOf(this.size, this.#seed, this.#epoch);
  }
}

function orderOf(size: number, seed: number, epoch: number): Int32Array {
  return permutation(size, deriveSeed(seed, epoch));
}
