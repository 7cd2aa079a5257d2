/**
 * The fields of a request body: what each may be, which are known from OpenAI's API and not served here and what to do
 * instead, and messages that name the field.
 */
import { z } from "zod";
import { didYouMean } from "../base/suggest.ts";
import { numberOf } from "../text/json-number.ts";
import { ApiError } from "./api-error.ts";

/** A field that is served: its values, and those in words to follow "expected". */
export interface ServedField<T> {
  schema: z.ZodType<T>;
  expected: string;
  /** Whether its numbers stay as they are spelled, for a template to write; otherwise they are plain numbers. */
  keepsNumbers?: true;
}

/**
 * A field of OpenAI's API, or of vLLM's beside it, that is not served. `neutral`: values that ask for nothing, which are let
 * through; they may depend on the rest of the body.
 */
export interface UnservedField {
  neutral: (value: unknown, body: Readonly<Record<string, unknown>>) => boolean;
  instead: string;
}

/** What a route takes. */
export interface FieldTable<T> {
  served: { readonly [K in keyof T]-?: ServedField<Exclude<T[K], undefined>> };
  unserved: Readonly<Record<string, UnservedField>>;
  /** Fields that say something about the caller and nothing about the answer. */
  ignored: readonly string[];
}

/** A number within bounds. */
export function numberField(min: number, max: number): ServedField<number> {
  return { schema: z.number().min(min).max(max), expected: `a number from ${min} to ${max}` };
}

/** A whole number within bounds. */
export function wholeField(min: number, max: number): ServedField<number> {
  return { schema: z.int().min(min).max(max), expected: `a whole number from ${min} to ${max}` };
}

/** true or false. */
export const flagField: ServedField<boolean> = { schema: z.boolean(), expected: "true or false" };

/** Text that is not empty. */
export const nameField: ServedField<string> = { schema: z.string().min(1), expected: "a non-empty string" };

/**
 * The served fields of `body`, checked; null counts as not given.
 *
 * @throws {ApiError} naming the first field that is wrong, not served or unknown
 */
export function readFields<T extends object>(body: unknown, table: FieldTable<T>): Partial<T> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new ApiError("invalidValue", `The body: expected a JSON object, got ${describe(body)}.`);
  }
  const values: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(body)) {
    if (value === null || table.ignored.includes(name)) continue;
    const field = Object.hasOwn(table.served, name) ? table.served[name as keyof T] : undefined;
    const meant = field?.keepsNumbers === true ? value : plainNumbers(value);
    if (field === undefined) checkUnserved(name, meant, { table, body: body as Record<string, unknown> });
    else values[name] = readField(name, meant, field);
  }
  return values as Partial<T>;
}

function plainNumbers(value: unknown): unknown {
  const number = numberOf(value);
  if (number !== null) return number;
  if (Array.isArray(value)) return value.map(plainNumbers);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, it]) => [key, plainNumbers(it)]));
}

function readField(name: string, value: unknown, field: ServedField<unknown>): unknown {
  const result = field.schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const path = [
    ...(issue?.path ?? []),
    ...(issue?.code === "unrecognized_keys" ? issue.keys.slice(0, 1) : []),
  ];
  const where = path.reduce<string>(
    (text, key) => text + (typeof key === "number" ? `[${key}]` : `.${String(key)}`),
    name,
  );
  const at = path.length > 0 ? ` (at ${where.slice(0, 100)})` : "";
  throw invalid(name, `expected ${field.expected}, got ${describe(value)}${at}.`);
}

function checkUnserved<T>(
  name: string,
  value: unknown,
  { table, body }: { table: FieldTable<T>; body: Readonly<Record<string, unknown>> },
): void {
  const unserved = Object.hasOwn(table.unserved, name) ? table.unserved[name] : undefined;
  if (unserved?.neutral(value, body) === true) return;
  const shown = JSON.stringify(name.slice(0, 60));
  const known = [...Object.keys(table.served), ...Object.keys(table.unserved)];
  const message =
    unserved === undefined
      ? `${shown} is no parameter of this route.${didYouMean(name.slice(0, 60), known)} Leave it out.`
      : `${shown} is not supported by this server. ${unserved.instead}`;
  throw new ApiError("unsupported", message, { param: name.slice(0, 60) });
}

/** The error of a value that cannot be. */
export function invalid(name: string, message: string): ApiError {
  return new ApiError("invalidValue", `${name}: ${message}`, { param: name });
}

/** A value in few words; nothing of what a text says, which may be private. */
function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (typeof value === "string")
    return value.length > 0 ? `a string of ${value.length} characters` : "an empty string";
  if (Array.isArray(value)) return `a list of ${value.length}`;
  const isNumber = numberOf(value) !== null;
  return typeof value === "object" && !isNumber ? "an object" : String(value);
}

/**
 * The value of a field that has to be there.
 *
 * @throws {ApiError} if it is not
 */
export function required<T extends object, K extends keyof T & string>(fields: Partial<T>, name: K): T[K] {
  const value: T[K] | undefined = fields[name];
  if (value === undefined) throw invalid(name, "expected it to be given.");
  return value;
}
