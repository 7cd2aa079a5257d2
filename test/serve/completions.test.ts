/**
 * /v1/completions and chats of a model with a SentencePiece tokenizer, which writes what the test wants: spaces at the
 * beginning, log-probs, special tokens as stop texts, echo, many prompts. Texts are those of transformers 5.23's `decode`.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type OpenAI from "openai";
import { makeChainModel, piece, vocabulary } from "../support/sentencepiece.ts";
import { startServer, type TestServer } from "../support/servers.ts";
import { temporaryDirectory } from "../support/tiny-models.ts";

const euro = ["<0xE2>", "<0x82>", "<0xAC>"];
const chain = ["▁the", "▁cat", "s", "▁", ...euro, "<|im_start|>", "▁A", ".", "</s>"].map(piece);

const dir = temporaryDirectory();
let server: TestServer;
let client: OpenAI;
before(async () => {
  server = await startServer({ model: makeChainModel(join(dir.path, "chain"), chain) });
  client = server.client();
});
after(async () => {
  await server[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

const the = { model: "tiny", prompt: "the", max_tokens: 20, temperature: 0 };
const hello = {
  model: "tiny",
  messages: [{ role: "user" as const, content: "the" }],
  max_tokens: 20,
  temperature: 0,
};

interface Change {
  prompt?: string | number[] | string[] | number[][];
  stop?: string | string[];
  max_tokens?: number;
  logprobs?: number;
  echo?: boolean;
  n?: number;
}

/** The first choice, which a stream has to give in the same way. */
async function completed(change: Change): Promise<OpenAI.CompletionChoice> {
  const whole = await client.completions.create({ ...the, ...change });
  const choice = whole.choices[0] ?? assert.fail("no choice");
  let text = "";
  const tokens: string[] = [];
  const offsets: number[] = [];
  for await (const { choices } of await client.completions.create({ ...the, ...change, stream: true })) {
    if (choices[0]?.index !== 0) continue;
    text += choices[0].text;
    tokens.push(...(choices[0].logprobs?.tokens ?? []));
    offsets.push(...(choices[0].logprobs?.text_offset ?? []));
  }
  assert.equal(text, choice.text);
  assert.deepEqual(tokens, choice.logprobs?.tokens ?? []);
  assert.deepEqual(offsets, choice.logprobs?.text_offset ?? []);
  return choice;
}

async function chatted(change: { stop?: string | string[] }): Promise<OpenAI.ChatCompletion.Choice> {
  const whole = await client.chat.completions.create({ ...hello, ...change });
  const choice = whole.choices[0] ?? assert.fail("no choice");
  let text = "";
  for await (const { choices } of await client.chat.completions.create({
    ...hello,
    ...change,
    stream: true,
  })) {
    text += choices[0]?.delta.content ?? "";
  }
  assert.equal(text, choice.message.content);
  return choice;
}

test("a completion continues the prompt, with the space of its first token; a chat's answer is a separate text", async () => {
  // decode([1, 268, ...]) is "the cats € A."
  assert.equal((await completed({})).text, " cats € A.");
  assert.equal((await completed({ prompt: chain.slice(0, 1) })).text, " cats € A.");
  assert.equal(
    (await completed({ prompt: chain.slice(0, 5) })).text,
    "€ A.",
    "a character begun in the prompt",
  );
  assert.equal((await completed({ prompt: [1, piece("<|im_start|>")] })).text, "A.", "no text before it");
  // decode([272, 273]) is "A."
  assert.equal((await chatted({})).message.content, "A.");
});

