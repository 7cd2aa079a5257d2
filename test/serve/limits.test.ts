/** What one client can do to a server: hostile bodies, sizes and numbers, more requests than there is room for, slow ones. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { faults } from "../support/scripted-engine.ts";
import { scriptedEngine, startServer, type TestServer } from "../support/servers.ts";

let server: TestServer;
before(async () => {
  server = await startServer({
    engine: scriptedEngine,
    maxRunning: 2,
    maxQueue: 2,
    timeouts: { headers: 1600, request: 2000 },
  });
});
after(() => server[Symbol.asyncDispose]());

interface Refused {
  status: number;
  param: string | null;
  code: string;
  message: string;
}

async function post(path: string, body: unknown, raw = false): Promise<Refused & { headers: Headers }> {
  const reply = await server.fetch(path, { method: "POST", body: raw ? String(body) : JSON.stringify(body) });
  const json = (await reply.json()) as { error?: Omit<Refused, "status"> };
  const { param = null, code = "", message = "" } = json.error ?? {};
  return { status: reply.status, param, code, message, headers: reply.headers };
}

const chat = { model: "tiny", messages: [{ role: "user", content: "hi" }], max_tokens: 2 };
const plain = { model: "tiny", prompt: "hi", max_tokens: 2 };

test("values out of bounds are 422 and name the field, what was expected and what came", async () => {
  const wrong: [string, object, string][] = [
    ["chat", { n: 5 }, "n"],
    ["chat", { n: 0 }, "n"],
    ["chat", { n: -1 }, "n"],
    ["chat", { n: 1.5 }, "n"],
    ["chat", { n: 1e308 }, "n"],
    ["chat", { max_tokens: 1e300 }, "max_tokens"],
    ["chat", { max_tokens: 0 }, "max_tokens"],
    ["chat", { max_completion_tokens: "many" }, "max_completion_tokens"],
    ["chat", { temperature: -0.1 }, "temperature"],
    ["chat", { temperature: 2.1 }, "temperature"],
    ["chat", { top_p: 0 }, "top_p"],
    ["chat", { top_p: 1.01 }, "top_p"],
    ["chat", { top_k: -2 }, "top_k"],
    ["chat", { min_p: 2 }, "min_p"],
    ["chat", { repetition_penalty: 0 }, "repetition_penalty"],
    ["chat", { repetition_penalty: 1e-308 }, "repetition_penalty"],
    ["chat", { stop: Array.from({ length: 33 }, (_, i) => `${i}`) }, "stop"],
    ["chat", { presence_penalty: 2.1 }, "presence_penalty"],
    ["chat", { frequency_penalty: "much" }, "frequency_penalty"],
    ["chat", { logit_bias: { "5": 101 } }, "logit_bias"],
    ["chat", { logit_bias: { a: 1 } }, "logit_bias"],
    ["chat", { logit_bias: { "264": 1 } }, "logit_bias"],
    ["chat", { stop: "" }, "stop"],
    ["chat", { stop: ["x".repeat(201)] }, "stop"],
    ["chat", { seed: 0.5 }, "seed"],
    ["chat", { stream: "yes" }, "stream"],
    ["chat", { stream_options: { include_usage: true } }, "stream_options"],
    ["chat", { stream: true, stream_options: { includ_usage: true } }, "stream_options"],
    ["chat", { stream: true, stream_options: { include_obfuscation: true } }, "stream_options"],
    ["chat", { max_tokens: 5, max_completion_tokens: 50 }, "max_tokens"],
    ["chat", { seed: 2 ** 64 }, "seed"],
    ["chat", { chat_template_kwargs: { tools: [] } }, "chat_template_kwargs"],
    ["chat", { chat_template_kwargs: { add_generation_prompt: false } }, "chat_template_kwargs"],
    ["chat", { logprobs: 3 }, "logprobs"],
    ["chat", { logprobs: true, top_logprobs: 21 }, "top_logprobs"],
    ["chat", { top_logprobs: 2 }, "top_logprobs"],
    ["chat", { messages: [] }, "messages"],
    ["chat", { messages: "hi" }, "messages"],
    ["chat", { messages: [{ role: "king", content: "hi" }] }, "messages"],
    ["chat", { messages: [{ role: "user" }] }, "messages"],
    [
      "chat",
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }] },
      "messages",
    ],
    ["chat", { messages: Array.from({ length: 1001 }, () => ({ role: "user", content: "" })) }, "messages"],
    ["plain", { prompt: "" }, "prompt"],
    ["plain", { prompt: [] }, "prompt"],
    ["plain", { prompt: [264] }, "prompt"],
    ["plain", { prompt: [-1] }, "prompt"],
    ["plain", { prompt: ["a", 1] }, "prompt"],
    ["plain", { prompt: ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"] }, "prompt"],
    ["plain", { prompt: ["a", "b", "c"], n: 5 }, "n"],
    ["plain", { max_tokens: 0 }, "max_tokens"],
    ["plain", { echo: "yes" }, "echo"],
    ["plain", { logprobs: 21 }, "logprobs"],
  ];
  for (const [kind, change, param] of wrong) {
    const isChat = kind === "chat";
    const body = isChat ? { ...chat, ...change } : { ...plain, ...change };
    const reply = await post(isChat ? "/v1/chat/completions" : "/v1/completions", body);
    assert.equal(reply.status, 422, JSON.stringify(change).slice(0, 100));
    assert.equal(reply.param, param);
    assert.match(reply.message, new RegExp(`^${param}(, message 1(, part 1)?)?: expected `));
  }
});

test("what OpenAI's API has and this server has not is 422 with what to do; values that ask for nothing are let through", async () => {
  const unserved = {
    tools: [{ type: "function", function: { name: "f" } }],
    tool_choice: "required",
    response_format: { type: "json_object" },
    reasoning_effort: "low",
    temprature: 1,
    best_of: 3,
    include_stop_str_in_output: true,
    skip_special_tokens: false,
    ignore_eos: true,
    min_tokens: 3,
  };
  for (const [name, value] of Object.entries(unserved)) {
    const reply = await post("/v1/chat/completions", { ...chat, [name]: value });
    assert.equal(reply.status, 422, name);
    assert.equal(reply.code, "unsupported_parameter");
    assert.equal(reply.param, name);
  }
  assert.match(
    (await post("/v1/chat/completions", { ...chat, temprature: 1 })).message,
    /Did you mean "temperature"/,
  );
  assert.match(
    (await post("/v1/completions", { ...plain, best_of: 3 })).message,
    /^"best_of" is not supported/,
  );
  const nothing = {
    frequency_penalty: 0,
    presence_penalty: 0,
    logit_bias: {},
    tools: [],
    tool_choice: "none",
    response_format: { type: "text" },
    user: "someone",
    metadata: { a: "b" },
    store: false,
    stop: null,
    n: null,
    skip_special_tokens: true,
    include_stop_str_in_output: false,
  };
  assert.equal((await post("/v1/chat/completions", { ...chat, ...nothing })).status, 200);
  assert.equal(
    (await post("/v1/completions", { ...plain, echo: false, suffix: null, best_of: 1 })).status,
    200,
  );
  assert.equal((await post("/v1/completions", { ...plain, n: 2, best_of: 2 })).status, 200);
});

test("an answer longer than the context is cut there; a prompt that leaves no room is 400, as in OpenAI's API", async () => {
  const long = await post("/v1/completions", { ...plain, prompt: "x".repeat(512) });
  assert.deepEqual([long.status, long.code, long.param], [400, "context_length_exceeded", "prompt"]);
  assert.match(long.message, /maximum context length is 512 tokens. The prompt has 512 and leaves no room/);
  const cut = await server
    .client()
    .completions.create({ ...plain, prompt: "x".repeat(509), max_tokens: 4096 });
  assert.deepEqual([cut.usage?.completion_tokens, cut.choices[0]?.finish_reason], [3, "length"]);
  const chatLong = await post("/v1/chat/completions", {
    ...chat,
    messages: [{ role: "user", content: "x".repeat(5000) }],
  });
  assert.deepEqual(
    [chatLong.status, chatLong.code, chatLong.param],
    [400, "context_length_exceeded", "messages"],
  );
});

test("a prompt that leaves no room in the server's cache is 400 as well, and says which limit it is", async () => {
  await using small = await startServer({ engine: scriptedEngine, maxCacheTokens: 300 });
  for (const [x, n, fits] of [
    [289, 1, false],
    [288, 1, true],
    [260, 4, false],
  ] as const) {
    const asked = small.client().completions.create({ ...plain, prompt: "x".repeat(x), n });
    if (fits) assert.equal((await asked).choices.length, 1);
    else
      await assert.rejects(asked, /400 The server's cache of 300 tokens \(--max-cache-tokens\) has no room/);
  }
});

test("a body that is too large is 413, announced or not, and ends at once", async () => {
  const text = JSON.stringify({ ...plain, prompt: "x".repeat(120_000) });
  const announced = await post("/v1/completions", text, true);
  assert.deepEqual([announced.status, announced.code], [413, "request_too_large"]);
  const pieces = new ReadableStream({
    start(controller) {
      for (let i = 0; i < 3; i++) controller.enqueue(new TextEncoder().encode(text));
      controller.close();
    },
  });
  const unannounced = await server.fetch("/v1/completions", {
    method: "POST",
    body: pieces,
    duplex: "half",
  } as RequestInit);
  assert.equal(unannounced.status, 413);
});

test("what is no JSON is 400", async () => {
  const bad = [
    "",
    "{",
    "nul",
    `{"model": "tiny",}`,
    "[".repeat(50_000),
    `{"a":${"[".repeat(64)}${"]".repeat(64)}}`,
    "\u0000",
    // what says two things, or nothing
    `{"model": "tiny", "model": "other"}`,
    `{"prompt": "\\ud800"}`,
    `{"temperature": NaN}`,
  ];
  for (const body of bad) {
    const reply = await post("/v1/completions", body, true);
    assert.deepEqual([reply.status, reply.code], [400, "invalid_json"], body.slice(0, 20));
  }
  const latin = await server.fetch("/v1/completions", {
    method: "POST",
    body: new Uint8Array([0x7b, 0x22, 0xe9, 0x22, 0x7d]),
  });
  assert.equal(latin.status, 400);
  for (const body of ["[]", `"text"`, "17", "null"])
    assert.equal((await post("/v1/completions", body, true)).status, 422);
});

test("more answers than there is room for are 429 with Retry-After; when some end there is room again", async () => {
  const slow = { ...plain, max_tokens: 480, stream: true, seed: faults.slow };
  const leave = new AbortController();
  const open = [];
  for (let i = 0; i < 4; i++) {
    open.push(
      await server.fetch("/v1/completions", {
        method: "POST",
        body: JSON.stringify(slow),
        signal: leave.signal,
      }),
    );
  }
  const full = await post("/v1/completions", plain);
  assert.deepEqual([full.status, full.code], [429, "queue_full"]);
  assert.match(full.message, /4 answers are under way or waiting, and 4 may be/);
  assert.equal(full.headers.get("retry-after"), "1");
  assert.ok(open.every(({ status }) => status === 200));
  leave.abort();
  await server.logged(({ error }) => error === "client_left");
  const waited = await server.client({ maxRetries: 3 }).completions.create({ ...plain });
  assert.equal(waited.choices.length, 1);
});

test("headers or a body that never end are ended, and do not keep others from being served", async () => {
  const { port } = new URL(server.url);
  const beginnings = {
    headers: "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    body:
      `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${server.key}\r\n` +
      "Content-Type: application/json\r\nContent-Length: 90000\r\n\r\n{",
  };
  const closed = Object.values(beginnings).map((beginning) => {
    const socket = connect(Number(port), "127.0.0.1", () => socket.write(beginning));
    const drip = setInterval(() => socket.write(" "), 100);
    socket.on("error", () => {}).on("data", () => {});
    return new Promise<void>((resolve) => {
      socket.on("close", () => {
        clearInterval(drip);
        resolve();
      });
    });
  });
  for (let i = 0; i < 5; i++) assert.equal((await fetch(`${server.url}/health`)).status, 200);
  await Promise.all(closed);
});

const json = fc.jsonValue({ maxDepth: 3 });
const someText = fc.string({ unit: "binary", maxLength: 20 });
const role = fc.constantFrom("user", "assistant", "system", "tool");
const calls = fc.array(
  fc.oneof(json, fc.record({ function: fc.oneof(json, fc.record({ name: json, arguments: json })) })),
  { maxLength: 2 },
);
const messages = fc.array(
  fc.record({ role, content: someText, tool_calls: calls }, { requiredKeys: ["role", "content"] }),
  { minLength: 1, maxLength: 3 },
);
const prompt = fc.oneof(
  fc.string({ unit: "binary", minLength: 1, maxLength: 20 }),
  fc.array(fc.integer({ min: 0, max: 263 }), { minLength: 1, maxLength: 5 }),
);
/** Fields with values that are served. */
const served = {
  max_tokens: fc.integer({ min: 1, max: 3 }),
  temperature: fc.double({ min: 0, max: 2, noNaN: true }),
  top_p: fc.double({ min: 0.1, max: 1, noNaN: true }),
  top_k: fc.integer({ min: -1, max: 5 }),
  min_p: fc.double({ min: 0, max: 1, noNaN: true }),
  repetition_penalty: fc.double({ min: 0.5, max: 2, noNaN: true }),
  seed: fc.integer({ min: -5, max: 5 }),
  stop: fc.array(fc.string({ unit: "binary", minLength: 1, maxLength: 5 }), { maxLength: 4 }),
  stream: fc.boolean(),
  n: fc.integer({ min: 1, max: 2 }),
};
const rest = fc.record(served, { requiredKeys: ["max_tokens"] });
const names = [
  ...Object.keys(served),
  "model",
  "messages",
  "prompt",
  "logprobs",
  "top_logprobs",
  "stream_options",
  "tools",
  "logit_bias",
];
const strange = [
  "response_format",
  "chat_template_kwargs",
  "__proto__",
  "constructor",
  "toString",
  "hasOwnProperty",
];
const anything = fc.dictionary(fc.constantFrom(...names, ...strange), json, { maxKeys: 6 });
const kwargs = fc.dictionary(
  fc.constantFrom("messages", "bos_token", "__proto__", "add_generation_prompt", "x"),
  json,
);
const likely = fc
  .record({ isChat: fc.boolean(), messages, prompt, rest, kwargs, one: anything, isSpoilt: fc.boolean() })
  .map(({ isChat, isSpoilt, one, ...parts }) => ({
    path: isChat ? "/v1/chat/completions" : "/v1/completions",
    body: {
      model: "tiny",
      ...(isChat
        ? { messages: parts.messages, chat_template_kwargs: parts.kwargs }
        : { prompt: parts.prompt }),
      ...parts.rest,
      ...(isSpoilt ? one : {}),
    },
  }));
