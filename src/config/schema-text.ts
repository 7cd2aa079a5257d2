/** What a schema accepts, in words; a part of a schema; the value that words of a command line stand for. */
import { parse } from "yaml";
import type { ValueSchema } from "../base/value-schema.ts";

/** The schemas of which a value fits one. */
function alternatives(schema: ValueSchema): ValueSchema[] {
  if (schema.anyOf !== undefined) return schema.anyOf.flatMap(alternatives);
  const { type, ...rest } = schema;
  return typeof type === "object" ? type.map((one) => ({ ...rest, type: one })) : [schema];
}

/** Whether null is one of the values. */
export function acceptsNull(schema: ValueSchema): boolean {
  return alternatives(schema).some((part) => part.type === "null" || part.enum?.includes(null));
}

/** "a whole number at least 1, or null": what `schema` accepts, to follow "expected". */
export function expectedText(schema: ValueSchema): string {
  const parts = alternatives(schema).filter(({ type }) => type !== "null");
  return `${parts.map(textOf).join(", or ")}${acceptsNull(schema) ? ", or null" : ""}`;
}

function textOf(schema: ValueSchema): string {
  if (schema.enum !== undefined) {
    const quoted = schema.enum.filter((word) => word !== null).map((word) => `"${word}"`);
    return quoted.length === 1 ? quoted.join() : `one of ${quoted.join(", ")}`;
  }
  switch (schema.type) {
    case "integer":
      return `a whole number${boundsText(schema)}`;
    case "number":
      return `a number${boundsText(schema)}`;
    case "boolean":
      return "true or false";
    case "array":
      return "a list";
    case "object":
      return `a mapping from ${Object.keys(schema.properties ?? {}).join(", ")}`;
    default:
      return "a non-empty string";
  }
}

function boundsText({ minimum, exclusiveMinimum, maximum, exclusiveMaximum }: ValueSchema): string {
  const bounds = [
    ["at least", minimum],
    ["above", exclusiveMinimum],
    ["at most", maximum],
    ["below", exclusiveMaximum],
  ];
  const parts = bounds.filter(([, bound]) => bound !== undefined).map((part) => part.join(" "));
  return parts.length === 0 ? "" : ` ${parts.join(" and ")}`;
}

/** The schema of the part of a value at `path`. */
export function schemaAt(schema: ValueSchema, path: readonly PropertyKey[]): ValueSchema {
  const [first, ...rest] = path;
  if (first === undefined) return schema;
  const parts = alternatives(schema).map(({ items, properties }) =>
    typeof first === "number" ? items : properties?.[String(first)],
  );
  return schemaAt(parts.find((part) => part !== undefined) ?? {}, rest);
}

/** The keys of a mapping that `schema` accepts. */
export function namesIn(schema: ValueSchema): string[] {
  return alternatives(schema).flatMap(({ properties = {} }) => Object.keys(properties));
}

const NUMBER = /^[-+]?(\d+(?:\.\d*)?|\.\d+)(e[-+]?\d+)?$/i;

/** The value that `typed`, a word of a command line, stands for; text that does not fit comes back as it is. */
export function valueFromText(schema: ValueSchema, typed: string): unknown {
  const parts = alternatives(schema);
  const word = typed.trim();
  if (word === "null" && acceptsNull(schema)) return null;
  if (parts.some((part) => part.enum?.includes(word))) return word;
  const types = parts.map(({ type }) => type);
  if (types.includes("boolean") && /^(true|false)$/i.test(word)) return word.toLowerCase() === "true";
  if ((types.includes("number") || types.includes("integer")) && NUMBER.test(word)) return Number(word);
  if (types.includes("array")) return listFromText(word);
  const mapping = parts.find(({ type }) => type === "object");
  return mapping === undefined ? typed : mappingFromText(mapping, word);
}

/** A YAML list, or its entries with commas between them. A comma inside `{a,b}` belongs to a glob. */
function listFromText(word: string): unknown {
  if (word.startsWith("[")) return yamlOrNull(word) ?? word;
  const entries = word.split(/,(?![^{]*\})/).map((part) => part.trim());
  return (word.startsWith("{") ? yamlOrNull(word) : null) ?? entries.filter((part) => part !== "");
}

/** A YAML mapping, as error messages show it, or `length=6,repetition=null`. */
function mappingFromText(schema: ValueSchema, word: string): unknown {
  if (word.startsWith("{")) return yamlOrNull(word) ?? word;
  const pairs = word.split(",").map((part) => part.split("=").map((side) => side.trim()));
  if (!pairs.every((pair) => pair.length === 2)) return word;
  return Object.fromEntries(
    pairs.map(([name = "", text = ""]) => [name, valueFromText(schemaAt(schema, [name]), text)]),
  );
}

/** Text as YAML (JSON is YAML too), or null where it is none. */
function yamlOrNull(text: string): unknown {
  try {
    return parse(text, { version: "1.2", uniqueKeys: true, maxAliasCount: 0 });
  } catch {
    return null;
  }
}
