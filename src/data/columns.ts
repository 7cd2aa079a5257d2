/** The columns of a row under the names the rest of `data/` uses, after the user's column mapping. */
import { isDeepStrictEqual } from "node:util";

import { type ColumnName, columnNames, otherSpellings } from "../base/column-names.ts";
import { ConfigError, DataError } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";
import { notJsonIn } from "../text/json-number.ts";
import { promisesContent } from "./column-hints.ts";
import { describeOrigin, type RawRow } from "./example.ts";

export type { ColumnName };

/**
 * Names in the file of columns that are called otherwise there, such as `{ prompt: "question", chosen: "good" }`. A name
 * with dots is a path into objects: `input.messages`.
 */
export type ColumnMap = Readonly<Partial<Record<ColumnName, string>>>;

/** What became of a row's columns, by their names in the file. Columns without a value (null, "", []) are in neither list. */
export interface ColumnUse {
  used: string[];
  passedOver: string[];
  /** Those passed over although their name or content promises a part of the row. */
  doubtful: string[];
}

/** The first names, each no longer than a line takes: a row may have a thousand. */
function someOf(names: readonly string[]): string {
  const shown = names.slice(0, 20).map((name) => (name.length > 60 ? `${name.slice(0, 60)}...` : name));
  return `${shown.join(", ")}${names.length > 20 ? `, and ${names.length - 20} more` : ""}`;
}

/** A row that lacks columns for every form. `expected` says which. */
export class MissingColumns extends DataError {
  readonly expected: string;

  constructor(where: string, expected: string, found: readonly string[]) {
    const columns = found.length === 0 ? "no columns" : `the columns ${someOf(found)}`;
    super(`${where}: expected ${expected}, found ${columns}.`);
    this.expected = expected;
  }
}

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

/** Reads the columns of one row and keeps account of those read. */
export class RowColumns {
  /** `file:line`, to begin messages with. */
  readonly where: string;
  /** True when all values are strings because the file knows no other type (CSV). */
  readonly isText: boolean;
  /** True when strings in columns of answers are text, whatever they hold. */
  readonly isAnswerText: boolean;
  /** True when the reader of the rows could say so. */
  readonly canBeAnswerText: boolean;
  readonly #value: Record<string, unknown>;
  readonly #row: RawRow;
  readonly #map: ColumnMap;
  /** Columns of the file that the mapping gives another name. */
  readonly #claimed: ReadonlySet<string>;
  /** Values read so far, by column or, for parts of one, `column.key`. */
  readonly #used: Map<string, unknown> = new Map();
  readonly #left: Set<string> = new Set();
  /** Objects of which parts were read, by column. */
  readonly #wholes: Map<string, Readonly<Record<string, unknown>>> = new Map();

  /** @param options - strings are said to be text, or may be; cells of a file that knows no other type are looked into all the same */
  constructor(
    row: RawRow,
    map: ColumnMap,
    options: { strings?: "text" | "chat"; mayTakeText?: boolean } = {},
  ) {
    this.where = describeOrigin(row.origin);
    this.isText = row.isText ?? false;
    this.isAnswerText = options.strings === "text" && !this.isText;
    this.canBeAnswerText = options.mayTakeText === true && !this.isText;
    this.#value = row.value;
    this.#row = row;
    this.#map = map;
    this.#claimed = new Set(Object.values(map));
    for (const [name, column] of Object.entries(map)) {
      if (!isIn(row, column)) throw this.#unmapped(name, column);
    }
  }

