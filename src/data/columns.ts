/** The columns of a row under the names the rest of `data/` uses, after the user's column mapping. */
import { type ColumnName, columnNames } from "../base/column-names.ts";
import { ConfigError, DataError } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";
import { describeOrigin, type RawRow } from "./example.ts";

export type { ColumnName };

/** Names in the file of columns that are called otherwise there, such as `{ prompt: "question", chosen: "good" }`. */
export type ColumnMap = Readonly<Partial<Record<ColumnName, string>>>;

/**
 * `map` with its keys checked.
 *
 * @throws ConfigError when a key is no column that preftune knows
 */
export function checkColumnMap(map: Readonly<Record<string, string>>): ColumnMap {
  const known: readonly string[] = columnNames;
  for (const name of Object.keys(map)) {
    if (known.includes(name)) continue;
    throw new ConfigError(
      `columns: expected keys among ${columnNames.join(", ")}, got "${name}".${didYouMean(name, known)} ` +
        `The key is preftune's name, the value the file's.`,
    );
  }
  return map;
}

/** Reads the columns of one row. */
export class Columns {
  /** `file:line`, to begin messages with. */
  readonly where: string;
  /** True when all values are strings because the file knows no other type (CSV). */
  readonly isText: boolean;
  readonly #value: Record<string, unknown>;
  readonly #map: ColumnMap;

  constructor(row: RawRow, map: ColumnMap) {
    this.where = describeOrigin(row.origin);
    this.isText = row.isText ?? false;
    this.#value = row.value;
    this.#map = map;
    for (const [name, column] of Object.entries(map)) {
      if (!Object.hasOwn(row.value, column)) throw this.#unmapped(name, column);
    }
  }

  /** True when the row has a value there. Null is what columnar files write for no value. */
  has(name: ColumnName): boolean {
    return this.get(name) !== undefined;
  }

  /** The value, or undefined. */
  get(name: ColumnName): unknown {
    const column = this.#map[name] ?? name;
    const value = Object.hasOwn(this.#value, column) ? this.#value[column] : undefined;
    return value === null || (this.isText && value === "" && optionalInText.has(name)) ? undefined : value;
  }

  /** A column's place for messages: `file:line, column "x"`. */
  place(name: ColumnName): string {
    return `${this.where}, column "${this.#map[name] ?? name}"`;
  }

  /** The error for a row whose columns make no form that fits. */
  missing(expected: string): DataError {
    const found = Object.keys(this.#value);
    const used = new Set<string>(Object.values(this.#map));
    const free = found.filter((name) => !used.has(name));
    const hint = columnNames
      .filter((name) => !found.includes(name) && this.#map[name] === undefined)
      .map((name) => ({ name, guess: likelyColumn(name, free) }))
      .find(({ guess }) => guess !== null);
    const suggestion =
      hint === undefined
        ? ` Name the file's columns in the config, as in columns: {prompt: question}.`
        : ` If "${hint.guess}" is the ${hint.name}, set columns: {${hint.name}: ${hint.guess}}.`;
    return new DataError(
      `${this.where}: expected ${expected}, found ${found.length === 0 ? "no columns" : `the columns ${found.join(", ")}`}.${suggestion}`,
    );
  }

  /** The error for a value of the wrong type. */
  wrongType(name: ColumnName, expected: string): DataError {
    return new DataError(
      `${this.place(name)}: expected ${expected}, got ${kindOf(this.get(name))}. Mend the row.`,
    );
  }

  #unmapped(name: string, column: string): DataError {
    const found = Object.keys(this.#value);
    return new DataError(
      `${this.where}: expected a column "${column}" (columns: {${name}: ${column}}), found ${found.join(", ")}.` +
        `${didYouMean(column, found)} Mend the column mapping.`,
    );
  }
}

/** In CSV an empty cell of these columns means no value; an empty prompt or answer is one. */
const optionalInText: ReadonlySet<ColumnName> = new Set(
  columnNames.filter((name) => !["prompt", "chosen", "rejected", "completion", "text"].includes(name)),
);

const otherNames: Readonly<Partial<Record<ColumnName, readonly string[]>>> = {
  prompt: ["question", "instruction", "query", "input"],
  chosen: ["good", "preferred", "accepted", "response_chosen", "chosen_response", "winner"],
  rejected: ["bad", "dispreferred", "response_rejected", "rejected_response", "loser"],
  completion: ["response", "answer", "output"],
  messages: ["conversations", "conversation"],
};

function likelyColumn(name: ColumnName, found: readonly string[]): string | null {
  const synonym = found.find((column) => otherNames[name]?.includes(column.toLowerCase()));
  if (synonym !== undefined) return synonym;
  return found.find((column) => didYouMean(column, [name]) !== "" && column.length > 3) ?? null;
}

/** What kind of value it is, without the value: rows are not shown in messages. */
function kindOf(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value))
    return value.length === 0 ? "an empty list" : `a list of ${kindOf(value[0]).replace(/^an? /, "")}s`;
  if (typeof value === "object") return "an object";
  return typeof value === "string" ? "a string" : `a ${typeof value}`;
}
