/** The messages of a chat request: OpenAI's forms, and what is refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { JsonNumber } from "../text/json-number.ts";
import { ApiError } from "./api-error.ts";
import { chatMessages } from "./chat-messages.ts";

const call = (given: unknown) => ({ id: "1", type: "function", function: { name: "f", arguments: given } });

test("an answer that calls tools may have no content; an answer as OpenAI's clients send it back is taken", () => {
  for (const content of [null, undefined, ""]) {
    const [message] = chatMessages([{ role: "assistant", content, tool_calls: [call("{}")] }]);
    assert.equal(message?.content, "");
    assert.deepEqual(message?.tool_calls, [call({})]);
  }
  const back = { refusal: null, annotations: [], audio: null, function_call: null, tool_calls: null };
  assert.deepEqual(chatMessages([{ role: "assistant", content: "hi", ...back }]), [
    { role: "assistant", content: "hi" },
  ]);
});

test("the arguments of a call are JSON in a string: templates get the object, numbers as they are spelled", () => {
  const argumentsOf = (given: unknown) =>
    chatMessages([{ role: "assistant", content: "", tool_calls: [call(given)] }])[0]?.tool_calls?.[0];
  assert.deepEqual(argumentsOf('{"a": [1, "x"]}'), call({ a: [1, "x"] }));
  assert.deepEqual(argumentsOf('{"a": 1.0}'), call({ a: JsonNumber.float(1) }));
  assert.deepEqual(argumentsOf(""), call({}));
  assert.deepEqual(argumentsOf({ a: 1 }), call({ a: 1 }));
  assert.throws(
    () => argumentsOf('{"a": 1, "5": 2}'),
    /message 1, the arguments of a tool call: expected keys whose order/,
  );
});

test("content parts, names, tool messages and every role are taken as they are", () => {
  const messages = [
    { role: "developer", content: "be brief" },
    { role: "system", content: [{ type: "text", text: "be kind" }] },
    {
      role: "user",
      content: [
        { type: "text", text: "a" },
        { type: "text", text: "b", annotations: [] },
      ],
      name: "Ann",
    },
    { role: "assistant", content: "c", reasoning_content: "hm" },
    { role: "assistant", content: "d", reasoning_content: "so", reasoning: "so" },
    { role: "tool", content: "3", tool_call_id: "1" },
  ];
  const withoutEmpty = JSON.parse(JSON.stringify(messages).replace(',"annotations":[]', "")) as unknown;
  assert.deepEqual(chatMessages(messages), withoutEmpty);
});

test("what would be lost is refused, with the message it is in", () => {
  const user = { role: "user", content: "hi" };
  const wrong: [object, RegExp, string][] = [
    [{ ...user, weight: 0 }, /messages\[1\]\.weight/, "unsupported_parameter"],
    [
      { ...user, cache_control: { type: "ephemeral" } },
      /messages\[1\]\.cache_control/,
      "unsupported_parameter",
    ],
    [{ role: "assistant", content: "x", refusal: "no" }, /messages\[1\]\.refusal/, "unsupported_parameter"],
    [
      { role: "assistant", content: null, function_call: { name: "f" } },
      /messages\[1\]\.function_call/,
      "unsupported_parameter",
    ],
    [{ role: "user", content: null }, /message 2: expected "content"/, "invalid_value"],
    [{ role: "assistant", content: null }, /message 2: expected "content"/, "invalid_value"],
    [
      { role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] },
      /"image_url" in messages\[1\]\.content\[0\]\. The model reads text alone/,
      "unsupported_parameter",
    ],
    [
      { role: "user", content: [{ type: "text", text: "hi", cache_control: { type: "ephemeral" } }] },
      /messages\[1\]\.content\[0\]\.cache_control/,
      "unsupported_parameter",
    ],
    ...[null, "f", []].map((strange): [object, RegExp, string] => [
      { role: "assistant", content: "", tool_calls: [strange] },
      /expected objects in messages\[1\]\.tool_calls/,
      "invalid_value",
    ]),
    [{ role: "king", content: "hi" }, /message 2: expected "role" to be one of/, "invalid_value"],
    ...["user", "tool", "system"].map((role): [object, RegExp, string] => [
      { role, content: null, tool_calls: [] },
      /message 2: expected "content" to be a string .*, got null\.$/,
      "invalid_value",
    ]),
    [
      { role: "assistant", content: "", tool_calls: [call("{a")] },
      /message 2: expected the arguments of a tool call to be JSON, but/,
      "invalid_value",
    ],
  ];
  for (const [message, told, code] of wrong) {
    assert.throws(
      () => chatMessages([user, message]),
      (error: unknown) => {
        assert.ok(error instanceof ApiError);
        assert.deepEqual([error.code, error.param], [code, "messages"], error.message);
        assert.match(error.message, told);
        return true;
      },
    );
  }
});
