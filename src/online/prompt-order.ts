/** Which prompts each rollout of a run has: passes over all of them, each in another order, one after the other. */
import { at } from "../base/at.ts";
import { EpochSampler } from "../data/sampler.ts";

/** An endless order of `count` prompts, decided by the seed. */
export class PromptOrder {
  readonly #count: number;
  readonly #seed: number;
  readonly #epochs: Map<number, Int32Array> = new Map();

  constructor(count: number, seed: number) {
    this.#count = count;
    this.#seed = seed;
  }

  /** The prompts at [first, first + size) of the order. */
  take(first: number, size: number): number[] {
    return Array.from({ length: size }, (_, i) => {
      const place = first + i;
      return at(this.#epoch(Math.floor(place / this.#count)), place % this.#count);
    });
  }

  /** Passes that are done before place `place` of the order. */
  epochsAt(place: number): number {
    return place / this.#count;
  }

  #epoch(epoch: number): Int32Array {
    const known = this.#epochs.get(epoch);
    if (known !== undefined) return known;
    const order = new EpochSampler(this.#count, this.#seed, { epoch, cursor: 0 }).order();
    // a rollout spans few epochs, and earlier ones do not come back
    for (const old of this.#epochs.keys()) if (old < epoch - 8) this.#epochs.delete(old);
    this.#epochs.set(epoch, order);
    return order;
  }
}
