/** What training would say of the rows that no filter took, and of files that hold no pairs. */
import { DataError } from "../../base/errors.ts";
import { warn } from "../../base/warn.ts";
import { describeOrigin } from "../../data/example.ts";
import type { FindingCode } from "../../data/findings.ts";
import type { CleanRow } from "./clean-row.ts";

/** Counts the rows that are left. */
export class KeptRows {
  readonly #unusable: Map<FindingCode, number> = new Map();
  readonly #faulty: Map<FindingCode, number> = new Map();
  /** The first that training makes nothing of, in words. */
  #first = "";

  add({ origin, unusable, codes, faults }: CleanRow): void {
    if (unusable !== null) {
      if (this.#unusable.size === 0)
        this.#first = (codes.get(unusable) || describeOrigin(origin)).replace(/\.$/, "");
      this.#unusable.set(unusable, 1 + (this.#unusable.get(unusable) ?? 0));
      return;
    }
    for (const code of faults) this.#faulty.set(code, 1 + (this.#faulty.get(code) ?? 0));
  }

  /**
   * Warns of rows that training refuses unless it is told to drop or cut them.
   *
   * @throws {DataError} where training on pairs makes nothing of a row
   */
  requireUsable(): void {
    const rows = [...this.#unusable.values()].reduce((sum, count) => sum + count, 0);
    if (rows > 0) {
      const codes = [...this.#unusable.keys()].join(" and ");
      const are = rows === 1 ? "row is" : "rows are";
      throw new DataError(
        `${rows} ${are} left that training on pairs cannot read (first: ${this.#first}). Fix them, or take them out: add ${codes} to ` +
          "filters. Rows of one answer are no pairs, and are not cleaned.",
      );
    }
    if (this.#faulty.size === 0) return;
    const counts = [...this.#faulty].map(([code, count]) => `${code} ${count}`).join(", ");
    warn(
      `of the rows that are left training refuses some, unless its keys invalid_rows or overflow say otherwise: ${counts}. ` +
        "These codes in filters take them out.",
    );
  }
}

/** Rows of one answer are not cleaned: that filters take all of them, as no pairs, helps nobody. */
export class SingleAnswers {
  #others = 0;
  #count = 0;
  /** What reading the first of them as a pair says. */
  #first = "";

  add({ isOneAnswer, unusable, codes }: CleanRow): void {
    if (!isOneAnswer) this.#others++;
    else if (this.#count++ === 0) this.#first = codes.get(unusable ?? "invalid_row") ?? "";
  }

  /** @throws {DataError} where all rows have one answer */
  requirePairs(): void {
    if (this.#count === 0 || this.#others > 0) return;
    throw new DataError(
      `${this.#first} Rows of one answer are not cleaned. To leave those with faults out of a training, set invalid_rows: drop and ` +
        "overflow: drop in its configuration; preftune data check says how many there are.",
    );
  }
}
