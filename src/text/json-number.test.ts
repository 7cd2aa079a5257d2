import assert from "node:assert/strict";
import test from "node:test";

import { compileTemplate } from "./jinja/compile.ts";
import { parseJson } from "./json.ts";
import { JsonNumber, numberOf } from "./json-number.ts";
import { createRenderer } from "./template.ts";

/**
 * A number in JSON, and what `str(json.loads(it))` and `json.dumps(json.loads(it))` give in a chat template of
 * transformers 5.23.0 (jinja2 3.1.6, Python 3.11): the same text for both.
 */
const spellings: readonly (readonly [json: string, python: string])[] = [
  ["1", "1"],
  ["-1", "-1"],
  ["-0", "0"],
  ["0.0", "0.0"],
  ["-0.0", "-0.0"],
  ["1.0", "1.0"],
  ["1.5", "1.5"],
  ["0.1", "0.1"],
  ["100.0", "100.0"],
  ["1E5", "100000.0"],
  ["1e5", "100000.0"],
  ["1e15", "1000000000000000.0"],
  ["1e16", "1e+16"],
  ["123456789012345.0", "123456789012345.0"],
  ["12345678901234567.5", "1.2345678901234568e+16"],
  ["1e-4", "0.0001"],
  ["1e-5", "1e-05"],
  ["1e-07", "1e-07"],
  ["-1.5e-9", "-1.5e-09"],
  ["2.5e+20", "2.5e+20"],
  ["1e21", "1e+21"],
  ["1.0e22", "1e+22"],
  ["5e-324", "5e-324"],
  ["1.7976931348623157e308", "1.7976931348623157e+308"],
  ["9007199254740991", "9007199254740991"],
  ["9007199254740992", "9007199254740992"],
  ["9007199254740993", "9007199254740993"],
  ["-9007199254740993", "-9007199254740993"],
  ["1234567890123456789", "1234567890123456789"],
  ["123456789012345678901234567890", "123456789012345678901234567890"],
  ["3.141592653589793238", "3.141592653589793"],
  ["0.30000000000000004", "0.30000000000000004"],
];

const source =
  "{% for v in messages[0].tool_calls %}{{ v }}|{{ v | tojson }}|{{ [v] | tojson }}\n{% endfor %}";
const values = `[${spellings.map(([json]) => json).join(", ")}]`;
const expected = spellings.map(([, python]) => `${python}|${python}|[${python}]\n`).join("");

test("numbers keep the spelling that Python gives them, in this process and in the child's", async () => {
  const messages = [{ role: "assistant", content: "", tool_calls: parseJson(values) as unknown[] }] as const;
  assert.equal(compileTemplate(source)({ variables: { messages }, now: 0 }), expected);
  await using renderer = createRenderer(source);
  assert.equal(renderer.family, null);
  const [text] = await renderer.render([{ messages, addGenerationPrompt: false }]);
  assert.equal(text, expected);
});

test("JSON.stringify writes numbers as Python does, and reading them again gives the same", () => {
  const numbers = parseJson(values) as unknown[];
  assert.deepEqual(parseJson(JSON.stringify(numbers)), numbers);
  const exact = ["1234567890123456789", "1.0", "-0.0", "2.5e+20"];
  assert.equal(JSON.stringify(parseJson(`[${exact.join(",")}]`)), `[${exact.join(",")}]`);
});

test("numbers compute and compare as numbers in templates", () => {
  const template = compileTemplate(
    "{{ x + 1 > 1 }} {{ x == 2 }} {{ x == y }} {{ 'yes' if zero else 'no' }} {{ big == same }} {{ x | int }}",
  );
  const variables = parseJson(
    `{"x": 2.0, "y": 2.0, "zero": 0.0, "big": 1234567890123456789, "same": 1234567890123456789}`,
  ) as Record<string, unknown>;
  // transformers writes True and False with a capital; that is not what is tested here
  assert.equal(template({ variables, now: 0 }).toLowerCase(), "true true true no true 2");
});

test("numberOf takes every number and nothing else", () => {
  assert.deepEqual(
    ["1", "1.5", "-2.0", "1e3", "9007199254740993"].map((text) => numberOf(parseJson(text))),
    [1, 1.5, -2, 1000, 9007199254740992],
  );
  assert.deepEqual([null, "1", true, {}, [1]].map(numberOf), [null, null, null, null, null]);
  assert.equal(String(JsonNumber.float(1e22)), "1e+22");
});

test("keys reach the child as they are, whatever came before", async () => {
  await using renderer = createRenderer("{{ x | tojson }}");
  const written: string[] = [];
  for (const x of [
    { b: 1, "\\": 2 },
    { b: 1, "\n": 2 },
    { b: 1, '"': 2 },
  ]) {
    const request = { messages: [], variables: { x }, addGenerationPrompt: false };
    written.push(...(await renderer.render([request])));
  }
  assert.deepEqual(written, ['{"b": 1, "\\\\": 2}', '{"b": 1, "\\n": 2}', '{"b": 1, "\\"": 2}']);
});