test("log-probs: tokens joined are the text, parts of characters go by their bytes, offsets are places in the text", async () => {
  const { logprobs, text } = await completed({ logprobs: 20 });
  const tokens = [
    " cat",
    "s",
    " ",
    "bytes:\\xe2",
    "bytes:\\x82",
    "bytes:\\xac",
    "<|im_start|>",
    " A",
    ".",
    "</s>",
  ];
  assert.deepEqual(logprobs?.tokens, tokens);
  assert.deepEqual(logprobs?.text_offset, [0, 4, 5, 6, 6, 6, 7, 7, 9, 10]);
  assert.equal(text.slice(7, 9), " A");
  const mostLikely = -Math.log1p((vocabulary - 1) * Math.exp(-Math.sqrt(vocabulary)));
  for (const [i, token] of tokens.entries()) {
    const top: Record<string, number> = logprobs?.top_logprobs?.[i] ?? {};
    assert.equal(Object.keys(top).length, 20, "none is lost");
    assert.equal(top[token], logprobs?.token_logprobs?.[i]);
    assert.ok(Math.abs((top[token] ?? 0) - mostLikely) < 1e-5);
  }
  const alone = await completed({ prompt: [1, piece("<|im_start|>")], logprobs: 0 });
  assert.deepEqual(alone.logprobs?.tokens, ["A", ".", "</s>"]);
  const chat = await client.chat.completions.create({ ...hello, logprobs: true, top_logprobs: 20 });
  const entries = chat.choices[0]?.logprobs?.content ?? [];
  assert.deepEqual(
    entries.map(({ token, bytes }) => [token, bytes]),
    [
      ["A", [65]],
      [".", [46]],
      ["</s>", [60, 47, 115, 62]],
    ],
  );
  assert.ok(entries.every(({ top_logprobs: top }) => top.length === 20));
});

test("stop texts that are special tokens, or have them inside, end completions and chats", async () => {
  const ended = async (stop: string | string[]) => {
    const { text, finish_reason: finish } = await completed({ stop });
    return [text, finish];
  };
  assert.deepEqual(await ended("<|im_start|>"), [" cats €", "stop"]);
  assert.deepEqual(await ended(["nowhere", "€<|im_start|> A"]), [" cats ", "stop"]);
  assert.deepEqual(await ended("€ A"), [" cats ", "stop"], "what is shown has no stop text in it");
  assert.deepEqual(await ended(".</s>"), [" cats € A", "stop"]);
  assert.deepEqual(await ended("at"), [" c", "stop"]);
  assert.deepEqual(await ended("cats"), [" ", "stop"]);
  assert.equal((await chatted({ stop: "A.</s>" })).message.content, "");
  assert.equal((await chatted({ stop: ["."] })).message.content, "A");
  const kept = await completed({ stop: "<|im_start|>", logprobs: 0 });
  assert.deepEqual(kept.logprobs?.tokens?.slice(0, 3), [" cat", "s", " "]);
  assert.equal(kept.logprobs?.tokens?.length, 6, "tokens of the stop text are left out");
  for (const [stop, tokens] of [
    ["cats", [" cat"]],
    ["at", [" cat"]],
    ["ts ", [" cat"]],
    [".</s>", [" cat", "s", " ", ...hex, "<|im_start|>", " A"]],
  ] as const)
    assert.deepEqual((await completed({ stop, logprobs: 0 })).logprobs?.tokens, tokens, stop);
});

test("echo gives the prompt back before the answer, with its tokens' log-probs, and without an answer for max_tokens 0", async () => {
  const only = await completed({ echo: true, max_tokens: 0, logprobs: 1 });
  assert.deepEqual([only.text, only.finish_reason], ["the", "length"]);
  assert.deepEqual(only.logprobs?.tokens, ["<s>", "the"]);
  assert.deepEqual(only.logprobs?.text_offset, [0, 0]);
  const values = only.logprobs?.token_logprobs as (number | null)[];
  // every logit after <s> is 0
  assert.equal(values[0], null);
  assert.ok(Math.abs((values[1] ?? 0) + Math.log(vocabulary)) < 1e-5);
  assert.equal(only.logprobs?.top_logprobs?.[0], null);
  const both = await completed({ echo: true, max_tokens: 2, logprobs: 0 });
  assert.equal(both.text, "the cats");
  assert.deepEqual(both.logprobs?.tokens, ["<s>", "the", " cat", "s"]);
  assert.deepEqual(both.logprobs?.text_offset, [0, 0, 3, 7]);
  assert.equal((await completed({ echo: true, max_tokens: 0 })).text, "the");
  const two = await client.completions.create({
    ...the,
    echo: true,
    n: 2,
    max_tokens: 1,
    temperature: 1,
    seed: 1,
  });
  assert.deepEqual(
    two.choices.map(({ text }) => text),
    ["the cat", "the cat"],
  );
  const whole = await client.completions.create({ ...the, echo: true, max_tokens: 0 });
  const { prompt_tokens, completion_tokens, total_tokens } = whole.usage ?? assert.fail("no usage");
  assert.deepEqual([prompt_tokens, completion_tokens, total_tokens], [2, 0, 2]);
});

