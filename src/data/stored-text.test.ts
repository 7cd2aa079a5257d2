/** Conversations that a string column holds as text. Python's and NumPy's notations are those of pandas' `to_csv`. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { JsonNumber } from "../text/json-number.ts";
import { parsePythonLiteral } from "./python-literal.ts";
import { normaliseRow } from "./rows.ts";
import { messagesInText } from "./stored-text.ts";

const origin = { file: "rows.csv", line: 3 };
const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });

function read(value: Record<string, unknown>, isText: boolean) {
  return normaliseRow({ origin, value, isText }, { task: "preference" });
}

const written: [string, string][] = [
  ["JSON", `[{"role": "user", "content": "It's \\"so\\""}]`],
  ["JSON of one message", `{"role": "user", "content": "It's \\"so\\""}`],
  ["JSON of JSON", JSON.stringify(JSON.stringify([user(`It's "so"`)]))],
  ["Python", `[{'role': 'user', 'content': 'It\\'s "so"'}]`],
  ["Python with keys turned round", `[{'content': 'It\\'s "so"', 'role': 'user'}]`],
  ["Python of one message", `{'content': 'It\\'s "so"', 'role': 'user'}`],
  ["ShareGPT in Python's notation", `[{'from': 'human', 'value': 'It\\'s "so"'}]`],
  ["an array in an array", `array([{'content': 'It\\'s "so"', 'role': 'user'}],\n      dtype=object)`],
];

for (const [name, text] of written) {
  test(`messages as text are read as messages: ${name}`, () => {
    for (const isText of [true, false]) {
      const { source } = read({ prompt: text, chosen: "yes", rejected: "no" }, isText);
      assert.ok(source?.kind === "chat");
      assert.deepEqual(source.prompt, [user(`It's "so"`)]);
      assert.deepEqual(source.completions, [[assistant("yes")], [assistant("no")]]);
    }
  });
}

test("NumPy's arrays have no commas between their items", () => {
  const text = `[{'content': 'Which colour?', 'role': 'user'}\n {'content': 'Blue.\\nOr so', 'role': 'assistant'}]`;
  assert.deepEqual(messagesInText(text, "x"), [user("Which colour?"), assistant("Blue.\nOr so")]);
});

test("what looks like messages and cannot be read is refused by column, never taken as text", () => {
  for (const text of [
    `[{"role": "user", "content": "cut`,
    `[{'role': 'user', 'content': cut}]`,
    `[{"role": "user", "content": "a", "content": "b"}]`,
    `[{"role": "user", "content": "a\\ud83d"}]`,
    `[{'role': 'user', 'content': 'a\\ud83d'}]`,
    `[{'role': 'user', 'content': 'a', '\\udc00': 'b'}]`,
    `[{'content': 'a', 'role': 'user'} ... {'content': 'b', 'role': 'assistant'}]`,
  ]) {
    for (const isText of [true, false]) {
      assert.throws(
        () => read({ prompt: "p", chosen: text, rejected: "no" }, isText),
        /^DataError: rows\.csv:3, column "chosen": expected messages, as the text begins/,
      );
    }
  }
  assert.throws(
    () => read({ prompt: "p", chosen: `[{"role": "bot", "content": "a"}]`, rejected: "b" }, false),
    /column "chosen", message 1: expected "role" to be one of/,
  );
});

test("an object as text that holds messages is no text; OpenAI's input may be text as a whole", () => {
  const input = { messages: [user("Which colour?")], tools: [{ name: "f" }], seed: 1 };
  for (const column of ["prompt", "question"]) {
    assert.throws(
      () => read({ [column]: JSON.stringify(input), chosen: "a", rejected: "b" }, false),
      /column ".*": expected messages or plain text, got an object as text that holds messages under "messages"/,
    );
  }
  const { source, columns } = read({ input: JSON.stringify(input), chosen: "a", rejected: "b" }, true);
  assert.ok(source?.kind === "chat");
  assert.deepEqual([source.prompt, source.tools], [[user("Which colour?")], [{ name: "f" }]]);
  assert.deepEqual(columns.passedOver, ["input.seed"]);
});

test("answers that are JSON are text: a journey is no message, and plain strings that are said to be text are not looked into", () => {
  const journey = '{"from": "Berlin", "value": 12}';
  const request = JSON.stringify({ messages: [user("hi")] });
  for (const value of [
    { prompt: "p", chosen: journey, rejected: request },
    { prompt: [user("p")], chosen: journey, rejected: JSON.stringify([user("hi")]) },
    { instruction: "p", output: [request, journey] },
  ]) {
    const { source } = normaliseRow({ origin, value }, { task: "preference", strings: "text" });
    assert.ok(source?.kind === "text" || source?.kind === "chat");
    const given = "output" in value ? value.output : [value.chosen, value.rejected];
    const texts = given.map((text) => (source.kind === "text" ? text : [assistant(text)]));
    assert.deepEqual(source.completions, texts);
  }
  for (const task of ["sft", "prompt"] as const) {
    const row = { origin, value: { prompt: "p", completion: request } };
    const { source } = normaliseRow(row, { task, strings: "text" });
    assert.deepEqual(source?.kind === "text" && source.completions, [request]);
  }
  const { source } = read({ prompt: "p", chosen: journey, rejected: "b" }, false);
  assert.deepEqual(source?.kind === "text" && source.completions, [journey, "b"]);
  // the setting is named where it can be set and would help: in an answer, and not in a cell of a table
  const refusal = (value: Record<string, unknown>, isText: boolean, mayTakeText: boolean): string => {
    try {
      normaliseRow({ origin, value, isText }, { task: "preference", mayTakeText });
    } catch (error) {
      return (error as Error).message;
    }
    return "none";
  };
  for (const text of [request, '[{"role": "user", "content": "cut']) {
    const answer = { prompt: "p", chosen: text, rejected: "b" };
    assert.match(refusal(answer, false, true), /; for an answer that is this text, set plain_strings: text/);
    for (const message of [
      refusal(answer, false, false),
      refusal(answer, true, true),
      refusal({ prompt: text, chosen: "a", rejected: "b" }, false, true),
    ])
      assert.match(message, /(alone into the column|as JSON)\.$/);
  }
  // A cell of a table has no other way to hold messages.
  const cell = { origin, value: { prompt: "p", chosen: JSON.stringify([assistant("a")]), rejected: "b" } };
  const { source: told } = normaliseRow({ ...cell, isText: true }, { task: "preference", strings: "text" });
  assert.deepEqual(told?.kind === "chat" && told.completions[0], [assistant("a")]);
  assert.throws(
    () => read({ prompt: '{"from": "Human", "value": "a"}', chosen: "a", rejected: "b" }, false),
    /expected "from" to be one of human/,
  );
});

test("other text that begins with a bracket stays text", () => {
  for (const text of [
    "[1] is a footnote",
    "{not json",
    '{"role": "admin"}',
    "[]",
    '["a"]',
    "{'a': 1}",
    '{"value": 3}',
  ]) {
    assert.equal(messagesInText(text, "x"), null, text);
  }
});

test("Python's literals are read as Python reads them", () => {
  // ast.literal_eval of Python 3.13 gives the same values.
  const cases: [string, unknown][] = [
    ["[1, -2.5, True, False, None]", [1, -2.5, true, false, null]],
    [
      "[1.0, 1e3, 1234567890123456789]",
      [JsonNumber.float(1), JsonNumber.float(1000), JsonNumber.integer(1234567890123456789n)],
    ],
    ["('a', \"b'c\")", ["a", "b'c"]],
    [String.raw`'\x41\u00e9\U0001f600\n\t\\\101\q'`, "A\u00e9\u{1f600}\n\t\\A\\q"],
    ["{'a': {'b': []}, }", { a: { b: [] } }],
    ["[1 2 3]", [1, 2, 3]],
  ];
  for (const [text, value] of cases) assert.deepEqual(parsePythonLiteral(text), value, text);
  for (const text of [
    "",
    "[1",
    "{'a' 1}",
    "{'a': 1, 'a': 2}",
    "'a",
    "f()",
    "[1] 2",
    "{1: 2}",
    "nan",
    "...",
  ]) {
    assert.throws(() => parsePythonLiteral(text), /not Python's notation/, text);
  }
  assert.throws(() => parsePythonLiteral("[".repeat(2000)), /nested too deep/);
});

test("ids, tools and template variables may be text too", () => {
  const ids = read({ prompt_ids: "[1 2]", chosen_ids: "[3]", rejected_ids: "(4, 5)" }, true);
  assert.deepEqual(ids.tokens?.completions, [{ ids: [3] }, { ids: [4, 5] }]);
  const row = { prompt: `[{'role': 'user', 'content': 'a'}]`, chosen: "b", rejected: "c" };
  const { source } = read(
    { ...row, tools: "[{'name': 'f'}]", chat_template_kwargs: "{'enable_thinking': False}" },
    true,
  );
  assert.ok(source?.kind === "chat");
  assert.deepEqual(source.tools, [{ name: "f" }]);
  assert.deepEqual(source.variables, { enable_thinking: false });
});
