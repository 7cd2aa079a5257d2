/** Which prompts each rollout of a run has: passes over all of them, one after the other. */
import { at } from "../base/at.ts";
import { ConfigError } from "../base/errors.ts";
import { orderWithoutLengths, type RowOrder } from "../data/row-order.ts";

/** An endless order of `count` prompts. */
export class PromptOrder {
  readonly #count: number;
  readonly #how: { data_order: "shuffled" | "given"; seed: number };
  readonly #epochs: Map<number, Int32Array> = new Map();

  /** @throws {ConfigError} for an order by length: completions are not there yet */
  constructor(count: number, { data_order, seed }: RowOrder) {
    if (data_order === "length") {
      throw new ConfigError('data_order: expected "shuffled" or "given" for prompts, got "length".');
    }
    this.#count = count;
    this.#how = { data_order, seed };
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
    const order = orderWithoutLengths(this.#count, epoch, this.#how);
    // a rollout spans few epochs, and earlier ones do not come back
    for (const old of this.#epochs.keys()) if (old < epoch - 8) this.#epochs.delete(old);
    this.#epochs.set(epoch, order);
    return order;
  }
}
