/** Encoding with real tokenizers and templates, against ids from transformers' apply_chat_template. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import test from "node:test";

import { assistant, user } from "../../test/support/messages.ts";
import { requireShared, skipWithoutShared } from "../../test/support/shared.ts";
import { DataError } from "../base/errors.ts";
import { createRowEncoder, type EncoderOptions, type RowEncoder } from "./encode.ts";
import type { Message } from "./messages.ts";
import type { EncodedRow, SourceRow } from "./source-rows.ts";
import { loadTokenizer, type Tokenizer } from "./tokenizer.ts";

const question = [user("What is 2+2?")];
const longer = [
  { role: "system" as const, content: "Be brief." },
  user("Grüße, 漢字 🙂!"),
  assistant("Hallo!\n\nWie geht's?"),
  user("Gut. Und dir?"),
];
const tools = [
  {
    type: "function",
    function: {
      name: "add",
      description: "Adds two numbers",
      parameters: { type: "object", properties: { a: { type: "number" } } },
    },
  },
];
const chat = (prompt: Message[], ...answers: Message[]): SourceRow => ({
  kind: "chat",
  where: "row",
  prompt,
  completions: answers.map((answer) => [answer]),
});

const qwen = ["tokenizers", "qwen3"] as const;
const skipQwen = { skip: skipWithoutShared(...qwen) };

const loaded: Map<string, Tokenizer> = new Map();

async function withEncoder<T>(
  path: readonly string[],
  options: EncoderOptions,
  body: (encoder: RowEncoder, decode: (ids: number[]) => string) => Promise<T>,
): Promise<T> {
  const directory = requireShared(...path);
  const tokenizer = loaded.get(directory) ?? loadTokenizer(directory);
  loaded.set(directory, tokenizer);
  await using encoder = createRowEncoder(tokenizer, options);
  return await body(encoder, (ids) => tokenizer.decode(ids, { skipSpecialTokens: false }));
}

async function encodeOne(encoder: RowEncoder, row: SourceRow): Promise<EncodedRow> {
  const [outcome] = await encoder.encode([row]);
  if (outcome === undefined || "error" in outcome) throw outcome?.error ?? new Error("no outcome");
  return outcome.row;
}

const hash = (ids: number[]): string =>
  createHash("sha256").update(JSON.stringify(ids)).digest("hex").slice(0, 16);

// Each: ids of the short prompt and its answer "It is 4." up to the end of turn, hashes of the longer prompt and of
// prompt and answer with the template's last newline, as transformers 5.23 gives them.
const references = {
  fixture: {
    path: ["fixtures", "llama_tied", "model"],
    prompt: [1, 343, 201, 57, 74, 336, 223, 297, 223, 20, 13, 20, 33, 2, 201, 1, 346, 201],
    answer: [43, 86, 223, 297, 223, 22, 16, 2],
    newline: 201,
    longPrompt: "00256e102263d1d0",
    longWhole: "493ef764ecb9acfd",
  },
  smollm2: {
    path: ["tokenizers", "smollm2"],
    prompt: [
      1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411, 407, 19712,
      8182, 2, 198, 1, 4093, 198, 1780, 314, 216, 34, 27, 34, 47, 2, 198, 1, 520, 9531, 198,
    ],
    answer: [1589, 314, 216, 36, 30, 2],
    newline: 198,
    longPrompt: "b9e78ecbcb303c15",
    longWhole: "374a76058dea7140",
  },
  qwen3: {
    path: [...qwen],
    prompt: [151644, 872, 198, 3838, 374, 220, 17, 10, 17, 30, 151645, 198, 151644, 77091, 198],
    answer: [151667, 271, 151668, 271, 2132, 374, 220, 19, 13, 151645],
    newline: 198,
    longPrompt: "d1462c6f4f8bbdaf",
    longWhole: "59e6a7f801b019ab",
  },
};
for (const [name, reference] of Object.entries(references)) {
  test(
    `${name}: prompt and answer are transformers' ids`,
    { skip: skipWithoutShared(...reference.path) },
    () =>
      withEncoder(reference.path, {}, async (encoder) => {
        const short = await encodeOne(encoder, chat(question, assistant("It is 4.")));
        assert.deepEqual(short.promptIds, reference.prompt);
        assert.deepEqual(short.completions[0]?.ids, reference.answer);
        const long = await encodeOne(encoder, chat(longer, assistant("Auch gut."), assistant("Gut.")));
        assert.equal(hash(long.promptIds), reference.longPrompt);
        const whole = [...long.promptIds, ...(long.completions[0]?.ids ?? []), reference.newline];
        assert.equal(hash(whole), reference.longWhole);
        assert.equal(long.boundaryMoved, 0);
        const format = await encoder.chatFormat();
        assert.equal(format.endOfTurn, "<|im_end|>");
        assert.equal(long.completions[1]?.ids.at(-1), format.endOfTurnId);
      }),
  );
}

test("Qwen3: the thinking policy decides where the empty thinking block goes", skipQwen, async () => {
  const row = chat(question, assistant("It is 4."), assistant("5"));
  const opening = references.qwen3.prompt;
  const answer = references.qwen3.answer;
  for (const enableThinking of [null, true]) {
    await withEncoder(qwen, { enableThinking }, async (encoder) => {
      const encoded = await encodeOne(encoder, row);
      assert.deepEqual(encoded.promptIds, opening);
      assert.deepEqual(encoded.completions[0]?.ids, answer);
      assert.deepEqual(encoded.notes, ["empty_thinking_in_answer"]);
    });
  }
  await withEncoder(qwen, { enableThinking: false }, async (encoder) => {
    const encoded = await encodeOne(encoder, row);
    assert.deepEqual(encoded.promptIds, [...opening, ...answer.slice(0, 4)]);
    assert.deepEqual(encoded.completions[0]?.ids, answer.slice(4));
    assert.deepEqual(encoded.notes, []);
  });
});

test(
  "Qwen3: answers that think keep their thinking, in either form, and need thinking on",
  skipQwen,
  async () => {
    const inside = assistant("<think>\ntwo and two\n</think>\n\nIt is 4.");
    const apart = assistant("It is 4.", { reasoning_content: "two and two" });
    await withEncoder(qwen, { enableThinking: true }, async (encoder, decode) => {
      const row = await encodeOne(encoder, chat(question, inside, apart));
      assert.deepEqual(row.completions[0], row.completions[1]);
      assert.equal(
        decode(row.completions[0]?.ids ?? []),
        "<think>\ntwo and two\n</think>\n\nIt is 4.<|im_end|>",
      );
      assert.deepEqual(row.notes, []);
    });
    await withEncoder(qwen, { enableThinking: false }, async (encoder) => {
      for (const answer of [inside, apart]) {
        await assert.rejects(encodeOne(encoder, chat(question, answer)), (error) => {
          assert.ok(error instanceof DataError);
          assert.match(error.message, /^row: .*two and two.*Set enable_thinking to true or null/);
          return true;
        });
      }
    });
  },
);

test("Qwen3: thinking of earlier turns is dropped from the prompt", skipQwen, async () => {
  const prompt = [...question, assistant("<think>\nhm\n</think>\n\n4"), user("Sure?")];
  await withEncoder(qwen, { enableThinking: false }, async (encoder, decode) => {
    const row = await encodeOne(encoder, chat(prompt, assistant("  Yes"), assistant("No")));
    assert.ok(!decode(row.promptIds).includes("hm"));
    // The template strips newlines before an answer, not the indentation of its first line.
    assert.equal(decode(row.completions[0]?.ids ?? []), "  Yes<|im_end|>");
    assert.deepEqual(row.notes, ["history_thinking_dropped"]);
  });
});

test("Qwen3: tools are part of the prompt", skipQwen, () =>
  withEncoder(qwen, {}, async (encoder) => {
    const row = await encodeOne(encoder, { ...chat(question, assistant("4")), tools } as SourceRow);
    assert.equal(hash(row.promptIds), "be7682a23a4c9984");
    assert.equal(hash([...row.promptIds, ...(row.completions[0]?.ids ?? []), 198]), "32877bd596417205");
  }),
);

test("Qwen3: a conversation learns earlier turns as the history shows them", skipQwen, async () => {
  const messages = [
    ...question,
    assistant("<think>\nhm\n</think>\n\n4"),
    user("Sure?"),
    assistant("Yes", { reasoning_content: "hm hm" }),
  ];
  const learned = async (options: EncoderOptions): Promise<[string, string[]]> =>
    withEncoder(qwen, options, async (encoder, decode) => {
      const row = await encodeOne(encoder, { kind: "conversation", where: "row", messages });
      const [completion] = row.completions;
      const ids = completion?.ids.filter((_, i) => completion.mask?.[i] !== 0) ?? [];
      return [decode(ids), row.notes];
    });
  const thinking = "<think>\nhm hm\n</think>\n\nYes<|im_end|>";
  assert.deepEqual(await learned({}), [`4<|im_end|>${thinking}`, ["turn_rewritten"]]);
  assert.deepEqual(await learned({ trainOn: "last" }), [thinking, ["history_thinking_dropped"]]);
});

test(
  "SmolLM2: every turn is learned, the default system prompt is not",
  { skip: skipWithoutShared("tokenizers", "smollm2") },
  () =>
    withEncoder(["tokenizers", "smollm2"], {}, async (encoder, decode) => {
      const messages = [...question, assistant("4"), user("Sure?"), assistant("Yes")];
      const row = await encodeOne(encoder, { kind: "conversation", where: "row", messages });
      const [completion] = row.completions;
      const ids = completion?.ids.filter((_, i) => completion.mask?.[i] === 1) ?? [];
      assert.equal(decode(ids), "4<|im_end|>Yes<|im_end|>");
      assert.ok(decode(row.promptIds).startsWith("<|im_start|>system\nYou are a helpful"));
      assert.deepEqual(row.notes, []);
    }),
);

const stories = ["models", "stories260K"] as const;

test(
  "stories260K: plain text has one BOS, and answers go on from the prompt",
  { skip: skipWithoutShared(...stories) },
  () =>
    withEncoder(stories, {}, async (encoder) => {
      const row = await encodeOne(encoder, {
        kind: "text",
        where: "row",
        prompt: "Once upon a time",
        completions: [", there was", ""],
      });
      assert.deepEqual(row.promptIds, [1, 403, 407, 261, 378]);
      assert.deepEqual(row.completions, [{ ids: [432, 383, 286, 2] }, { ids: [2] }]);
      assert.deepEqual(row.notes, []);
    }),
);

test("stories260K: the golden text has its 35 tokens", { skip: skipWithoutShared(...stories) }, () =>
  withEncoder(stories, {}, async (encoder) => {
    const golden = JSON.parse(readFileSync(requireShared(...stories, "golden.json"), "utf8"));
    const row = await encodeOne(encoder, { kind: "plain", where: "row", text: golden.sentence });
    assert.deepEqual(row.promptIds, [1]);
    assert.equal(row.completions[0]?.ids.length, golden.n_tokens - 1 + 1);
    assert.equal(row.completions[0]?.ids.at(-1), 2);
  }),
);
