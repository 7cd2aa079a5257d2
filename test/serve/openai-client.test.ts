/** OpenAI's own client against `preftune serve` with a tiny model: what it sends is understood, what it gets it understands. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type OpenAI from "openai";
import {
  AuthenticationError,
  BadRequestError,
  NotFoundError,
  RateLimitError,
  UnprocessableEntityError,
} from "openai";
import { faults } from "../support/scripted-engine.ts";
import { scriptedEngine, startServer, type TestServer } from "../support/servers.ts";
import { makeTinyModel } from "../support/tiny-model.ts";
import { temporaryDirectory } from "../support/tiny-models.ts";

const dir = temporaryDirectory();
let server: TestServer;
let client: OpenAI;
before(async () => {
  server = await startServer({ model: makeTinyModel(join(dir.path, "tiny")) });
  client = server.client();
});
after(async () => {
  await server[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

const messages = [{ role: "user" as const, content: "who is there?" }];
const chat = { model: "tiny", messages, max_tokens: 12, seed: 7 };
const plain = { model: "tiny", prompt: "who is there?", max_tokens: 12, seed: 7 };

test("models: listed, found by name, and 404 for one that is not served", async () => {
  const models = await client.models.list();
  assert.deepEqual(
    models.data.map(({ id, object }) => [id, object]),
    [["tiny", "model"]],
  );
  assert.equal((await client.models.retrieve("tiny")).id, "tiny");
  await assert.rejects(client.models.retrieve("gpt-4"), NotFoundError);
  await assert.rejects(client.chat.completions.create({ ...chat, model: "gpt-4" }), (error: unknown) => {
    assert.ok(error instanceof NotFoundError);
    assert.equal(error.code, "model_not_found");
    assert.match(error.message, /expected "tiny"/);
    return true;
  });
});

test("a chat completion: role, text, finish reason, usage; the same seed gives the same answer, another one another", async () => {
  const one = await client.chat.completions.create(chat);
  assert.equal(one.object, "chat.completion");
  assert.match(one.id, /^chatcmpl-/);
  assert.equal(one.model, "tiny");
  assert.equal(one.choices.length, 1);
  const [choice] = one.choices;
  assert.equal(choice?.message.role, "assistant");
  assert.equal(typeof choice?.message.content, "string");
  assert.ok(choice?.finish_reason === "stop" || choice?.finish_reason === "length");
  const { prompt_tokens, completion_tokens, total_tokens } = one.usage ?? assert.fail("no usage");
  // ChatML around 13 bytes: <|im_start|> user \n … <|im_end|> \n <|im_start|> assistant \n
  assert.equal(prompt_tokens, 1 + 5 + 13 + 1 + 1 + 1 + 10);
  assert.ok(completion_tokens > 0 && completion_tokens <= 12);
  assert.equal(total_tokens, prompt_tokens + completion_tokens);
  const again = await client.chat.completions.create(chat);
  assert.equal(again.choices[0]?.message.content, choice?.message.content);
  const others = await Promise.all(
    [8, 9, 10].map((seed) => client.chat.completions.create({ ...chat, seed })),
  );
  assert.ok(others.some(({ choices }) => choices[0]?.message.content !== choice?.message.content));
});

test("the next turn of a chat finds what the one before computed, and says so; switched off, nothing is found", async () => {
  const cached = (completion: OpenAI.ChatCompletion) =>
    completion.usage?.prompt_tokens_details?.cached_tokens ?? assert.fail("no count");
  await using off = await startServer({ model: join(dir.path, "tiny"), keepsPrefixes: false });
  for (const [asked, finds] of [
    [client, true],
    [off.client(), false],
  ] as const) {
    const question = { role: "user" as const, content: `a question for one server, ${finds}` };
    const first = await asked.chat.completions.create({ ...chat, messages: [question], logprobs: true });
    const { content = "" } = first.choices[0]?.message ?? {};
    const turns = [question, { role: "assistant" as const, content }, ...messages];
    const second = await asked.chat.completions.create({ ...chat, messages: turns });
    const again = await asked.chat.completions.create({ ...chat, messages: turns });
    // the answer's text may be other tokens than those drawn
    assert.equal(cached(second) >= (first.usage?.prompt_tokens ?? 0), finds);
    assert.equal(cached(again), finds ? (again.usage?.prompt_tokens ?? 0) - 1 : 0);
    assert.equal(again.choices[0]?.message.content, second.choices[0]?.message.content);
  }
  const metrics = await (await server.fetch("/metrics")).text();
  assert.match(metrics, /preftune_cached_prompt_tokens_total [1-9]/);
});

test("the answer is the same beside others as alone: continuous batching changes nothing", async () => {
  const alone = await client.chat.completions.create(chat);
  const crowd = await Promise.all([
    client.chat.completions.create({ ...chat, seed: 1, max_tokens: 40 }),
    client.chat.completions.create(chat),
    client.completions.create({ ...plain, n: 3 }),
  ]);
  assert.equal(crowd[1].choices[0]?.message.content, alone.choices[0]?.message.content);
});

test("a stream joins to the text that comes whole; role first, usage last where it is asked for", async () => {
  const whole = await client.chat.completions.create(chat);
  let text = "";
  let finish: string | null = null;
  const chunks = [];
  const stream = await client.chat.completions.create({
    ...chat,
    stream: true,
    stream_options: { include_usage: true },
  });
  for await (const chunk of stream) {
    chunks.push(chunk);
    text += chunk.choices[0]?.delta.content ?? "";
    finish = chunk.choices[0]?.finish_reason ?? finish;
  }
  assert.equal(text, whole.choices[0]?.message.content);
  assert.equal(finish, whole.choices[0]?.finish_reason);
  assert.equal(chunks[0]?.choices[0]?.delta.role, "assistant");
  assert.equal(new Set(chunks.map(({ id }) => id)).size, 1);
  assert.deepEqual(chunks.at(-1)?.choices, []);
  const counts = (usage: OpenAI.CompletionUsage | null | undefined) =>
    [usage?.prompt_tokens, usage?.completion_tokens, usage?.total_tokens].map(Number);
  assert.deepEqual(counts(chunks.at(-1)?.usage), counts(whole.usage));
  assert.ok(chunks.slice(0, -1).every(({ usage }) => usage === null));
  const quiet = await client.chat.completions.create({ ...chat, stream: true });
  for await (const chunk of quiet) assert.equal(chunk.usage, undefined);
});

test("the client's stream helper gives the final completion", async () => {
  const runner = client.chat.completions.stream({ ...chat, n: 2 });
  const final = await runner.finalChatCompletion();
  const whole = await client.chat.completions.create({ ...chat, n: 2 });
  assert.deepEqual(
    final.choices.map(({ message }) => message.content),
    whole.choices.map(({ message }) => message.content),
  );
});

test("n answers differ, keep their places, and the first is the one that n = 1 gives", async () => {
  const one = await client.completions.create(plain);
  const four = await client.completions.create({ ...plain, n: 4 });
  assert.deepEqual(
    four.choices.map(({ index }) => index),
    [0, 1, 2, 3],
  );
  assert.equal(four.choices[0]?.text, one.choices[0]?.text);
  assert.ok(new Set(four.choices.map(({ text }) => text)).size > 1);
  assert.equal(four.usage?.prompt_tokens, one.usage?.prompt_tokens);
});

test("several prompts are answered in their order; a prompt of token ids is the text of these tokens", async () => {
  const greedy = { ...plain, temperature: 0 };
  const each = await Promise.all(
    ["abc", "xyz"].map((prompt) => client.completions.create({ ...greedy, prompt })),
  );
  const both = await client.completions.create({ ...greedy, prompt: ["abc", "xyz"] });
  assert.deepEqual(
    both.choices.map(({ text }) => text),
    each.map(({ choices }) => choices[0]?.text),
  );
  const { tokenizer } = await tokens();
  const ids = tokenizer.encode("abc", { addSpecialTokens: false });
  assert.equal(
    (await client.completions.create({ ...greedy, prompt: ids })).choices[0]?.text,
    each[0]?.choices[0]?.text,
  );
  const lists = await client.completions.create({ ...greedy, prompt: [ids, ids] });
  assert.equal(lists.choices[1]?.text, each[0]?.choices[0]?.text);
});

async function tokens(): Promise<{ tokenizer: import("../../src/text/tokenizer.ts").Tokenizer }> {
  const { loadTokenizer } = await import("../../src/text/tokenizer.ts");
  return { tokenizer: loadTokenizer(join(dir.path, "tiny")) };
}

test("greedy decoding ignores the seed; top_k 1 is greedy", async () => {
  const greedy = await client.completions.create({ ...plain, temperature: 0 });
  const seeded = await client.completions.create({ ...plain, temperature: 0, seed: 99 });
  const extension = { top_k: 1 };
  const narrow = await client.completions.create({ ...plain, ...extension });
  assert.equal(seeded.choices[0]?.text, greedy.choices[0]?.text);
  assert.equal(narrow.choices[0]?.text, greedy.choices[0]?.text);
});

test("a stop text ends the answer before it, whole and streamed alike", async () => {
  const long = await client.completions.create({ ...plain, max_tokens: 60 });
  const text = long.choices[0]?.text ?? "";
  const stop = text.slice(9, 11);
  assert.equal(stop.length, 2);
  const cut = text.slice(0, text.indexOf(stop));
  const whole = await client.completions.create({ ...plain, max_tokens: 60, stop });
  assert.equal(whole.choices[0]?.text, cut);
  assert.equal(whole.choices[0]?.finish_reason, "stop");
  let streamed = "";
  const stream = await client.completions.create({
    ...plain,
    max_tokens: 60,
    stop: ["never to be seen", stop],
    stream: true,
  });
  for await (const chunk of stream) streamed += chunk.choices[0]?.text ?? "";
  assert.equal(streamed, cut);
});

test("chat log-probs: one entry a token, the most likely first, joined to the answer's text; streamed alike", async () => {
  const asked = { ...chat, logprobs: true, top_logprobs: 3 };
  const whole = await client.chat.completions.create(asked);
  const entries = whole.choices[0]?.logprobs?.content ?? assert.fail("no log-probs");
  assert.ok(entries.length > 0);
  for (const { logprob, top_logprobs, token, bytes } of entries) {
    assert.ok(logprob <= 0);
    assert.equal(top_logprobs.length, 3);
    assert.deepEqual(
      top_logprobs.map((top) => top.logprob),
      top_logprobs.map((top) => top.logprob).sort((a, b) => b - a),
    );
    assert.ok((top_logprobs[0]?.logprob ?? 0) >= logprob);
    if (!/^(bytes|token_id):/.test(token)) assert.equal(Buffer.from(bytes ?? []).toString(), token);
  }
  // together the bytes are the answer, characters of several tokens included; special tokens are no part of its text
  const ordinary = entries.filter(({ token }) => !/^<.+>$/.test(token));
  const joined = Buffer.concat(ordinary.map(({ bytes }) => Buffer.from(bytes ?? []))).toString();
  assert.equal(joined, whole.choices[0]?.message.content);
  const collected = [];
  for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
    collected.push(...(chunk.choices[0]?.logprobs?.content ?? []));
  }
  assert.deepEqual(collected, entries);
  const without = await client.chat.completions.create(chat);
  assert.equal(without.choices[0]?.logprobs, null);
});

test("completion log-probs: tokens, their log-probs, the most likely with the token itself, offsets in the text", async () => {
  const reply = await client.completions.create({ ...plain, logprobs: 2 });
  const { text, logprobs } = reply.choices[0] ?? assert.fail("no choice");
  const {
    tokens: texts = [],
    token_logprobs: values = [],
    top_logprobs: tops = [],
    text_offset: offsets = [],
  } = logprobs ?? assert.fail("no log-probs");
  assert.equal(values.length, texts.length);
  for (const [i, token] of texts.entries()) {
    assert.equal(tops[i]?.[token], values[i]);
    assert.ok(Object.keys(tops[i] ?? {}).length <= 3);
  }
  assert.equal(offsets[0], 0);
  if (!text.includes("\ufffd") && !texts.some((token) => token.includes("\ufffd") || token.startsWith("<"))) {
    assert.equal(texts.join(""), text);
  }
});

test("log-probs of a greedy answer are those of the most likely tokens", async () => {
  const reply = await client.completions.create({ ...plain, temperature: 0, logprobs: 1 });
  const { token_logprobs: values = [], top_logprobs: tops = [] } = reply.choices[0]?.logprobs ?? {};
  for (const [i, value] of values.entries()) {
    assert.ok(Object.values(tops?.[i] ?? {}).every((other) => other <= value));
  }
});

test("the client's error classes: wrong key, wrong value, unsupported field, no JSON, a full queue", async () => {
  await assert.rejects(server.client({ apiKey: "wrong" }).models.list(), AuthenticationError);
  await assert.rejects(client.chat.completions.create({ ...chat, temperature: 9 }), (error: unknown) => {
    assert.ok(error instanceof UnprocessableEntityError);
    assert.equal(error.param, "temperature");
    assert.equal(error.type, "invalid_request_error");
    assert.match(error.message, /temperature: expected a number from 0 to 2, got 9/);
    return true;
  });
  await assert.rejects(
    client.chat.completions.create({ ...chat, verbosity: "low" }),
    UnprocessableEntityError,
  );
  await assert.rejects(
    client.post("/completions", { body: "{", headers: { "content-type": "application/json" } }),
    (error: unknown) => error instanceof BadRequestError || error instanceof UnprocessableEntityError,
  );
  await using small = await startServer({
    model: join(dir.path, "tiny"),
    engine: scriptedEngine,
    maxRunning: 4,
    maxQueue: 0,
  });
  const leave = new AbortController();
  const long = await small
    .client()
    .completions.create(
      { ...plain, n: 4, max_tokens: 480, seed: faults.slow, stream: true },
      { signal: leave.signal },
    );
  await assert.rejects(small.client().completions.create(plain), (error: unknown) => {
    assert.ok(error instanceof RateLimitError);
    assert.equal(error.code, "queue_full");
    assert.equal(error.headers.get("retry-after"), "1");
    return true;
  });
  leave.abort();
  for await (const { choices } of long) assert.ok(choices.every((choice) => choice.finish_reason === null));
});
