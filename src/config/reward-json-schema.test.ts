/** JSON Schemas are checked as they say, or refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { schemaCheck } from "./reward-json-schema.ts";

test("what would not be checked is refused, with its place and what to write", () => {
  const a = { type: "integer" };
  const refused: [object, RegExp][] = [
    [{ type: "object", required: ["a"] }, /required has a, which properties has not/],
    [{ type: "object", required: ["a", "b"], properties: { a } }, /required has b/],
    [{ properties: { a } }, /properties without type: object/],
    [{ required: ["a"], type: "array" }, /required without type: object/],
    [{ minimum: 3 }, /minimum without type: number/],
    [{ maxItems: 3, type: "object" }, /maxItems without type: array/],
    [
      { anyOf: [{ type: "string" }, { type: "null" }], minLength: 4, type: "string" },
      /minLength beside anyOf/,
    ],
    [{ allOf: [{ required: ["a"] }, { type: "object" }] }, /at allOf\.0: required without type/],
    [{ type: "object", properties: { b: { minimum: 1 } } }, /at properties\.b: minimum/],
    [{ type: "array", items: { pattern: "a" } }, /at items: pattern without type: string/],
    [{ enum: [{ a: 1 }] }, /an object or a list in enum or const/],
    [{ const: [1] }, /an object or a list in enum or const/],
    [{ type: "object", properties: {}, if: {} }, /./],
    [{ type: "array", minItems: 2 }, /minItems without items.*Add items, as \{\}/],
    [{ type: ["array", "null"], maxItems: 2 }, /maxItems without items/],
    [{ type: "array", prefixItems: [{}], minItems: 1 }, /minItems with a listed item that may be any value/],
    [{ type: "string", enum: ["a"], pattern: "b" }, /pattern beside enum/],
    [{ type: "integer", const: 1, minimum: 2 }, /minimum beside const/],
    [{ enum: ["a"], const: "b" }, /const beside enum/],
    [{ type: "integer", enum: [1, "a"] }, /"a" in enum or const is of another type than integer/],
    [{ type: "string", const: 1 }, /1 in enum or const is of another type than string/],
    [{ $ref: "#/$defs/a", $defs: { a }, minimum: 3 }, /minimum beside \$ref/],
    [{ type: "object", dependencies: { a: ["b"] } }, /unknown keyword dependencies/],
    [{ type: "object", requird: ["a"] }, /unknown keyword requird.* Did you mean "required"/],
    [{ type: "object", propertie: { a } }, /Did you mean "properties"/],
    [
      { type: "string", format: "phone" },
      /format phone, which is not checked here.*Describe another by pattern/,
    ],
    [{ type: "string", format: "regex" }, /format regex/],
    [{ type: "string", nullable: true }, /unknown keyword nullable/],
    [{ type: "array", items: {}, minItems: "2" }, /expected a number in minItems, got "2"/],
    [{ type: "array", items: "string" }, /at items: expected a schema .*got "string"/],
    [{ anyOf: { type: "string" } }, /expected a list in anyOf/],
    [
      { type: "object", patternProperties: { "^x": {} }, additionalProperties: { type: "string" } },
      /additionalProperties with a schema beside patternProperties/,
    ],
  ];
  for (const [schema, told] of refused) {
    assert.throws(() => schemaCheck(schema), told, JSON.stringify(schema));
  }
});

test("the rest is checked: required names, types of several, defaults that fill nothing in, properties named default", () => {
  const number = { type: "integer", minimum: 2, default: 3 };
  const cases: [object, unknown, boolean][] = [
    [{ type: "object", properties: { a: number }, required: ["a"] }, {}, false],
    [{ type: "object", properties: { a: number }, required: ["a"] }, { a: 2 }, true],
    [{ type: "object", properties: { a: number }, required: ["a"] }, { a: 1 }, false],
    [{ type: "object", properties: { a: number } }, { b: 1 }, true],
    [{ type: "object", properties: { a: {} }, required: ["a"] }, {}, false],
    [{ type: "object", properties: { default: number }, required: ["default"] }, { default: 1 }, false],
    [{ type: ["string", "null"], minLength: 2 }, null, true],
    [{ type: ["string", "null"], minLength: 2 }, "a", false],
    [{ anyOf: [{ type: "string" }, { type: "integer" }], title: "id" }, 1.5, false],
    [{ type: "array", items: { type: "string" }, minItems: 1 }, [], false],
    [{ type: "array", items: {}, minItems: 2 }, [1], false],
    [{ type: "array", items: {}, minItems: 2 }, [1, "a"], true],
    [{ type: "array", prefixItems: [{ type: "string" }], minItems: 1 }, [], false],
    [{ type: ["integer", "string"], enum: ["a", 1], title: "id" }, "b", false],
    [{ type: "string", format: "date", "x-order": 1 }, "2026-02-30", false],
    [{ type: "number", const: 1 }, 1, true],
    [{ enum: ["a", 1, null] }, null, true],
    [{ const: "a", default: "b" }, "b", false],
  ];
  for (const [schema, value, fits] of cases) {
    assert.equal(
      schemaCheck(schema).safeParse(value).success,
      fits,
      `${JSON.stringify(schema)} ${JSON.stringify(value)}`,
    );
  }
});