test("echo of special tokens: written in a text they stay in it, as ids they have no text; the end token is named", async () => {
  const written = await completed({ prompt: "<|im_start|>the €", echo: true, max_tokens: 0, logprobs: 0 });
  assert.equal(written.text, "<|im_start|>the €");
  assert.deepEqual(written.logprobs?.tokens, ["<s>", "<|im_start|>", "the", " ", ...hex]);
  assert.deepEqual(written.logprobs?.text_offset, [0, 0, 12, 15, 16, 16, 16]);
  const ids = [1, piece("▁the"), piece("<|im_start|>"), piece("▁cat")];
  const given = await completed({ prompt: ids, echo: true, max_tokens: 0, logprobs: 0 });
  assert.deepEqual([given.text, given.logprobs?.text_offset], ["the cat", [0, 0, 3, 3]]);
  // lm-eval leaves the last token out of its sum: it has to be there though it ended the answer
  const ended = await completed({
    prompt: [piece("▁A"), piece(".")],
    echo: true,
    max_tokens: 1,
    logprobs: 1,
  });
  assert.deepEqual(ended.logprobs?.tokens, ["A", ".", "</s>"]);
  assert.deepEqual([ended.text, ended.finish_reason], ["A.", "stop"]);
});

const hex = ["bytes:\\xe2", "bytes:\\x82", "bytes:\\xac"];

test("logit_bias and presence and frequency penalty decide what is drawn", async () => {
  // the chain's next token has the logit √V = 17.3, all others 0; the bias lifts " A" above it, a penalty of 2 below
  const bias = { [piece("▁A")]: 18 };
  const said = async (more: object) =>
    (await client.completions.create({ ...the, max_tokens: 3, ...more })).choices[0]?.text;
  assert.equal(await said({ logit_bias: bias }), " A A A");
  assert.equal(await said({ logit_bias: bias, presence_penalty: 2 }), " A.");
  assert.equal(await said({ logit_bias: bias, frequency_penalty: 0.5 }), " A A.");
});

test("many prompts in a request, as texts and as ids, are answered in their order; more are refused", async () => {
  const texts = Array.from({ length: 12 }, (_, i) => (i % 2 === 0 ? "the" : "the cats"));
  const reply = await client.completions.create({
    ...the,
    prompt: texts,
    max_tokens: 2,
    n: 2,
    temperature: 1,
  });
  assert.deepEqual(
    reply.choices.map(({ index, text }) => [index, text]),
    texts.flatMap((prompt, i) => {
      const text = prompt === "the" ? " cats" : " \uFFFD";
      return [
        [2 * i, text],
        [2 * i + 1, text],
      ];
    }),
  );
  const ids = await client.completions.create({
    ...the,
    prompt: chain.slice(0, 12).map((id) => [id]),
    max_tokens: 1,
  });
  assert.equal(ids.choices[0]?.text, " cat");
  assert.equal(ids.choices.length, chain.length);
  await assert.rejects(
    client.completions.create({ ...the, prompt: Array.from({ length: 13 }, () => "the") }),
    /422 prompt: expected .* at most 12 of either/,
  );
});

test("an event is one line for readers that end lines at NEL, LS and PS as well", async () => {
  const prompt = "the\u0085the\u2028the\u2029the\r\nthe";
  const body = JSON.stringify({ ...the, prompt, echo: true, max_tokens: 1, stream: true });
  const reply = await server.fetch("/v1/completions", { method: "POST", body });
  assert.equal(reply.headers.get("content-type"), "text/event-stream; charset=utf-8");
  const events = await reply.text();
  assert.doesNotMatch(events, /[\u0085\u2028\u2029\r]/);
  const [first = ""] = events.split("\n\n");
  assert.equal(JSON.parse(first.slice("data: ".length)).choices[0].text, prompt);
});
