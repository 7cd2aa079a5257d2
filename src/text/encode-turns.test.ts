/** What of an answer counts in the loss, against transformers' assistant masks (test/goldens/chat.json). */
import assert from "node:assert/strict";
import test from "node:test";
import { golden } from "../../test/support/goldens.ts";
import { assistant } from "../../test/support/messages.ts";
import { withToyTokenizer } from "../../test/support/toy-tokenizer.ts";
import { chatMl } from "../toy/toy-tokenizer.ts";
import { createRowEncoder, type EncoderOptions } from "./encode.ts";
import type { Message } from "./messages.ts";
import { EmptyAnswerError, type EncodedRow, type SourceRow } from "./source-rows.ts";
import { loadTokenizer } from "./tokenizer.ts";

interface MaskCase {
  template: string;
  conversation: string;
  messages: Message[];
  prompt_messages: number;
  prompt_ids: number[];
  ids: number[];
  mask: number[];
}

const { templates, masks } = golden<{
  templates: Record<string, { marked: string; plain: string }>;
  masks: MaskCase[];
}>("chat");

const where = "row";
const newline = 4 + 1 + 10;

interface Encoded {
  row: EncodedRow;
  /** The learned text of each answer. */
  learned: string[];
}

async function encodeAll(
  rows: SourceRow[],
  chatTemplate: string | undefined,
  options: EncoderOptions = {},
): Promise<Encoded[]> {
  return withToyTokenizer({ chatTemplate }, async (directory) => {
    const tokenizer = loadTokenizer(directory);
    await using encoder = createRowEncoder(tokenizer, options);
    return (await encoder.encode(rows)).map((outcome) => {
      if ("error" in outcome) throw outcome.error;
      const learned = outcome.row.completions.map(({ ids, mask }) =>
        tokenizer.decode(
          ids.filter((_, i) => mask?.[i] !== 0),
          { skipSpecialTokens: false },
        ),
      );
      return { row: outcome.row, learned };
    });
  });
}

async function encode(
  completions: Message[][],
  chatTemplate: string | undefined,
  options: EncoderOptions = {},
): Promise<Encoded> {
  const [only] = await encodeAll(
    [{ kind: "chat", where, prompt: [user], completions }],
    chatTemplate,
    options,
  );
  return only as Encoded;
}

/** Token ids of prompt and answer, and the answer's mask written out. */
function flat({ promptIds, completions }: EncodedRow, answer = 0): { ids: number[]; mask: number[] } {
  const { ids, mask } = completions[answer] ?? { ids: [] };
  return { ids: [...promptIds, ...ids], mask: mask ?? ids.map(() => 1) };
}

const forms = [
  ["with", "marked"],
  ["without", "plain"],
] as const;
for (const [how, form] of forms) {
  test(`templates ${how} generation marks: answers have transformers' masks`, async () => {
    for (const [template, texts] of Object.entries(templates)) {
      const cases = masks.filter((one) => one.template === template);
      const rows = cases.flatMap(({ messages, prompt_messages: cut }): SourceRow[] => [
        { kind: "chat", where, prompt: messages.slice(0, cut), completions: [messages.slice(cut)] },
        { kind: "conversation", where, messages },
      ]);
      const encoded = await encodeAll(rows, texts[form]);
      for (const [i, one] of cases.entries()) {
        const name = `${template}, ${one.conversation}`;
        const [pair, whole] = encoded.slice(2 * i, 2 * i + 2);
        assert.ok(pair !== undefined && whole !== undefined);
        assert.deepEqual(pair.row.promptIds, one.prompt_ids, name);
        // The template's last newline is after the end of turn and not encoded.
        assert.equal(one.ids.at(-1), newline);
        for (const { row } of [pair, whole]) {
          const { ids, mask } = flat(row);
          assert.deepEqual(ids, one.ids.slice(0, -1), name);
          assert.deepEqual(mask, one.mask.slice(row.promptIds.length, -1), name);
        }
      }
    }
  });
}

const user: Message = { role: "user", content: "q" };
const tool = (content: string): Message => ({ role: "tool", content });
const withTool = [assistant("call"), tool("3"), assistant("three")];

test("an answer with a tool beside one without: each has its own mask, and the ends of all turns are learned", async () => {
  const { row, learned } = await encode([withTool, [assistant("four")]], chatMl);
  assert.deepEqual(learned, ["call<|im_end|>three<|im_end|>", "four<|im_end|>"]);
  assert.equal(row.completions[1]?.mask, undefined);
  assert.deepEqual(row.notes, []);
});

test("mask_tool_output false counts all of the answer, as TRL's DPO does", async () => {
  for (const chatTemplate of [chatMl, templates["inline"]?.marked]) {
    const { row } = await encode([withTool], chatTemplate, { maskToolOutput: false });
    assert.deepEqual(
      row.completions.map(({ mask }) => mask),
      [undefined],
    );
  }
});

