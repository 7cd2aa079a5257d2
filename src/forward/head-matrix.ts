/** The matrix of a language model's head as passes over it take it: ranges of its rows, which need not be there all at once. */
import type { HeadRows, Residence } from "../models/causal-lm.ts";
import type { Tensor } from "../torch/index.ts";

/** A head's matrix, (V, D). */
export class HeadMatrix {
  readonly weight: Tensor;
  /** In order, of all V rows. */
  readonly ranges: readonly HeadRows[];
  readonly #residence: Residence | null;

  /** @param weight - (V, D) @param residence - of its model; null where all of it is there at all times */
  constructor(weight: Tensor, residence: Residence | null = null) {
    this.weight = weight;
    this.#residence = residence;
    this.ranges = residence?.rowsOf(weight) ?? [{ start: 0, end: weight.size(0), rows: weight }];
  }

  /** The ranges in order, each while its rows are there. @param comesBack - whether `back` follows */
  *forth(comesBack: boolean): Generator<HeadRows> {
    for (const [i, range] of this.ranges.entries()) {
      this.#residence?.enter(range, this.ranges[i + 1]);
      yield range;
      this.#residence?.leave(range, comesBack);
    }
  }

  /** The ranges from the last to the first. @param isLast - whether the gradients of the rows are complete afterwards */
  *back(isLast: boolean): Generator<HeadRows> {
    for (const [i, range] of [...this.ranges.entries()].reverse()) {
      this.#residence?.enter(range, this.ranges[i - 1]);
      yield range;
      this.#residence?.leave(range, !isLast);
      if (isLast) this.#residence?.complete(range);
    }
  }
}