  /** Every column of the row, by its name in the file. */
  get names(): string[] {
    return Object.keys(this.#value);
  }

  /** True when the row has a value there. Null is what columnar files write for no value. */
  has(name: ColumnName): boolean {
    return this.peek(name) !== undefined;
  }

  /** True when the column is there, with a value or without. */
  exists(name: ColumnName): boolean {
    const column = this.#column(name);
    return !(this.#claimed.has(column) && this.#map[name] === undefined) && isIn(this.#row, column);
  }

  /** The value, or undefined, without counting the column as used. */
  peek(name: ColumnName): unknown {
    if (!this.exists(name)) return undefined;
    const value = valueAt(this.#value, this.#column(name)) ?? null;
    const isNone = (value === "" && this.isText) || this.#isNoValue(value);
    return value === null || (isNone && optionalInText.has(name)) ? undefined : value;
  }

  /**
   * The value, or undefined.
   *
   * @throws DataError for a cell that pandas would not read as the text that it is
   */
  get(name: ColumnName): unknown {
    const value = this.peek(name);
    if (this.#isNoValue(value)) {
      throw new DataError(
        `${this.place(name)}: expected a text, got ${JSON.stringify(value)}, which in CSV is no value, as pandas and datasets read it. ` +
          `Remove the row; or, if this is the text, write the rows as JSON lines.`,
      );
    }
    if (value !== undefined) this.#used.set(this.#column(name), value);
    return value;
  }

  /** Says that the column is knowingly not read: the row loses nothing by it. */
  leave(name: ColumnName): void {
    this.#left.add(this.#column(name));
  }

  /** A value of `whole`, the object that column `name` holds; undefined where there is none. */
  part(name: ColumnName, key: string, whole: Readonly<Record<string, unknown>>): unknown {
    const value = whole[key] ?? undefined;
    const column = this.#column(name);
    this.#wholes.set(column, whole);
    if (value !== undefined) this.#used.set(`${column}.${key}`, value);
    return value;
  }

  /** The value of a column without a meaning, by its name in the file. */
  other(column: string): unknown {
    return Object.hasOwn(this.#value, column) ? (this.#value[column] ?? undefined) : undefined;
  }

  /** A column's place for messages: `file:line, column "x"`. */
  place(name: ColumnName): string {
    return `${this.where}, column "${this.#column(name)}"`;
  }

  /** Its name in the file. */
  nameOf(name: ColumnName): string {
    return this.#column(name);
  }

  /** What became of the row's columns. Call it when all has been read. */
  use(): ColumnUse {
    const used = this.names.flatMap((column) =>
      [...this.#used.keys()].filter((path) => path === column || path.startsWith(`${column}.`)),
    );
    const passedOver = this.names.flatMap((column) => this.#unread(column));
    const doubtful = passedOver.filter((column) => {
      const value = valueAt(this.#value, column);
      return !this.#left.has(column) && promisesContent(column, value) && !this.#repeats(value);
    });
    return { used, passedOver, doubtful };
  }

  /** The error for a row whose columns make no form that fits. */
  missing(expected: string): MissingColumns {
    const found = this.names.map((name) => {
      const value = this.#value[name];
      if (this.#isNoValue(value)) return `${name} (${JSON.stringify(value)}: no value)`;
      return value === null ? `${name} (null)` : name;
    });
    return new MissingColumns(this.where, expected, found);
  }

  /** The error for a value of the wrong type. */
  wrongType(name: ColumnName, expected: string): DataError {
    return new DataError(
      `${this.place(name)}: expected ${expected}, got ${kindOf(this.peek(name))}. Fix the row.`,
    );
  }

  /** The column itself where nothing of it was read, its unread keys where a part was. */
  #unread(column: string): string[] {
    if (this.#used.has(column)) return [];
    const value = this.#value[column];
    if (isEmpty(value) || this.#isNoValue(value)) return [];
    const isPartlyRead = [...this.#used.keys()].some((used) => used.startsWith(`${column}.`));
    if (!isPartlyRead) return [column];
    return Object.entries(this.#wholes.get(column) ?? (value as Record<string, unknown>))
      .filter(([key, part]) => !this.#used.has(`${column}.${key}`) && !isEmpty(part))
      .map(([key]) => `${column}.${key}`);
  }

  /** True for a cell of CSV that pandas takes for a missing value. */
  #isNoValue(value: unknown): boolean {
    return this.isText && typeof value === "string" && noValues.has(value);
  }

  /** True for a value that stands in a column that was read, whole or as a message's text. */
  #repeats(value: unknown): boolean {
    const isSame = (used: unknown): boolean =>
      isDeepStrictEqual(used, value) ||
      (typeof value === "string" && Array.isArray(used) && used.some((item) => textOf(item) === value));
    return [...this.#used.values()].some(isSame);
  }

  #column(name: ColumnName): string {
    const mapped = this.#map[name];
    if (mapped !== undefined) return mapped;
    const spellings = [name, ...(otherSpellings[name] ?? [])];
    return (
      spellings.find((column) => Object.hasOwn(this.#value, column) && !this.#claimed.has(column)) ?? name
    );
  }

  #unmapped(name: string, column: string): DataError {
    return new DataError(
      `${this.where}: expected a column "${column}" (columns: {${name}: ${column}}), found ${someOf(this.names)}.` +
        `${didYouMean(column, this.names)} Fix the column mapping.`,
    );
  }
}

/** What pandas reads as a missing value (`STR_NA_VALUES`), and so does `datasets`; R writes NA for one. */
const noValues: ReadonlySet<unknown> = new Set([
  ...["#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"],
  ...["N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"],
]);

/** In CSV an empty cell of these columns means no value; an empty prompt or answer is one. */
const optionalInText: ReadonlySet<ColumnName> = new Set(
  columnNames.filter((name) => !["prompt", "chosen", "rejected", "completion", "text"].includes(name)),
);

/** What stands at `path`: a column of that name, or a way into objects by dots. Null where one of these is; undefined where there is nothing. */
function valueAt(row: Record<string, unknown>, path: string): unknown {
  if (Object.hasOwn(row, path)) return row[path];
  let value: unknown = row;
  for (const key of path.split(".")) {
    if (value === null) return null;
    if (typeof value !== "object" || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return value;
}

/** Whether the row has something at `path`, as a column map names it, be it null. */
export function isIn({ value, isField }: RawRow, path: string): boolean {
  return valueAt(value, path) !== undefined || isField?.(path) === true;
}

function isEmpty(value: unknown): boolean {
  return (
    value === null || value === undefined || value === "" || (Array.isArray(value) && value.length === 0)
  );
}

function textOf(message: unknown): unknown {
  if (typeof message !== "object" || message === null) return undefined;
  const { content, value } = message as { content?: unknown; value?: unknown };
  return content ?? value;
}

/** What kind of value it is, without the value: rows are not shown in messages. */
function kindOf(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value))
    return value.length === 0 ? "an empty list" : `a list of ${kindOf(value[0]).replace(/^an? (.*)/, "$1s")}`;
  if (typeof value === "number" || value instanceof Date || ArrayBuffer.isView(value))
    return notJsonIn(value) ?? "a number";
  if (typeof value === "object") return "an object";
  return typeof value === "string" ? "a string" : `a ${typeof value}`;
}
