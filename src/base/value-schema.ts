/**
 * What a value of the configuration may be, as a JSON Schema (draft 2020-12) written `as const`: zod checks by it, messages
 * and documentation are worded by it, and its TypeScript type follows here. `isolatedDeclarations` exports the type of a
 * literal, not of an expression such as `z.int().min(1)` (docs/decisions/0027).
 */

import type { z } from "zod";

type TypeName = "number" | "integer" | "boolean" | "string" | "null" | "array" | "object";

/** The part of JSON Schema that configurations use. */
export interface ValueSchema {
  type?: TypeName | readonly TypeName[];
  enum?: readonly (string | null)[];
  anyOf?: readonly ValueSchema[];
  minimum?: number;
  exclusiveMinimum?: number;
  maximum?: number;
  exclusiveMaximum?: number;
  minLength?: number;
  pattern?: string;
  items?: ValueSchema;
  minItems?: number;
  /** Each has a default. */
  properties?: Readonly<Record<string, ValueSchema>>;
  additionalProperties?: false;
  default?: unknown;
}

/** The type of the values that a schema accepts, defaults filled in. */
export type ValueOf<Schema> = Schema extends z.ZodType
  ? z.infer<Schema>
  : Schema extends { enum: readonly (infer Word)[] }
    ? Word
    : Schema extends { anyOf: readonly (infer Part)[] }
      ? ValueOfEach<Part>
      : Schema extends { properties: infer Properties }
        ? { -readonly [Name in keyof Properties]: ValueOf<Properties[Name]> }
        : Schema extends { items: infer Item }
          ? ValueOf<Item>[]
          : Schema extends { type: infer Type }
            ? Named<Type extends readonly (infer One)[] ? One : Type>
            : never;

type ValueOfEach<Part> = Part extends unknown ? ValueOf<Part> : never;

type Named<Type> = Type extends "number" | "integer"
  ? number
  : Type extends "boolean"
    ? boolean
    : Type extends "string"
      ? string
      : null;

/** The types of the values of a table of keys, each with its `schema` (declared `as const`). */
export type ValuesOf<Keys> = {
  -readonly [Key in keyof Keys]: Keys[Key] extends { schema: infer Schema } ? ValueOf<Schema> : never;
};
