/** Tests of prompt-worker.ts and prompt-encoder.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ToyOptions, withToyTokenizer } from "../../test/support/toy-tokenizer.ts";
import { at } from "../base/at.ts";
import { PreftuneError } from "../base/errors.ts";
import type { Message } from "../text/messages.ts";
import { loadTokenizer, type Tokenizer } from "../text/tokenizer.ts";
import { chatMl } from "../toy/toy-tokenizer.ts";
import { ApiError } from "./api-error.ts";
import { type EncodedPrompts, type PromptAsk, PromptEncoder } from "./prompt-encoder.ts";
import { PromptWorker } from "./prompt-worker.ts";
import { REQUEST_LIMITS } from "./request-tables.ts";
import { Turns } from "./turns.ts";

const options = { chatTemplate: null, eosTokenIds: [0], vocabSize: 264, contextTokens: 100_000 };

/** What a server has: the thread, asked for prompts in the form of requests. */
class Asker {
  readonly worker: PromptWorker;

  constructor(worker: PromptWorker) {
    this.worker = worker;
  }

  async encode(ask: PromptAsk, signal: AbortSignal = new AbortController().signal): Promise<EncodedPrompts> {
    const isChat = ask.kind === "chat";
    const body = isChat
      ? { messages: ask.messages, chat_template_kwargs: ask.variables }
      : { prompt: ask.prompt, echo: ask.echo };
    const bytes = new TextEncoder().encode(JSON.stringify(body));
    const request = await this.worker.read(isChat ? "chat" : "completion", bytes, signal);
    return request.encode();
  }
}

/** The same without a thread. */
const here = (encoder: PromptEncoder, ask: PromptAsk): Promise<EncodedPrompts> =>
  encoder.encode(ask, { turns: new Turns(), signal: new AbortController().signal });

const asks: PromptAsk[] = [
  { kind: "chat", messages: [{ role: "user", content: "hi" }], variables: {} },
  { kind: "plain", prompt: "hi", echo: false },
  { kind: "plain", prompt: ["a", "b"], echo: false },
  { kind: "plain", prompt: [1, 2, 3], echo: false },
  { kind: "plain", prompt: [[1], [2, 3]], echo: false },
];

async function withWorker(toy: ToyOptions, body: (worker: Asker, directory: string) => Promise<void>) {
  await withToyTokenizer(toy, async (directory) => {
    await using worker = await PromptWorker.open(directory, options, REQUEST_LIMITS);
    await body(new Asker(worker), directory);
  });
}

test("the thread gives what the encoder gives, whichever order it is asked in", async () => {
  await withWorker({ chatTemplate: chatMl }, async (worker, directory) => {
    await using encoder = new PromptEncoder(loadTokenizer(directory), options);
    const there = await Promise.all(asks.map((ask) => worker.encode(ask)));
    for (const [i, ask] of asks.entries()) assert.deepEqual(there[i], await here(encoder, ask));
    assert.deepEqual(there[0]?.stopIds, new Set([2, 0]));
    assert.deepEqual(there[4]?.prompts, [[1], [2, 3]]);
  });
});

test("what cannot be encoded is refused with the field's name, and the thread goes on", async () => {
  const picky = `{{ raise_exception('not so many') if messages|length > 3 }}${chatMl}`;
  const four = ["a", "b", "c", "d"].map((content) => ({ role: "user" as const, content }));
  await withWorker({ chatTemplate: picky }, async (worker) => {
    const refused: [PromptAsk, RegExp][] = [
      [{ kind: "chat", messages: four, variables: {} }, /not so many/],
      [{ kind: "plain", prompt: [264], echo: false }, /prompt: expected token ids below 264, got 264/],
      [{ kind: "plain", prompt: "", echo: false }, /expected a prompt of at least one token/],
    ];
    for (const [ask, message] of refused) {
      await assert.rejects(worker.encode(ask), (error: unknown) => {
        assert.ok(error instanceof ApiError && error.status === 422);
        assert.match(error.message, message);
        return true;
      });
    }
    assert.equal((await worker.encode({ kind: "plain", prompt: "hi", echo: false })).prompts[0]?.length, 2);
  });
});

