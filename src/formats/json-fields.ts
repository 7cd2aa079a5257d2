/** Reads typed fields of a JSON object with errors that name file, field, expectation and value. */
import { FormatError } from "../base/errors.ts";
import { isRecord } from "../base/is-record.ts";
import { didYouMean } from "../base/suggest.ts";

/** A JSON value as short text for an error message. */
export function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}

/**
 * The fields of one JSON object of a file. A field that is absent or null takes the default given (but for token ids).
 *
 * Every getter throws {@link FormatError} when the value is of another kind.
 */
export class JsonFields {
  readonly values: Readonly<Record<string, unknown>>;
  readonly #file: string;
  readonly #path: string;
  readonly #asked: Set<string> = new Set();

  /**
   * @param values - the object
   * @param file - file name for messages
   * @param path - where the object stands in the file, such as "text_config", or "" for the whole
   */
  constructor(values: Readonly<Record<string, unknown>>, file: string, path = "") {
    this.values = values;
    this.#file = file;
    this.#path = path;
  }

  /** Whether the field is there and not null. */
  has(key: string): boolean {
    return this.#get(key) !== undefined;
  }

  /** An integer from 1 to `max`. */
  positiveInt(key: string, fallback: number, max: number): number {
    const value = this.#get(key) ?? fallback;
    if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= max) return value;
    return this.refuse(key, `an integer from 1 to ${max}`);
  }

  /** A finite number above 0. */
  positiveNumber(key: string, fallback: number): number {
    const value = this.#get(key) ?? fallback;
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
    return this.refuse(key, "a number above 0");
  }

  /** true or false. */
  boolean(key: string, fallback: boolean): boolean {
    const value = this.#get(key) ?? fallback;
    return typeof value === "boolean" ? value : this.refuse(key, "true or false");
  }

  /** A string, or null when there is none. */
  string(key: string): string | null {
    const value = this.#get(key) ?? null;
    return value === null || typeof value === "string" ? value : this.refuse(key, "a string");
  }

  /** A list of strings, or null when there is none. */
  strings(key: string): string[] | null {
    const value = this.#get(key) ?? null;
    if (value === null) return null;
    const isList = Array.isArray(value) && value.every((item) => typeof item === "string");
    return isList ? value : this.refuse(key, "a list of strings");
  }

  /** A list of finite numbers above 0, which must be there. */
  positiveNumbers(key: string): number[] {
    const value = this.#get(key);
    const isList =
      Array.isArray(value) &&
      value.every((item) => typeof item === "number" && Number.isFinite(item) && item > 0);
    return isList ? value : this.refuse(key, "a list of numbers above 0");
  }

  /** Token ids given as one number or a list; null is none, and the old marker -1 for "none" is left out. */
  tokenIds(key: string, fallback: readonly number[]): number[] {
    const isNull = Object.hasOwn(this.values, key) && this.values[key] === null;
    const value = this.#get(key) ?? (isNull ? [] : fallback);
    const ids: unknown[] = Array.isArray(value) ? value : [value];
    if (!ids.every((id) => typeof id === "number" && Number.isInteger(id) && id >= -1)) {
      return this.refuse(key, "a token id or a list of them");
    }
    return [...new Set(ids.filter((id): id is number => typeof id === "number" && id >= 0))];
  }

  /** An object within this one, or null when there is none. */
  object(key: string): JsonFields | null {
    const value = this.#get(key) ?? null;
    if (value === null) return null;
    return isRecord(value)
      ? new JsonFields(value, this.#file, this.where(key))
      : this.refuse(key, "an object");
  }

  /** An object within this one, or one without fields when there is none. */
  objectOrEmpty(key: string): JsonFields {
    return this.object(key) ?? new JsonFields({}, this.#file, this.where(key));
  }

  /** Fields of `values` in the place of this object's field `key`, for messages. */
  derived(values: Readonly<Record<string, unknown>>, key: string): JsonFields {
    return new JsonFields(values, this.#file, this.where(key));
  }

  /** Refuses a field that nobody asked for so far, has a value, and is not `harmless`: it might change what is computed. */
  refuseUnknown(harmless: Iterable<string>, what: string): void {
    const known = new Set([...this.#asked, ...harmless]);
    const unknown = Object.keys(this.values).find((key) => !known.has(key) && this.values[key] !== null);
    if (unknown === undefined) return;
    this.refuse(
      unknown,
      `a key of ${what}`,
      `It is not known here, and might change what the model computes.${didYouMean(unknown, known)} ` +
        "Take it out if it means nothing to this model.",
    );
  }

  /** The field's full name, such as "text_config.head_dim". */
  where(key: string): string {
    return this.#path === "" ? key : `${this.#path}.${key}`;
  }

  /** Throws for a field: what was expected, what it is, what to do. */
  refuse(key: string, expected: string, remedy = "Fix the file or download it again."): never {
    throw new FormatError(
      `${this.#file}: ${this.where(key)}: expected ${expected}, got ${brief(this.#get(key))}. ${remedy}`,
    );
  }

  #get(key: string): unknown {
    this.#asked.add(key);
    const value = Object.hasOwn(this.values, key) ? this.values[key] : undefined;
    return value === null ? undefined : value;
  }
}
