/** A number for each completion of a dataset, such as its reference log-prob. */
import { at } from "../base/at.ts";
import type { Example } from "./example.ts";

/** Rows whose completions are counted. */
type Rows = readonly Pick<Example, "completions">[];

/** Completions of all rows together. */
export function countCompletions(examples: Rows): number {
  return examples.reduce((sum, { completions }) => sum + completions.length, 0);
}

/** A number for each completion of a dataset's rows, which may have any number of them each. NaN until it is set. */
export class CompletionValues {
  /** In the order of the rows, and in a row in that of its completions. */
  readonly all: Float64Array<ArrayBuffer>;
  /** Rows of the dataset. */
  readonly rows: number;
  readonly #starts: Int32Array;

  /** @param values - the numbers in the order of `all`, where they are known */
  constructor(examples: Rows, values: readonly number[] | null = null) {
    this.rows = examples.length;
    this.#starts = new Int32Array(this.rows + 1);
    for (const [row, { completions }] of examples.entries()) {
      this.#starts[row + 1] = at(this.#starts, row) + completions.length;
    }
    const count = at(this.#starts, this.rows);
    this.all = values === null ? new Float64Array(count).fill(Number.NaN) : Float64Array.from(values);
  }

  /** The numbers of a row's completions, to read and to set. */
  of(row: number): Float64Array<ArrayBuffer> {
    return this.all.subarray(at(this.#starts, row), at(this.#starts, row + 1));
  }
}
