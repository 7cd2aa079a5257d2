/**
 * JSON Schemas of the reward `json`, as far as zod checks them: it passes over a keyword that it does not know or whose type is not
 * said, and over what stands beside anyOf, oneOf, allOf, $ref, enum and const. Such schemas are refused, since they would give full
 * marks to what they forbid.
 */
import { z } from "zod";
import { isRecord } from "../base/is-record.ts";
import { didYouMean } from "../base/suggest.ts";

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
    keywords: [
      ...["items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems"],
      ...["contains", "minContains", "maxContains"],
    ],
  },
  string: { types: ["string"], keywords: ["minLength", "maxLength", "pattern", "format"] },
  number: {
    types: ["number", "integer"],
    keywords: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"],
  },
};

/** What zod looks for in a text; it passes over any other format. */
const formats = [
  ...[
    "email",
    "uri",
    "uri-reference",
    "uuid",
    "guid",
    "date-time",
    "date",
    "time",
    "duration",
    "hostname",
    "ipv4",
  ],
  ...["ipv6", "mac", "cidr", "cidr-v6", "base64", "base64url", "e164", "credit_card", "iban", "jwt", "emoji"],
  ...["nanoid", "cuid", "cuid2", "ulid", "xid", "ksuid"],
];

const alternatives = ["anyOf", "oneOf", "allOf"] as const;
/** What zod reads alone, whatever stands beside it. */
const alone = [...alternatives, "$ref", "enum", "const"] as const;
/** What says nothing about values. */
const notes: ReadonlySet<string> = new Set([
  ...["title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"],
  ...["$id", "id", "$schema", "$comment", "$anchor", "$defs", "definitions"],
]);
/** What zod refuses itself, with its reason. */
const unsupported = [
  ...["not", "if", "then", "else", "dependentSchemas", "dependentRequired"],
  ...["unevaluatedItems", "unevaluatedProperties"],
];
const known: ReadonlySet<string> = new Set([
  ...Object.values(typed).flatMap(({ keywords }) => keywords),
  ...[...alone, ...notes, ...unsupported, "type"],
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

const shapes = [
  {
    keys: new Set([
      ...["minItems", "maxItems", "minContains", "maxContains", "minLength", "maxLength", "minProperties"],
      ...["maxProperties", "minimum", "maximum", "multipleOf"],
    ]),
    expected: "a number",
    fits: (value: unknown) => typeof value === "number",
  },
  {
    keys: new Set(["exclusiveMinimum", "exclusiveMaximum"]),
    expected: "a number, true or false",
    fits: (value: unknown) => typeof value === "number" || typeof value === "boolean",
  },
  {
    keys: new Set(["uniqueItems"]),
    expected: "true or false",
    fits: (value: unknown) => typeof value === "boolean",
  },
  {
    keys: new Set(["pattern", "format", "$ref"]),
    expected: "a text",
    fits: (value: unknown) => typeof value === "string",
  },
  {
    keys: new Set<string>(["required", "enum", "prefixItems", ...alternatives]),
    expected: "a list",
    fits: Array.isArray,
  },
  { keys: new Set(named), expected: "a mapping", fits: isRecord },
];

type Fields = Readonly<Record<string, unknown>>;

/** The check that a schema asks for. @throws {Error} with what is wrong with it */
export function schemaCheck(schema: unknown): z.ZodType {
  const problem = problemOf(schema, "");
  if (problem !== null) throw new Error(problem);
  return z.fromJSONSchema(withoutDefaults(schema) as z.core.JSONSchema.JSONSchema);
}

/** Where and why a schema would not be checked as it says; null: it would. */
function problemOf(schema: unknown, place: string): string | null {
  if (schema === undefined || typeof schema === "boolean") return null;
  const problems = [
    ...[keyProblem, shapeProblem, aloneProblem, typeProblem, requiredProblem],
    ...[valuesProblem, arrayProblem, formatProblem, patternsProblem],
  ];
  const at = place === "" ? "" : `at ${place}: `;
  if (!isRecord(schema))
    return `${at}expected a schema (a mapping, true or false), got ${JSON.stringify(schema)}`;
  for (const problem of problems) {
    const found = problem(schema);
    if (found !== null) return `${at}${found}`;
  }
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

function keyProblem(schema: Fields): string | null {
  const key = Object.keys(schema).find((one) => !known.has(one) && !one.startsWith("x-"));
  return key === undefined
    ? null
    : `unknown keyword ${key}, which is not checked here.${didYouMean(key, known)} Take it out, or write it with those that are`;
}

/** Keywords whose value is of another type than they take: zod passes over them. */
function shapeProblem(schema: Fields): string | null {
  for (const [key, value] of Object.entries(schema)) {
    const shape = shapes.find(({ keys }) => keys.has(key));
    if (value === undefined || shape === undefined || shape.fits(value)) continue;
    return `expected ${shape.expected} in ${key}, got ${JSON.stringify(value)}`;
  }
  return null;
}

function aloneProblem(schema: Fields): string | null {
  const key = alone.find((one) => schema[one] !== undefined);
  if (key === undefined) return null;
  const isOfValues = key === "enum" || key === "const";
  const beside = Object.keys(schema).find(
    (one) => one !== key && !notes.has(one) && !one.startsWith("x-") && !(isOfValues && one === "type"),
  );
  if (beside === undefined) return null;
  const remedy = isOfValues
    ? "Write the values that fit alone"
    : key === "$ref"
      ? "Write it where $ref points"
      : `Write it into each of ${key}`;
  return `${beside} beside ${key}, which is not checked here. ${remedy}`;
}

function valuesProblem({ enum: values, const: value, type }: Fields): string | null {
  const all = [...(Array.isArray(values) ? (values as unknown[]) : []), value].filter(
    (one) => one !== undefined,
  );
  if (all.some((one) => typeof one === "object" && one !== null)) {
    return "an object or a list in enum or const, which is not compared here. Describe it by properties or items";
  }
  const types = [type].flat();
  const other = all.find((one) => type !== undefined && !typesOf(one).some((each) => types.includes(each)));
  return other === undefined
    ? null
    : `${JSON.stringify(other)} in enum or const is of another type than ${types.join(", ")}. Correct the one or the other`;
}

function typesOf(value: unknown): string[] {
  if (value === null) return ["null"];
  return Number.isInteger(value) ? ["number", "integer"] : [typeof value];
}

function arrayProblem({ items, prefixItems, minItems, maxItems }: Fields): string | null {
  const bound = minItems === undefined ? "maxItems" : "minItems";
  if ((minItems ?? maxItems) === undefined) return null;
  if (items === undefined && prefixItems === undefined) {
    return `${bound} without items, which is not checked here. Add items, as {} for any value`;
  }
  const listed = [prefixItems ?? items].filter(Array.isArray).flat();
  return minItems !== undefined && listed.some(isAnything)
    ? "minItems with a listed item that may be any value, which is not checked here. Write a type for each"
    : null;
}

/** Whether a schema says nothing about values. */
function isAnything(schema: unknown): boolean {
  return schema === true || (isRecord(schema) && Object.keys(schema).every((key) => notes.has(key)));
}

function formatProblem({ format }: Fields): string | null {
  if (typeof format !== "string" || formats.includes(format)) return null;
  return `format ${format}, which is not checked here.${didYouMean(format, formats)} There are ${formats.join(", ")}. Describe another by pattern`;
}

function patternsProblem({ patternProperties, additionalProperties }: Fields): string | null {
  return patternProperties !== undefined && isRecord(additionalProperties)
    ? "additionalProperties with a schema beside patternProperties, which is not checked here. Write false, or a pattern for the other names"
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
