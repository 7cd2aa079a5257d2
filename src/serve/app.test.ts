/** Tests of the application without a network: an engine whose events the test decides. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { withToyTokenizer } from "../../test/support/toy-tokenizer.ts";
import type { GenerateRequest } from "../generate/request.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { chatMl } from "../toy/toy-tokenizer.ts";
import { Admission } from "./admission.ts";
import { createApp } from "./app.ts";
import { Callers } from "./callers.ts";
import type { SubmissionEvent } from "./engine-messages.ts";
import type { EngineView } from "./engine-process.ts";
import { Outlets } from "./outlet.ts";
import { PromptEncoder } from "./prompt-encoder.ts";
import { RequestReader } from "./request-reader.ts";
import type { RequestRecord } from "./request-record.ts";
import { serverMetrics } from "./server-metrics.ts";
import { Turns } from "./turns.ts";

/** An application with a toy tokenizer, and what its engine was asked. */
async function withApp(
  body: (parts: {
    ask: (path: string, body: object, init?: RequestInit) => Promise<Response>;
    app: ReturnType<typeof createApp>;
    asked: GenerateRequest[];
    tell: (event: SubmissionEvent) => void;
    admission: Admission;
    records: RequestRecord[];
  }) => Promise<void>,
): Promise<void> {
  await withToyTokenizer({ chatTemplate: chatMl }, async (directory) => {
    const asked: GenerateRequest[] = [];
    let tell: (event: SubmissionEvent) => void = () => {};
    const engine: EngineView = {
      state: "ready",
      whyNot: null,
      restarts: 0,
      lastFailureAt: null,
      report: null,
      submit: (request, listener) => {
        asked.push(request);
        tell = listener;
        queueMicrotask(() => listener({ type: "accepted" }));
        return () => {};
      },
    };
    const options = { chatTemplate: null, eosTokenIds: [2], vocabSize: 264, contextTokens: 100 };
    await using encoder = new PromptEncoder(loadTokenizer(directory), options);
    const limits = { maxAnswers: 4, maxPrompts: 4, maxNewTokens: 50, maxCacheTokens: null };
    const requests = new RequestReader(encoder, limits, new Turns());
    const admission = new Admission(8);
    const records: RequestRecord[] = [];
    const app = createApp({
      model: { name: "tiny", adapters: ["mine"], requests, contextTokens: 100, vocabSize: 264 },
      engine,
      admission,
      metrics: serverMetrics(engine, new Outlets()),
      limits,
      outlets: new Outlets(),
      callers: new Callers(),
      key: "k",
      loopbackOnly: true,
      origins: [],
      maxBodyBytes: 10_000,
      onRequest: (record) => records.push(record),
      onFault: (error) => assert.fail(String(error)),
    });
    const headers = { authorization: "Bearer k", host: "localhost", "content-type": "application/json" };
    await body({
      app,
      ask: async (path, content, init = {}) =>
        app.request(path, { method: "POST", headers, body: JSON.stringify(content), ...init }),
      asked,
      tell: (event) => tell(event),
      admission,
      records,
    });
  });
}

const chat = { model: "tiny", messages: [{ role: "user", content: "hi" }] };

test("every route that the application has, with any method, is refused without the key", async () => {
  await withApp(async ({ app, records }) => {
    const open: string[] = [];
    const paths = new Set(
      app.routes.map(({ path }) => path.replace(":model{.+}", "tiny").replace("/*", "/anything")),
    );
    assert.ok(paths.size >= 7);
    for (const path of paths) {
      for (const method of ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"]) {
        const { status } = await app.request(path, { method, headers: { host: "localhost" } });
        if (status === 200) open.push(`${method} ${path}`);
        else assert.equal(status, 401, `${method} ${path}`);
      }
    }
    assert.deepEqual(open, ["GET /health"]);
    const routes = new Set(records.map(({ route }) => route));
    assert.deepEqual([...routes].sort(), [
      "/health",
      "/metrics",
      "/v1/chat/completions",
      "/v1/completions",
      "/v1/models",
      "/v1/models/:model{.+}",
      "other",
    ]);
  });
});

test("paths are told as they are written, not as the router has them", async () => {
  await withApp(async ({ app }) => {
    const headers = { authorization: "Bearer k", host: "localhost" };
    const unknown = await app.request("/v1/responses", { method: "POST", headers });
    assert.equal(unknown.status, 404);
    assert.match(await unknown.text(), /\/v1\/models, \/v1\/models\/NAME, \/v1\/chat\/completions/);
    const wrong = await app.request("/v1/models/tiny", { method: "DELETE", headers });
    assert.match(await wrong.text(), /"\/v1\/models\/NAME takes GET only\."/);
    assert.equal(wrong.headers.get("allow"), "GET, HEAD");
    const head = await app.request("/v1/models", { method: "HEAD", headers });
    assert.deepEqual([head.status, await head.text()], [200, ""]);
  });
});

test("a chat that ends in the assistant's turn goes on with it; a body's numbers are plain, a template's as spelled", async () => {
  await withApp(async ({ ask, asked }) => {
    const begun = [...chat.messages, { role: "assistant", content: "I am" }];
    void ask("/v1/chat/completions", { ...chat, messages: begun, temperature: 0.5 });
    while (asked.length === 0) await new Promise(setImmediate);
    assert.equal(asked[0]?.continuesPrompt, true);
    assert.equal(asked[0]?.temperature, 0.5);
  });
});

