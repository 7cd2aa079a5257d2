import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";

import { JsonError, parseJson } from "./json.ts";

function refusal(text: string): string {
  try {
    parseJson(text);
  } catch (error) {
    assert.ok(error instanceof JsonError, String(error));
    return `${error.fault}: ${error.message}`;
  }
  return "none";
}

test("a key given twice is refused at any depth, however it is written", () => {
  const texts = [
    `{"a": 1, "a": 1}`,
    `{"b": [{"c": 0}, {"a": 1, "x": {"a": 2}, "a": 3}]}`,
    `{"a": 1, "\\u0061": 2}`,
    `{"a" : "\\"a\\":1", "a"\n: 2}`,
    `{${Array.from({ length: 40 }, (_, i) => `"k${i}": 0`).join()}, "a": 1, "k39": 2, "a": 0}`,
  ];
  for (const text of texts.slice(0, 4)) {
    assert.match(refusal(text), /^meaning: it gives the key "a" twice\. Take one of them out$/);
  }
  assert.match(refusal(texts[4] ?? ""), /the key "k39" twice/);
  const fine = [
    `{"a": {"a": [{"a": 1}, {"a": 1}]}, "b": "a", "c": "\\"c\\": 1, \\"c\\": 2"}`,
    `["a", "a"]`,
    `"a"`,
  ];
  for (const text of fine) assert.equal(refusal(text), "none");
  assert.match(refusal(`{"a": 1, "a": `), /^syntax: the JSON ends too early.*[^.?]$/);
});

test("half of a surrogate pair is refused in values and in keys, a whole pair is one character", () => {
  // json.loads("\"\\ud83d\"").encode() raises UnicodeEncodeError in Python 3.11, for each of these
  for (const text of [
    `"\\ud83d"`,
    `["\\ude00"]`,
    `{"a": ["x \\uD83D y"]}`,
    `{"\\udfff": 1}`,
    `"\\ude00\\ud83d"`,
  ]) {
    assert.match(
      refusal(text),
      /^meaning: it has \\ud[0-9a-f]{3}, half of a surrogate pair and no character/,
    );
  }
  assert.match(refusal(`"\\\\ud83d\\ude00"`), /^meaning: it has \\ude00/);
  assert.equal(parseJson(`"\\ud83d\\ude00"`), "😀");
  assert.equal(parseJson(`"\\\\ud83d"`), "\\ud83d");
  assert.match(refusal(`{"n": 1.0, "a": "\\ud8001.0"}`), /^meaning: it has \\ud800/);
});

test("what Python writes and JSON does not know is named", () => {
  for (const [text, word] of [
    [`{"a": NaN}`, "NaN"],
    [`[1, Infinity]`, "Infinity"],
    [`{"a": {"b": -Infinity}}`, "-Infinity"],
  ]) {
    assert.equal(refusal(text ?? ""), `syntax: it has ${word}, which JSON does not know; write null`);
  }
  assert.equal(parseJson(`"NaN"`), "NaN");
  assert.match(refusal("1e400"), /^meaning: it has a number beyond the largest float/);
  for (const sign of ["", "-"]) {
    assert.equal(refusal(sign + "1".repeat(4300)), "none");
    assert.match(refusal(sign + "1".repeat(4301)), /^meaning: it has an integer of more than 4300 digits/);
  }
  assert.match(refusal("[".repeat(1000) + "]".repeat(1000)), /^meaning: it is nested more than 900 deep/);
});

test("what is no JSON is refused, numbers that are none among them", () => {
  for (const text of [
    "01.0",
    "1.",
    ".5",
    "1.0.0",
    "[1.0 2.0]",
    "{1.0: 2}",
    "+1.0",
    "1e",
    "--1.0",
    "[1.0",
    "1.0]",
    "-",
  ]) {
    assert.match(refusal(text), /^syntax: /, text);
  }
});

test("keys with escapes are what they say, whatever was parsed before", () => {
  // In Node 24 JSON.parse(`{"b":1,"\\n":2}`) gives the key "\\" after the first of these.
  const texts = [
    `{"b": 1, "\\\\": 2}`,
    `{"b": 1, "\\n": 2}`,
    `{"b": 1, "\\u0061": 2.0}`,
    `{"key 0": 1, "\\t": {"\\"": 1}}`,
  ];
  const keys = [
    ["b", "\\"],
    ["b", "\n"],
    ["b", "a"],
    ["key 0", "\t"],
  ];
  for (let round = 0; round < 3; round++) {
    assert.deepEqual(
      texts.map((text) => Object.keys(parseJson(text) as object)),
      keys,
    );
  }
});

test("everything else is what JSON.parse gives", () => {
  fc.assert(
    fc.property(fc.json({ stringUnit: "binary" }), (text) => {
      const value = parseJson(text);
      assert.deepEqual(JSON.parse(JSON.stringify(value)), JSON.parse(text));
    }),
  );
  assert.deepEqual(Object.keys(parseJson(`{"__proto__": 1.0, "b": 2.0}`) as object), ["__proto__", "b"]);
});
