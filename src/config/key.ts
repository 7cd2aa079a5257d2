/** One key of the configuration: as it is declared, and made ready to check values with. */
import { z } from "zod";
import type { ValueSchema } from "../base/value-schema.ts";
import type { MethodName } from "../methods/index.ts";
import { acceptsNull, expectedText } from "./schema-text.ts";

/** A key as it is declared. With neither a default (in its schema) nor a `rule` it must be given. */
export interface Key {
  schema: ValueSchema | z.ZodType;
  /** What it accepts, to follow "expected"; left out: made of the schema. */
  expected?: string;
  /** How the value follows from other values when it is not given. */
  rule?: string;
  /** What the value does, with its unit. */
  doc: string;
  /** Who else has this default, or why it is what it is; left out: preftune alone. */
  source?: string;
  /** Objectives that use the key; left out: all. */
  objectives?: readonly MethodName[];
  /** True when a resumed run may change it without changing what is computed (but for rounding). */
  freeOnResume?: boolean;
}

/** A key made ready. */
export interface ConfigField extends Omit<Key, "schema"> {
  schema: ValueSchema;
  expected: string;
  source: string;
  default?: unknown;
  /** The value as it is read, or what is wrong with it. */
  check(value: unknown): z.ZodSafeParseResult<unknown>;
}

/** The key made ready. The check is made when it is first needed: a run gives few of the keys. */
export function fieldFrom(key: Key): ConfigField {
  const { schema: given, expected, source = "preftune", ...rest } = key;
  let zod = given instanceof z.ZodType ? given : undefined;
  // of what is read before it is checked, such as a path as a list of one, the schema is that of what is checked
  const schema = (zod === undefined ? given : z.toJSONSchema(zod)) as ValueSchema;
  const { default: value, ...accepted } = schema;
  const check = (one: unknown): z.ZodSafeParseResult<unknown> => {
    zod ??= z.fromJSONSchema(accepted as z.core.JSONSchema.JSONSchema);
    return zod.safeParse(one);
  };
  const words =
    expected === undefined ? expectedText(schema) : expected + (acceptsNull(schema) ? ", or null" : "");
  const known = { ...rest, schema, expected: words, source, check };
  if (!("default" in schema)) return known;
  return { ...known, default: schema.properties === undefined ? value : defaultsOfParts(schema.properties) };
}

/** A mapping of which nothing is given: each part has its own default. */
function defaultsOfParts(parts: NonNullable<ValueSchema["properties"]>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, part.default]));
}
