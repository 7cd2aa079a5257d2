/** Tests of prompt-worker.ts and prompts.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PreftuneError } from "../base/errors.ts";
import type { Message } from "../text/messages.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { chatMl, type ToyOptions, withToyTokenizer } from "../text/toy-tokenizer.ts";
import { ApiError } from "./api-error.ts";
import { PromptWorker } from "./prompt-worker.ts";
import { type PromptAsk, PromptEncoder } from "./prompts.ts";

const options = { chatTemplate: null, eosTokenIds: [0], vocabSize: 264 };

const asks: PromptAsk[] = [
  { kind: "chat", messages: [{ role: "user", content: "hi" }], variables: {} },
  { kind: "plain", prompt: "hi" },
  { kind: "plain", prompt: ["a", "b"] },
  { kind: "plain", prompt: [1, 2, 3] },
  { kind: "plain", prompt: [[1], [2, 3]] },
];

async function withWorker(toy: ToyOptions, body: (worker: PromptWorker, directory: string) => Promise<void>) {
  await withToyTokenizer(toy, async (directory) => {
    await using worker = await PromptWorker.open(directory, options);
    await body(worker, directory);
  });
}

test("the thread gives what the encoder gives, whichever order it is asked in", async () => {
  await withWorker({ chatTemplate: chatMl }, async (worker, directory) => {
    await using encoder = new PromptEncoder(loadTokenizer(directory), options);
    const there = await Promise.all(asks.map((ask) => worker.encode(ask)));
    for (const [i, ask] of asks.entries()) assert.deepEqual(there[i], await encoder.encode(ask));
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
      [{ kind: "plain", prompt: [264] }, /prompt: expected token ids below 264, got 264/],
      [{ kind: "plain", prompt: "" }, /expected a prompt of at least one token/],
    ];
    for (const [ask, message] of refused) {
      await assert.rejects(worker.encode(ask), (error: unknown) => {
        assert.ok(error instanceof ApiError && error.status === 422);
        assert.match(error.message, message);
        return true;
      });
    }
    assert.equal((await worker.encode({ kind: "plain", prompt: "hi" })).prompts[0]?.length, 2);
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

test("a chat without a template is refused; a template that cannot be used is told when the thread starts", async () => {
  await withWorker({}, async (worker) => {
    await assert.rejects(worker.encode(asks[0] as PromptAsk), /no chat template. Use \/v1\/completions/);
  });
  await withToyTokenizer({ chatTemplate: "{% for %}" }, async (directory) => {
    await assert.rejects(PromptWorker.open(directory, options), (error: unknown) => {
      assert.ok(error instanceof PreftuneError && error.exitCode === 3);
      return true;
    });
  });
});

test("while a long prompt is tokenised the event loop turns", async () => {
  await withWorker({ chatTemplate: chatMl }, async (worker, directory) => {
    const ask: PromptAsk = { kind: "plain", prompt: "a long prompt of many words ".repeat(4000) };
    const turnsDuring = async (work: Promise<unknown>): Promise<number> => {
      let turns = 0;
      let isOver = false;
      const over = work.finally(() => {
        isOver = true;
      });
      while (!isOver) {
        turns++;
        await new Promise(setImmediate);
      }
      await over;
      return turns;
    };
    await using encoder = new PromptEncoder(loadTokenizer(directory), options);
    const here = await turnsDuring(encoder.encode(ask));
    const there = await turnsDuring(worker.encode(ask));
    assert.ok(there > 10 * here, `${there} turns with the thread, ${here} without`);
  });
});

test("a thread that fails fails what it was asked, and another answers what comes then", async () => {
  await withWorker({ chatTemplate: chatMl }, async (worker) => {
    const malformed = worker.encode({ kind: "plain" } as unknown as PromptAsk);
    const beside = worker.encode(asks[1] as PromptAsk);
    await assert.rejects(malformed, /undefined/);
    // answered before the failure or lost by it
    await beside.catch(() => null);
    assert.equal((await worker.encode(asks[1] as PromptAsk)).prompts.length, 1);
  });
});