const hostile = fc.record({
  path: fc.constantFrom("/v1/chat/completions", "/v1/completions"),
  body: anything,
});

test("no body, however it is made, is answered with 5xx, and the server stays as it was", async () => {
  const statuses = new Map<number, number>();
  await fc.assert(
    fc.asyncProperty(fc.oneof({ weight: 4, arbitrary: likely }, hostile), async ({ path, body }) => {
      const text = JSON.stringify(body);
      const reply = await server.fetch(path, { method: "POST", body: text });
      const answered = await reply.text();
      assert.ok(reply.status < 500, `${reply.status} for ${text}: ${answered}`);
      assert.ok(!answered.includes('"server_error"'), `${text}: ${answered}`);
      statuses.set(reply.status, (statuses.get(reply.status) ?? 0) + 1);
    }),
    { numRuns: 300 },
  );
  for (const status of [200, 422]) assert.ok((statuses.get(status) ?? 0) > 30, JSON.stringify([...statuses]));
  assert.ok(server.events.every(({ type }) => type !== "fault"));
  assert.equal((await fetch(`${server.url}/health`)).status, 200);
});

test("no string of bytes as a body is answered with 5xx", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      const reply = await server.fetch("/v1/chat/completions", { method: "POST", body: Buffer.from(bytes) });
      assert.ok(reply.status === 400 || reply.status === 422);
    }),
    { numRuns: 100 },
  );
});

test("a body that says two things is 400; floats without a fraction are numbers", async () => {
  const body = (more: string): string =>
    `{"model": "tiny", "messages": [{"role": "user", "content": "hi"}], ${more}}`;
  for (const [more, message] of [
    ['"max_tokens": 2, "max_tokens": 3', /it gives the key "max_tokens" twice/],
    ['"max_tokens": 2, "chat_template_kwargs": {"x": "\\ud83d"}', /half of a surrogate pair/],
    ['"max_tokens": 2, "temperature": NaN', /it has NaN, which JSON does not know/],
  ] as const) {
    const refused = await post("/v1/chat/completions", body(more), true);
    assert.equal(refused.status, 400);
    assert.match(refused.message, message);
  }
  const { status } = await post(
    "/v1/chat/completions",
    body('"max_tokens": 2.0, "temperature": 1.0, "n": 1'),
    true,
  );
  assert.equal(status, 200);
});
