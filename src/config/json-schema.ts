/**
 * The JSON Schema (draft 7) of a run's YAML file, from the table of keys: editors complete and explain keys by it, and mark what
 * {@link loadConfig} refuses of a key alone. What several keys say together only a run finds out.
 */
import type { ValueSchema } from "../base/value-schema.ts";
import { type MethodName, methodNames } from "../methods/index.ts";
import type { ConfigField } from "./key.ts";
import { CONFIG_KEYS, defaultText, fieldOf } from "./keys.ts";
import { isForeign, METHOD_FIELDS } from "./method-keys.ts";
import type { ConfigKey } from "./run-config.ts";

/** A schema as plain JSON. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** Whether what the key accepts depends on the objective. */
const isOfMethod = (key: ConfigKey): boolean => key !== "objective" && Object.hasOwn(METHOD_FIELDS, key);

/** The schema of a file with a run's configuration. */
export function configSchema(): JsonSchema {
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "A training run of preftune",
    type: "object",
    properties: Object.fromEntries(CONFIG_KEYS.map((key) => [key, described(key)])),
    required: CONFIG_KEYS.filter((key) => mustBeGiven(fieldOf(key))),
    additionalProperties: false,
    allOf: methodNames.map((name, i) => ({
      if: hasObjective(name, i === 0),
      // biome-ignore lint/suspicious/noThenProperty: JSON Schema's word
      then: ofMethod(name),
    })),
  };
}

function mustBeGiven(field: ConfigField): boolean {
  return field.rule === undefined && !("default" in field);
}

/** A key for editors. What a method's key accepts depends on the objective, and is said there. */
function described(key: ConfigKey): JsonSchema {
  const field = fieldOf(key);
  const { doc, expected, schema } = field;
  const value = mustBeGiven(field) ? "It must be given." : `Default: ${defaultText(field)}.`;
  const description = `${doc}\nExpected: ${expected}. ${value}`;
  return { description, ...(isOfMethod(key) ? {} : accepted(schema)) };
}

/** True for a file with this objective; the default one's need not say it. */
function hasObjective(name: MethodName, isDefault: boolean): JsonSchema {
  return { properties: { objective: { const: name } }, ...(isDefault ? {} : { required: ["objective"] }) };
}

/** What the keys of methods accept with this objective; the keys of others are refused. */
function ofMethod(name: MethodName): JsonSchema {
  const schemaOf = (key: ConfigKey): JsonSchema | false =>
    isForeign(name, key) ? false : accepted(fieldOf(key, name).schema);
  return {
    properties: Object.fromEntries(CONFIG_KEYS.filter(isOfMethod).map((key) => [key, schemaOf(key)])),
  };
}

/**
 * What a file may say: `schema` is of the value after it was read. A part with a default can be left out, and where objects are
 * listed, one alone stands for a list of one, and text for an object with its first part.
 */
function accepted(schema: ValueSchema): JsonSchema {
  const { $schema: _, default: __, required, items, anyOf, properties, ...rest } = schema as Written;
  if (anyOf !== undefined) return { ...rest, anyOf: anyOf.map(accepted) };
  if (items?.properties !== undefined) {
    const [text = {}] = Object.values(items.properties);
    const one = { anyOf: [accepted(text), accepted(items)] };
    return { anyOf: [...one.anyOf, { ...rest, items: one }] };
  }
  const parts = Object.entries(properties ?? {});
  return {
    ...rest,
    ...(items === undefined ? {} : { items: accepted(items) }),
    ...(properties === undefined
      ? {}
      : { properties: Object.fromEntries(parts.map(([name, part]) => [name, accepted(part)])) }),
    ...(required === undefined
      ? {}
      : { required: required.filter((name) => !("default" in (properties?.[name] ?? {}))) }),
  };
}

/** A schema as zod may write it. */
type Written = ValueSchema & {
  $schema?: string;
  required?: readonly string[];
  anyOf?: readonly ValueSchema[];
};
