/**
 * JSON Schemas of the reward `json`, as far as zod checks them: it passes over a keyword whose type is not said, and over what stands
 * beside anyOf, oneOf and allOf. Such schemas are refused, since they would give full marks to what they forbid.
 */
import { z } from "zod";
import { isRecord } from "../base/is-record.ts";

/** Keywords that zod reads in a schema of these types alone. */
const typed: Readonly<Record<string, { types: readonly string[]; keywords: readonly string[] }>> = {
  object: {
    types: ["object"],
    keywords: [
      ...["properties", "required", "additionalProperties", "patternProperties", "propertyNames"],
      ...["minProperties", "maxProperties"],
    ],
  },
  array: {
    types: ["array"],
    keywords: ["items", "prefixItems", "additionalItems", "contains", "minItems", "maxItems", "uniqueItems"],
  },
  string: { types: ["string"], keywords: ["minLength", "maxLength", "pattern", "format"] },
  number: {
    types: ["number", "integer"],
    keywords: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"],
  },
};

const alternatives = ["anyOf", "oneOf", "allOf"] as const;
/** What says nothing about values. */
const notes: ReadonlySet<string> = new Set([
  ...["title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"],
  ...["$id", "$schema", "$comment", "$anchor", "$defs", "definitions"],
]);
/** Where schemas stand in a schema: alone or in a list, and by name. */
const nested = [
  "items",
  "prefixItems",
  "additionalItems",
  "additionalProperties",
  "propertyNames",
  "contains",
];
const named = ["properties", "patternProperties", "$defs", "definitions"];

type Fields = Readonly<Record<string, unknown>>;

/** The check that a schema asks for. @throws {Error} with what is wrong with it */
export function schemaCheck(schema: unknown): z.ZodType {
  const problem = problemOf(schema, "");
  if (problem !== null) throw new Error(problem);
  return z.fromJSONSchema(withoutDefaults(schema) as z.core.JSONSchema.JSONSchema);
}

/** Where and why a schema would not be checked as it says; null: it would. */
function problemOf(schema: unknown, place: string): string | null {
  if (!isRecord(schema)) return null;
  const own =
    typeProblem(schema) ?? requiredProblem(schema) ?? alternativesProblem(schema) ?? valuesProblem(schema);
  if (own !== null) return `${place === "" ? "" : `at ${place}: `}${own}`;
  for (const [key, part] of partsOf(schema)) {
    const found = problemOf(part, place === "" ? key : `${place}.${key}`);
    if (found !== null) return found;
  }
  return null;
}

function partsOf(schema: Fields): [string, unknown][] {
  const lists = [...nested, ...alternatives].flatMap((key): [string, unknown][] => {
    const value = schema[key];
    return Array.isArray(value) ? value.map((part, i) => [`${key}.${i}`, part]) : [[key, value]];
  });
  const byName = named.flatMap((key): [string, unknown][] => {
    const value = schema[key];
    return isRecord(value) ? Object.entries(value).map(([name, part]) => [`${key}.${name}`, part]) : [];
  });
  return [...lists, ...byName];
}

function typeProblem(schema: Fields): string | null {
  for (const [kind, { types, keywords }] of Object.entries(typed)) {
    const keyword = keywords.find((one) => schema[one] !== undefined);
    const said = [schema["type"]].flat();
    if (keyword === undefined || types.some((type) => said.includes(type))) continue;
    return `${keyword} without type: ${kind}, which is not checked here. Write the type beside it`;
  }
  return null;
}

function requiredProblem({ required, properties }: Fields): string | null {
  const names = Array.isArray(required) ? required.map(String) : [];
  const missing = names.find((name) => !isRecord(properties) || !Object.hasOwn(properties, name));
  return missing === undefined
    ? null
    : `required has ${missing}, which properties has not. Add it there, as {} for any value`;
}

function alternativesProblem(schema: Fields): string | null {
  const key = alternatives.find((one) => schema[one] !== undefined);
  if (key === undefined) return null;
  const beside = Object.keys(schema).find((one) => one !== key && !notes.has(one));
  return beside === undefined
    ? null
    : `${beside} beside ${key}, which is not checked here. Write it into each of ${key}`;
}

function valuesProblem({ enum: values, const: value }: Fields): string | null {
  const all = [...(Array.isArray(values) ? (values as unknown[]) : []), value];
  return all.some((one) => typeof one === "object" && one !== null)
    ? "an object or a list in enum or const, which is not compared here. Describe it by properties or items"
    : null;
}

/** A default says what an absent value means; zod would fill it in, and a required one would never be missing. */
function withoutDefaults(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withoutDefaults);
  if (!isRecord(schema)) return schema;
  const kept = Object.entries(schema).filter(([key]) => key !== "default");
  return Object.fromEntries(
    kept.map(([key, value]) => [
      key,
      named.includes(key) && isRecord(value)
        ? Object.fromEntries(Object.entries(value).map(([name, part]) => [name, withoutDefaults(part)]))
        : ["enum", "const"].includes(key)
          ? value
          : withoutDefaults(value),
    ]),
  );
}