test("an end of turn that the marks leave out is learned all the same, and said", async () => {
  const chatTemplate =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}" +
    "{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}" +
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  const { row, learned } = await encode([withTool], chatTemplate);
  assert.deepEqual(learned, ["call<|im_end|>three<|im_end|>"]);
  assert.deepEqual(row.notes, ["end_of_turn_unmarked"]);
});

test("text that looks like a mark is text", async () => {
  const odd = [assistant("a\uFDD0b\uFDD1c"), tool("\uFDD1"), assistant("d")];
  const { learned } = await encode([odd], templates["inline"]?.marked);
  assert.deepEqual(learned, ["a\uFDD0b\uFDD1c<|im_end|>d<|im_end|>"]);
});

test("a template whose earlier turns read differently inside the answer: the mask follows what is written", async () => {
  // The thinking of a turn is written only while it is the last one.
  const chatTemplate =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n" +
    "{% if m.role == 'assistant' and loop.last %}<think></think>{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}" +
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  const { row, learned } = await encode([withTool], chatTemplate);
  assert.deepEqual(learned, ["call<|im_end|><think></think>three<|im_end|>"]);
  assert.deepEqual(row.notes, ["turn_rewritten", "empty_thinking_in_answer"]);
});

test("a turn whose first characters are those of the generation prompt that turns do not keep is learned from its first one", async () => {
  // As Qwen3 does without thinking; an answer that is last is written as one in the history here.
  const asking = "<|im_start|>assistant\n<think>\n\n</think>\n\n";
  const chatTemplate = chatMl.replace("<|im_start|>assistant\n", asking);
  assert.ok(chatTemplate.includes(asking));
  const messages = [user, assistant("<answer>a"), user, assistant("<t>b"), user, assistant("c")];
  const rows: SourceRow[] = [{ kind: "conversation", where, messages }];
  const [encoded] = await encodeAll(rows, chatTemplate);
  assert.deepEqual(encoded?.learned, ["<answer>a<|im_end|><t>b<|im_end|>c<|im_end|>"]);
});

test("a turn that ends with a token of its own: what the tool wrote behind it is not learned", async () => {
  // As gpt-oss does: a call ends with another token than an answer; the tool's message ends as an answer does.
  const turn =
    "{% if m.tool_calls %}{{ m.tool_calls[0].name }}</s>{% else %}{{ m.content }}<|im_end|>{% endif %}";
  const chatTemplate =
    `{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}${turn}` +
    "{% else %}{{ m.content }}<|im_end|>{% endif %}\n{% endfor %}" +
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  const called: Message = { ...assistant(""), tool_calls: [{ name: "look" }] };
  const answer = [
    called,
    tool("3"),
    { ...called, tool_calls: [{ name: "see" }] },
    tool("4"),
    assistant("seven"),
  ];
  const { learned, row } = await encode([answer], chatTemplate);
  assert.deepEqual(learned, ["look</s>see</s>seven<|im_end|>"]);
  assert.deepEqual(row.notes, []);
  // The same where the template changes the turn once others follow.
  const rewritten = chatTemplate.replace(
    "{{ m.tool_calls[0].name }}",
    "{{ 'last ' if loop.last }}{{ m.tool_calls[0].name }}",
  );
  const other = await encode([answer], rewritten);
  assert.deepEqual(other.learned, ["look</s>see</s>seven<|im_end|>"]);
  assert.deepEqual(other.row.notes, ["turn_rewritten"]);
});

test("parts of one turn that are marked apart are one turn, and its end is learned once", async () => {
  const chatTemplate =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}" +
    "{% generation %}{{ m.content }}{% endgeneration %}{% generation %}<|im_end|>{% endgeneration %}" +
    "{% else %}{{ m.content }}<|im_end|>{% endif %}\n{% endfor %}" +
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  const { row, learned } = await encode([withTool], chatTemplate);
  assert.deepEqual(learned, ["call<|im_end|>three<|im_end|>"]);
  assert.deepEqual(row.notes, []);
  await assert.rejects(
    encode([[assistant(""), tool("3"), assistant("three")]], chatTemplate),
    EmptyAnswerError,
  );
});

test("what an error proposes works: mask_tool_output false where turns cannot be told apart", async () => {
  // What stands before the last message depends on how many there are.
  const chatTemplate = chatMl.replace(
    "{% for message in messages %}",
    "{% for message in messages %}{{ 'late ' if loop.index0 == 2 and messages | length > 3 else '' }}",
  );
  await assert.rejects(encode([withTool], chatTemplate), /Set mask_tool_output: false, or use a template/);
  const { row } = await encode([withTool], chatTemplate, { maskToolOutput: false });
  assert.equal(row.completions[0]?.mask, undefined);
});