test("a part of the conversation that the template leaves out is a bad request that names it", async () => {
  await withWorker({ chatTemplate: chatMl }, async (worker) => {
    const parts: [Message[], RegExp][] = [
      [[{ role: "user", content: "hi", name: "Ada" }], /"name" of message 1 \(role user\).*template: chatml/],
      [
        [
          { role: "user", content: "hi" },
          { role: "assistant", content: "", tool_calls: [{ function: { name: "f", arguments: "{}" } }] },
          { role: "user", content: "and?" },
        ],
        /call 1 in "tool_calls" of message 2/,
      ],
    ];
    for (const [messages, words] of parts) {
      await assert.rejects(worker.encode({ kind: "chat", messages, variables: {} }), (error: unknown) => {
        assert.ok(error instanceof ApiError);
        const { type, param } = error.body.error;
        assert.deepEqual([error.status, type, param], [400, "invalid_request_error", "messages"]);
        assert.match(error.message, words);
        return true;
      });
    }
    // Thinking of earlier turns is left out by templates on purpose.
    const earlier: Message[] = [
      { role: "user", content: "hi" },
      { role: "assistant", content: "a", reasoning_content: "b" },
      { role: "user", content: "c" },
    ];
    await worker.encode({ kind: "chat", messages: earlier, variables: {} });
  });
});

test("a conversation that ends in the assistant's turn goes on with it", async () => {
  await withWorker({ chatTemplate: chatMl }, async (worker, directory) => {
    const messages: Message[] = [
      { role: "user", content: "hi" },
      { role: "assistant", content: "Hel" },
    ];
    const { prompts } = await worker.encode({ kind: "chat", messages, variables: {} });
    const text = loadTokenizer(directory).decode(prompts[0] ?? [], { skipSpecialTokens: false });
    assert.equal(text, "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nHel");
  });
});

test("tool calls that the template does not write are told of where they were answered, and refused where not", async () => {
  await withWorker({ chatTemplate: chatMl }, async (worker) => {
    const called = {
      role: "assistant" as const,
      content: "",
      tool_calls: [{ type: "function", function: { name: "f", arguments: {} } }],
    };
    const user = { role: "user" as const, content: "q" };
    const encoded = (...messages: Message[]) => worker.encode({ kind: "chat", messages, variables: {} });
    const answered = await encoded(user, called, { role: "tool", content: "3" });
    assert.match(answered.warning ?? "", /the chat template does not write tool_calls/);
    const without = await encoded(user, { role: "assistant", content: "" }, { role: "tool", content: "3" });
    assert.deepEqual([answered.prompts, without.warning], [without.prompts, null]);
    await assert.rejects(encoded(user, called, user), (error: unknown) => {
      return error instanceof ApiError && error.code === "not_rendered";
    });
  });
});

