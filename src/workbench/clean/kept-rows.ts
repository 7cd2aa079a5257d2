/** What training would say of the rows that no filter took. */
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
