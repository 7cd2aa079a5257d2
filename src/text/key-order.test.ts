import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { DataError } from "../base/errors.ts";
import { parsePythonLiteral } from "../data/python-literal.ts";
import { parseJson } from "./json.ts";
import { markedAs, objectOf } from "./key-order.ts";
import { parseMessages, parseTools, refuseReordered } from "./messages.ts";

const refusal = (value: unknown): string => {
  try {
    refuseReordered(value, "a.jsonl:1");
  } catch (error) {
    assert.ok(error instanceof DataError);
    return error.message;
  }
  return "none";
};

test("a whole number as a key behind others is refused, however deep and in either notation", () => {
  const expected = /^a\.jsonl:1: expected keys whose order is kept, got "2024", a whole number/;
  for (const text of [
    '{"y": "a", "2024": 1}',
    '{"a": [0, {"x": {"3000": 1, "2024": 2}}]}',
    '{"y": "a", "\\u0032024": 1}',
    '{"n": 1.0, "2024": 1}',
  ]) {
    assert.match(refusal(parseJson(text)), expected, text);
  }
  assert.match(refusal(parsePythonLiteral("{'y': 'a', '2024': 1}")), expected);
});

test("keys that keep their order are let be, and every value is what it was", () => {
  for (const text of [
    '{"1": "a", "2024": 1, "y": 2}',
    '{"y": 1, "02": 2, "-1": 3, "1.5": 4, "4294967296000000000": 5, "2nd": 6}',
    '["2", {"y": "2"}]',
  ]) {
    assert.equal(refusal(parseJson(text)), "none", text);
    assert.equal(JSON.stringify(parseJson(text)), JSON.stringify(JSON.parse(text)), text);
  }
  assert.deepEqual(Object.entries(parseJson('{"b": 1, "5": 2}') as object), [
    ["5", 2],
    ["b", 1],
  ]);
});

test("an object is marked exactly where its keys are out of order", () => {
  const key = fc.oneof(fc.nat(20).map(String), fc.string({ maxLength: 3 }));
  const entries = fc.uniqueArray(fc.tuple(key, fc.nat(9)), { selector: ([name]) => name });
  fc.assert(
    fc.property(entries, (pairs) => {
      const text = `{${pairs.map(([name, value]) => `${JSON.stringify(name)}: ${value}`).join(", ")}}`;
      const isKept = Object.keys(Object.fromEntries(pairs)).every((name, i) => name === pairs[i]?.[0]);
      assert.equal(refusal(parseJson(text)) === "none", isKept, text);
    }),
  );
});

test("copies keep the mark; of an object whose order is lost a whole number beside others is doubtful", () => {
  const object = objectOf([
    ["y", 1],
    ["5", 2],
  ]);
  assert.match(refusal({ ...object, z: 3 }), /got "5"/);
  assert.match(refusal(markedAs(object, { a: 1 })), /got "5"/);
});

test("calls and tools are looked at", () => {
  const args = parseJson('{"y": "a", "2024": 1}');
  const message = {
    role: "assistant",
    content: "",
    tool_calls: [{ function: { name: "f", arguments: args } }],
  };
  assert.throws(
    () => parseMessages([message], "a"),
    /^DataError: a, message 1: expected keys whose order is kept/,
  );
  const tools = parseJson('[{"function": {"name": "f", "parameters": {"b": 1, "1": 2}}}]');
  assert.throws(() => parseTools(tools, "a"), /^DataError: a: expected keys whose order is kept, got "1"/);
});
