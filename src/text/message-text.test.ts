/** What people and judges read of tools: every word of them, numbers as spelled. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseJson } from "./json.ts";
import { toolsText } from "./message-text.ts";

const read = (text: string) => toolsText(parseJson(text) as unknown[]);

test("a tool is its name, what it does and its parameters, with or without OpenAI's object around it", () => {
  const inner = '{"name":"weather","description":"Now.","parameters":{"maximum":100.0}}';
  const text = 'weather: Now.\n{"maximum":100.0}';
  assert.equal(read(`[{"type":"function","function":${inner}}]`), text);
  assert.equal(read(`[${inner},{"name":"stop"}]`), `${text}\n\nstop`);
});

test("a tool with anything else stands whole, as JSON", () => {
  for (const tool of [
    '{"type":"function","function":{"name":"a","strict":true}}',
    '{"type":"function","function":{"name":"a"},"cache":1}',
    '{"name":["a"]}',
    '{"name":"a","description":{"en":"A"}}',
    '{"type":"web_search"}',
  ])
    assert.equal(read(`[${tool}]`), tool);
});
