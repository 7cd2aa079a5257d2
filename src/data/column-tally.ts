/** Which columns of the data were used and which passed over, counted over all rows. */
import type { ColumnUse } from "./columns.ts";

/** Rows that used a column, and rows that passed over it, by the column's name in the file. Plain data, fit for JSON. */
export interface ColumnCounts {
  /** Rows that were understood. */
  rows: number;
  used: Record<string, number>;
  passedOver: Record<string, number>;
}

/** Counts columns as rows go by. */
export class ColumnTally {
  #rows = 0;
  readonly #used: Map<string, number> = new Map();
  readonly #passedOver: Map<string, number> = new Map();

  /** Counts the columns of one row. */
  add({ used, passedOver }: ColumnUse): void {
    this.#rows++;
    count(this.#used, used);
    count(this.#passedOver, passedOver);
  }

  /** The counts so far, in the order of first appearance. */
  counts(): ColumnCounts {
    return {
      rows: this.#rows,
      used: Object.fromEntries(this.#used),
      passedOver: Object.fromEntries(this.#passedOver),
    };
  }
}

function count(counts: Map<string, number>, columns: readonly string[]): void {
  for (const column of columns) {
    const before = counts.get(column);
    const isOther = before === undefined && counts.size >= mostCounted;
    const name = isOther ? others : column;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
}

/** Most names that are counted by themselves: rows may make up new ones without end. */
const mostCounted = 2000;
const others = "(other columns)";

const mostNamed = 20;

/** The columns used or passed over for people: `prompt, chosen, score (3 of 10 rows)`. */
export function columnList({ rows, ...columns }: ColumnCounts, which: "used" | "passedOver"): string {
  const all = Object.entries(columns[which]);
  const named = all
    .slice(0, mostNamed)
    .map(([column, n]) => (n === rows ? shown(column) : `${shown(column)} (${n} of ${rows} rows)`));
  if (all.length > mostNamed) named.push(`and ${all.length - mostNamed} more`);
  return named.length === 0 ? "none" : named.join(", ");
}

/** A name that could be taken for something else in a list stands in quotes, as the one that pandas gives its index: "". */
function shown(column: string): string {
  return /^[^\s",()]+$/.test(column) ? column : JSON.stringify(column);
}
