import assert from "node:assert/strict";
import test from "node:test";

import { DataError } from "../base/errors.ts";
import { contentText } from "./message-text.ts";
import { parseMessages, parseTools, templateKeys } from "./messages.ts";

const where = "pairs.jsonl:7, prompt";
const fails = (value: unknown, pattern: RegExp): void => {
  assert.throws(
    () => parseMessages(value, where),
    (error) => error instanceof DataError && error.message.startsWith(where) && pattern.test(error.message),
  );
};

test("reads messages, keeps unknown keys for the template and leaves empty optional ones out", () => {
  const value = [
    { role: "user", content: "hi", tool_plan: "none", name: null, tool_calls: null },
    { role: "assistant", content: null, tool_calls: [{ id: "1" }], reasoning_content: "hm" },
    {
      role: "tool",
      content: [
        { type: "text", text: "a" },
        { type: "text", text: "b" },
      ],
      tool_call_id: "1",
    },
  ];
  const messages = parseMessages(value, where);
  assert.deepEqual(messages[0], { role: "user", content: "hi", tool_plan: "none" });
  assert.deepEqual(messages[1], {
    role: "assistant",
    content: "",
    tool_calls: [{ id: "1" }],
    reasoning_content: "hm",
  });
  assert.equal(contentText(messages[2] ?? { role: "user", content: "" }), "ab");
});

test("thinking under any of its three names is reasoning_content; a second text of it is a key for the template", () => {
  const turn = { role: "assistant", content: "x" };
  const read = (keys: object) => parseMessages([{ ...turn, ...keys }], where)[0] ?? assert.fail();
  assert.deepEqual(read({ thinking: "t", reasoning: null }), {
    ...turn,
    thinking: "t",
    reasoning_content: "t",
  });
  assert.deepEqual(templateKeys(read({ reasoning: "r" })), []);
  const both = read({ reasoning: "r", thinking: "t" });
  assert.equal(both.reasoning_content, "t");
  assert.deepEqual(templateKeys(both), ["reasoning"]);
  fails([{ ...turn, thinking: ["t"] }], /"thinking" to be a string, got a list/);
});

test("refuses what is no list of messages", () => {
  fails("hi", /expected a list of messages .* got a string/);
  fails([], /at least one message, got an empty list/);
  fails(["hi"], /message 1: expected an object/);
});

test("refuses unknown roles with a suggestion", () => {
  fails([{ role: "asistant", content: "" }], /message 1: .*got "asistant"\. Did you mean "assistant"\?/);
  fails([{ from: "human", value: "x" }], /ShareGPT.*"human" to "user"/);
});

test("refuses content that is not text, by name", () => {
  fails([{ role: "user", content: [{ type: "image", image: "x.png" }] }], /part 1: .*got "image"/);
  fails([{ role: "user" }], /expected "content" to be a string .*got nothing/);
  fails([{ role: "user", content: null }], /got null/);
  fails([{ role: "user", content: "x", tool_calls: "f" }], /"tool_calls" to be a list/);
  fails([{ role: "user", content: "x", name: 3 }], /"name" to be a string, got number 3/);
});

test("reads tools as a list or as JSON", () => {
  const tools = [{ type: "function" }];
  assert.deepEqual(parseTools(tools, where), tools);
  assert.deepEqual(parseTools(JSON.stringify(tools), where), tools);
  for (const nothing of [undefined, null, "", "null"]) assert.equal(parseTools(nothing, where), null);
  for (const empty of [[], "[]"]) assert.deepEqual(parseTools(empty, where), []);
  assert.throws(() => parseTools("[{", where), /a string that is not JSON/);
  assert.throws(() => parseTools('{"a":1}', where), /a list of tool descriptions, got an object/);
  assert.throws(() => parseTools(["add"], where), /tool 1 to be an object, got a string/);
});

test("whether a message counts in the loss: OpenAI's weight and Axolotl's train are one thing", () => {
  const turn = { role: "assistant", content: "x" };
  const weight = (keys: object) => parseMessages([{ ...turn, ...keys }], where)[0]?.weight;
  for (const keys of [{ weight: 0 }, { train: false }, { training: false }, { loss_weight: 0 }]) {
    assert.equal(weight(keys), 0, JSON.stringify(keys));
  }
  assert.equal(weight({ weight: 1, train: true }), 1);
  assert.equal(weight({ weight: null }), undefined);
  fails([{ ...turn, weight: 0.5 }], /"weight" to be 0 or 1, got number 0.5/);
  fails([{ ...turn, weight: "0" }], /"weight" to be 0 or 1/);
  fails([{ ...turn, train: 0 }], /"train" to be true or false/);
  fails([{ ...turn, weight: 0, train: true }], /one answer to whether it counts in the loss, got two/);
  fails([{ role: "user", content: "x", train: true }], /only messages of the assistant .* got one of user/);
  assert.equal(parseMessages([{ role: "user", content: "x", weight: 0 }], where)[0]?.weight, 0);
  fails([{ ...turn, training_detail: [{ begin_offset: 0 }] }], /no "training_detail", got a list/);
});

test("keys whose content would be lost are refused, empty ones let pass", () => {
  const turn = { role: "assistant", content: "x" };
  fails([{ ...turn, images: ["a.png"] }], /message 1: expected no "images", got a list/);
  fails([{ ...turn, function_call: { name: "f" } }], /Write it as "tool_calls"/);
  fails([{ ...turn, content: null, refusal: "No." }], /put its text in "content"/);
  fails([{ ...turn, audio: { id: "1" } }], /no "audio", got an object/);
  const [message] = parseMessages(
    [{ ...turn, refusal: null, audio: null, images: [], tool_plan: "hm" }],
    where,
  );
  assert.deepEqual(message, { ...turn, tool_plan: "hm" });
});

test("NaN, infinite numbers, dates and bytes, which Parquet can hold, are refused where a template would write them", () => {
  const message = {
    role: "assistant",
    content: "",
    tool_calls: [{ function: { name: "f", arguments: { x: [1, { y: Number.NaN }] } } }],
  };
  assert.throws(
    () => parseMessages([message], "a.parquet:1"),
    /a\.parquet:1, message 1: expected values that JSON can hold, got NaN or Infinity/,
  );
  const tool = { type: "function", function: { name: "f", limit: Number.POSITIVE_INFINITY } };
  assert.throws(() => parseTools([tool], "a.parquet:2"), /a\.parquet:2: .*got NaN or Infinity/);
  for (const [value, word] of [
    [new Date(0), /got a date/],
    [Uint8Array.of(1), /got bytes/],
  ] as const) {
    assert.throws(() => parseTools([{ type: "function", function: { name: "f", value } }], "a"), word);
  }
});

test("keys keep the order of the row, as templates that write whole messages show it", () => {
  const message = {
    content: null,
    tool_calls: [{ function: { name: "f" } }],
    note: "n",
    role: "assistant",
    thinking: "t",
  };
  const [parsed] = parseMessages([message], "row");
  assert.deepEqual(Object.keys(parsed ?? {}), [...Object.keys(message), "reasoning_content"]);
});