test("a template without a generation prompt is told of, and the header is in the prompt", async () => {
  const silent = chatMl.slice(0, chatMl.indexOf("{% if add_generation_prompt"));
  await withWorker({ chatTemplate: silent }, async (worker, directory) => {
    const messages: Message[] = [{ role: "user", content: "hi" }];
    const { prompts, warning } = await worker.encode({ kind: "chat", messages, variables: {} });
    const text = loadTokenizer(directory).decode(prompts[0] ?? [], { skipSpecialTokens: false });
    assert.equal(text, "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
    assert.match(warning ?? "", /ignores add_generation_prompt/);
  });
});

test("variables that the chat template does not read change nothing, and the reply says so in ASCII", async () => {
  const chatTemplate = `{% if shout is defined %}!{% endif %}${chatMl}`;
  await withWorker({ chatTemplate }, async (worker) => {
    const encode = (variables: Record<string, unknown>) =>
      worker.encode({ kind: "chat", messages: [{ role: "user", content: "hi" }], variables });
    const plain = await encode({});
    assert.equal(plain.warning, null);
    const read = await encode({ shout: true });
    assert.equal(read.warning, null);
    assert.notDeepEqual(read.prompts, plain.prompts);
    for (const [name, shown] of [
      ["enable_thinking", "enable_thinking"],
      ["shou", "shou"],
      ["été\n", "\\\\u00e9t\\\\u00e9\\\\n"],
    ] as const) {
      const unread = await encode({ [name]: false });
      assert.deepEqual(unread.prompts, plain.prompts);
      assert.match(unread.warning ?? "", new RegExp(`chat_template_kwargs: .* reads no "${shown}"`));
      new Headers({ "X-Preftune-Warning": unread.warning ?? "" });
    }
  });
});

test("the server's enable_thinking stands where a request has none", async () => {
  const chatTemplate = `${chatMl}{% if enable_thinking is defined %}{{ enable_thinking }}{% endif %}`;
  await withToyTokenizer({ chatTemplate }, async (directory) => {
    const tokenizer = loadTokenizer(directory);
    const encode = async (enableThinking: boolean | null, variables: Record<string, unknown>) => {
      await using encoder = new PromptEncoder(tokenizer, { ...options, enableThinking });
      const messages = [{ role: "user", content: "hi" }] as const;
      const { prompts } = await here(encoder, { kind: "chat", messages: [...messages], variables });
      return tokenizer.decode(at(prompts, 0), { skipSpecialTokens: false });
    };
    const plain = await encode(null, {});
    assert.equal(await encode(false, {}), `${plain}False`);
    assert.equal(await encode(false, { enable_thinking: true }), `${plain}True`);
  });
});

test("a template's date is that of the request, as in transformers, however long the server has been running", async (t) => {
  const dated = `{{ strftime_now("%d %b %Y %H:%M") }}${chatMl}`;
  const ask: PromptAsk = { kind: "chat", messages: [{ role: "user", content: "hi" }], variables: {} };
  await withToyTokenizer({ chatTemplate: dated }, async (directory) => {
    const tokenizer = loadTokenizer(directory);
    t.mock.timers.enable({ apis: ["Date"], now: Date.UTC(2024, 6, 26, 13, 5) });
    await using encoder = new PromptEncoder(tokenizer, options);
    // datetime.now().strftime("%d %b %Y %H:%M") of Python at these times
    for (const [days, written] of [
      [0, "26 Jul 2024 13:05"],
      [9, "04 Aug 2024 13:05"],
    ] as const) {
      t.mock.timers.setTime(Date.UTC(2024, 6, 26 + days, 13, 5));
      const { prompts } = await here(encoder, ask);
      assert.ok(
        tokenizer.decode(prompts[0] ?? [], { skipSpecialTokens: false }).startsWith(`${written}<|im_start|>`),
      );
    }
  });
});

test("a second BOS is left out and told of, in texts and chats; token ids are taken as they are", async () => {
  const bos = `{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}`;
  await withWorker({ chatTemplate: bos, prependBos: true }, async (worker) => {
    const plain = (prompt: string | number[]) => worker.encode({ kind: "plain", prompt, echo: false });
    const chat = (content: string) =>
      worker.encode({ kind: "chat", messages: [{ role: "user", content }], variables: {} });
    const told = /^(prompt|messages): a second BOS at the beginning of the prompt is left out/;
    for (const ask of [plain, chat]) {
      const [once, twice] = [await ask("a"), await ask("<s>a")];
      assert.deepEqual(twice.prompts, once.prompts);
      assert.equal(once.warning, null);
      assert.match(twice.warning ?? "", told);
    }
    const ids = await plain([3, 3, 70]);
    assert.deepEqual([ids.prompts, ids.warning], [[[3, 3, 70]], null]);
  });
});

test("a chat without a template is refused; a template that cannot be used is told when the thread starts", async () => {
  await withWorker({}, async (worker) => {
    await assert.rejects(worker.encode(asks[0] as PromptAsk), /no chat template. Use \/v1\/completions/);
  });
  await withToyTokenizer({ chatTemplate: "{% for %}" }, async (directory) => {
    await assert.rejects(PromptWorker.open(directory, options, REQUEST_LIMITS), (error: unknown) => {
      assert.ok(error instanceof PreftuneError && error.exitCode === 3);
      return true;
    });
  });
});

test("a long prompt goes in slices: a short one that comes later is there first, beside others as long", async () => {
  await withWorker({ chatTemplate: chatMl }, async (worker) => {
    const order: string[] = [];
    const ask = async (name: string, prompt: string, signal?: AbortSignal): Promise<void> => {
      await worker.encode({ kind: "plain", prompt, echo: false }, signal).catch(() => null);
      order.push(name);
    };
    const text = "a long prompt of many words ".repeat(5000);
    const long = [ask("long", text), ask("long", text), ask("long", text)];
    await ask("short", "hi");
    assert.deepEqual(order, ["short"]);
    await Promise.all(long);
    assert.deepEqual(order, ["short", "long", "long", "long"]);
  });
});

/** A tokenizer that counts its steps. */
function counting(tokenizer: Tokenizer): { tokenizer: Tokenizer; steps: () => number } {
  let steps = 0;
  const counted: Tokenizer = Object.create(tokenizer, {
    encodeSteps: {
      *value(text: string, options: { addSpecialTokens: boolean }): Generator<number, number[]> {
        const inner = tokenizer.encodeSteps(text, options);
        for (let step = inner.next(); ; step = inner.next()) {
          steps++;
          if (step.done === true) return step.value;
          yield step.value;
        }
      },
    },
  });
  for (const name of ["encode", "decode", "tokenId", "isSpecial"] as const)
    Object.defineProperty(counted, name, { value: tokenizer[name].bind(tokenizer) });
  for (const name of ["eosTokenId", "bosTokenId", "chatTemplates"] as const)
    Object.defineProperty(counted, name, { value: tokenizer[name] });
  return { tokenizer: counted, steps: () => steps };
}

test("a prompt far beyond the context is counted to twice as many tokens and no further; one whose client leaves, not at all", async () => {
  await withToyTokenizer({}, async (directory) => {
    const { tokenizer, steps } = counting(loadTokenizer(directory));
    const prompt = "x".repeat(3) + " y".repeat(500_000);
    await using short = new PromptEncoder(tokenizer, { ...options, contextTokens: 512 });
    await assert.rejects(here(short, { kind: "plain", prompt, echo: false }), (error: unknown) => {
      assert.ok(error instanceof ApiError && error.code === "context_length_exceeded");
      assert.match(error.message, /length is 512 tokens. The prompt has more than 1024 and leaves no room/);
      return true;
    });
    assert.ok(steps() < 5, `${steps()} steps`);
    await using long = new PromptEncoder(tokenizer, { ...options, contextTokens: 1_000_000 });
    const leave = new AbortController();
    const work = long.encode(
      { kind: "plain", prompt, echo: false },
      { turns: new Turns(), signal: leave.signal },
    );
    leave.abort(new Error("the client left"));
    await assert.rejects(work, /the client left/);
    const before = steps();
    await new Promise((resolve) => void setTimeout(resolve, 20));
    assert.equal(steps(), before);
    assert.ok(before < 200, `${before} of some 250 steps`);
  });
});

test("a client that leaves is not waited for, and what it asked is dropped", async () => {
  await withWorker({ chatTemplate: chatMl }, async (worker) => {
    const leave = new AbortController();
    const prompt = "a long prompt of many words ".repeat(5000);
    const work = worker.encode({ kind: "plain", prompt, echo: false }, leave.signal);
    leave.abort();
    await assert.rejects(work, (error: unknown) => error instanceof ApiError && error.code === "client_left");
    assert.equal((await worker.encode(asks[1] as PromptAsk)).prompts.length, 1);
  });
});

test("a thread that fails fails what it was asked, and another is started for what comes then", async () => {
  await withToyTokenizer({}, async (directory) => {
    const broken = { ...options, contextTokens: 1n as unknown as number };
    await using worker = await PromptWorker.open(directory, broken, REQUEST_LIMITS);
    const asker = new Asker(worker);
    for (let i = 0; i < 2; i++) await assert.rejects(asker.encode(asks[1] as PromptAsk), /mix BigInt/);
  });
});