test("a request's fields reach the engine under its names, with the chat's stop tokens", async () => {
  await withApp(async ({ ask, asked, tell }) => {
    const fields = {
      ...chat,
      model: "mine",
      n: 2,
      max_completion_tokens: 7,
      max_tokens: 7,
      temperature: 0.5,
      top_p: 0.9,
      top_k: 40,
      min_p: 0.1,
      repetition_penalty: 1.2,
      presence_penalty: -0.5,
      frequency_penalty: 0.25,
      logit_bias: { "5": -100, "7": 1.5 },
      stop: "end",
      seed: -1,
      logprobs: true,
      top_logprobs: 3,
    };
    const reply = ask("/v1/chat/completions", fields);
    while (asked.length === 0) await new Promise(setImmediate);
    tell({ type: "done", promptTokens: 1, cachedTokens: 0, completionTokens: 1 });
    assert.equal((await reply).status, 200);
    const { promptIds, ...rest } = asked[0] ?? assert.fail();
    assert.ok(promptIds.length > 10);
    assert.deepEqual(rest, {
      n: 2,
      maxNewTokens: 7,
      temperature: 0.5,
      topP: 0.9,
      topK: 40,
      minP: 0.1,
      repetitionPenalty: 1.2,
      presencePenalty: -0.5,
      frequencyPenalty: 0.25,
      logitBias: new Map([
        [5, -100],
        [7, 1.5],
      ]),
      stop: ["end"],
      stopIds: new Set([2]),
      seed: 2 ** 32 - 1,
      logprobs: 3,
      promptLogprobs: null,
      continuesPrompt: false,
      adapter: "mine",
    });
  });
});

test("every digit of a seed counts, of 64 bits and spelled as a float too", async () => {
  await withApp(async ({ ask, asked }) => {
    const seeds = ["9007199254740993", "4611686018427387905", "-9223372036854775808", "-1", "7.0", "1e2"];
    for (const seed of seeds) {
      const body = JSON.stringify({ ...chat, seed: 0 }).replace('"seed":0', `"seed":${seed}`);
      void ask("/v1/chat/completions", chat, { body });
    }
    while (asked.length < seeds.length) await new Promise(setImmediate);
    const found = asked.map(({ seed }) => seed).toSorted((a, b) => a - b);
    assert.deepEqual(found, [0, 1, 1, 7, 100, 2 ** 32 - 1]);
  });
});

test("a chat without a limit may fill the context up to the server's own limit; a completion gets 16 tokens", async () => {
  await withApp(async ({ ask, asked }) => {
    void ask("/v1/chat/completions", chat);
    void ask("/v1/chat/completions", { ...chat, messages: [{ role: "user", content: "x".repeat(60) }] });
    void ask("/v1/completions", { model: "tiny", prompt: "hi" });
    while (asked.length < 3) await new Promise(setImmediate);
    const lengths = asked.map(({ promptIds, maxNewTokens }) => [promptIds.length, maxNewTokens]);
    assert.deepEqual(
      lengths.sort(([a = 0], [b = 0]) => a - b),
      [
        [2, 16],
        [21, 50],
        [79, 21],
      ],
    );
  });
});

test("a stream that is never read, and one that is left half-way, give their room back and are recorded once", async () => {
  await withApp(async ({ ask, tell, admission, records }) => {
    const unread = await ask("/v1/chat/completions", { ...chat, stream: true, n: 3 });
    assert.equal(admission.open, 3);
    await unread.body?.cancel();
    assert.equal(admission.open, 0);
    const left = await ask("/v1/chat/completions", { ...chat, stream: true, n: 2 });
    const reader = left.body?.getReader() ?? assert.fail();
    tell({ type: "token", answer: 0, text: "a", logprobs: null });
    await reader.read();
    await reader.cancel();
    assert.equal(admission.open, 0);
    const leave = new AbortController();
    await ask("/v1/chat/completions", { ...chat, stream: true }, { signal: leave.signal });
    leave.abort();
    assert.equal(admission.open, 0);
    assert.deepEqual(
      records.map(({ error, stream }) => [error, stream]),
      [
        ["client_left", true],
        ["client_left", true],
        ["client_left", true],
      ],
    );
  });
});

test("a request that is over holds nothing: no listener stays at its signal, which outlives it", async () => {
  await withApp(async ({ app, tell, asked }) => {
    for (const stream of [true, false]) {
      const body = JSON.stringify({ ...chat, stream });
      const headers = {
        authorization: "Bearer k",
        host: "localhost",
        "content-type": "application/json",
        "content-length": String(body.length),
      };
      const request = new Request("http://localhost/v1/chat/completions", { method: "POST", headers, body });
      const before = asked.length;
      const reply = app.fetch(request);
      while (asked.length === before) await new Promise(setImmediate);
      assert.ok(getEventListeners(request.signal, "abort").length > 0);
      tell({ type: "done", promptTokens: 1, cachedTokens: 0, completionTokens: 1 });
      await (await reply).text();
      assert.equal(getEventListeners(request.signal, "abort").length, 0);
    }
  });
});
