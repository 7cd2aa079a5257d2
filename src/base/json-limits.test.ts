/** Tests of json-limits.ts: what is counted, and that a bomb is refused before it is parsed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FormatError } from "./errors.ts";
import { type JsonLimits, requireJsonLimits } from "./json-limits.ts";

const limits: JsonLimits = { bytes: 1000, depth: 4, members: 3, elements: 5, parts: 8 };

function check(text: string): void {
  requireJsonLimits(Buffer.from(text), "x.json", limits);
}

test("members, elements, depth and parts are counted, what stands in strings is not", () => {
  for (const text of ['{"a":1,"b":2,"c":3}', "[1,2,3,4,5]", "[[[[]]]]", '["[[[[[[,,,,,,\\",,,,{{{{"]', "{}"])
    check(text);
  const refused: [string, RegExp][] = [
    ['{"a":1,"b":2,"c":3,"d":4}', /x\.json: expected JSON with at most 3 members in one object, it has more/],
    ["[1,2,3,4,5,6]", /at most 5 elements in one list/],
    ["[[[[[]]]]]", /at most 4 lists and objects inside one another/],
    ["[[],[],[],[[],[],[],[]]]", /at most 8 lists and objects/],
  ];
  for (const [text, message] of refused) assert.throws(() => check(text), message);
});

test("any text at all is counted without a fault", () => {
  const unit = fc.constantFrom("[", "]", "{", "}", ",", ":", '"', "\\", "1", "a");
  fc.assert(
    fc.property(fc.string({ unit, maxLength: 60 }), (text) => {
      try {
        check(text);
      } catch (error) {
        assert.ok(error instanceof FormatError);
      }
    }),
  );
});
