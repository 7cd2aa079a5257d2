/** Prompts that end in a begun turn, against transformers' `continue_final_message`; and headers of templates without a generation prompt. */
import assert from "node:assert/strict";
import test from "node:test";
import { golden } from "../../test/support/goldens.ts";
import { assistant, user } from "../../test/support/messages.ts";
import { withToyTokenizer } from "../../test/support/toy-tokenizer.ts";
import { DataError } from "../base/errors.ts";
import { chatMl } from "../toy/toy-tokenizer.ts";
import { createRowEncoder } from "./encode.ts";
import type { Message } from "./messages.ts";
import type { ChatRow, SourceRow } from "./source-rows.ts";
import { loadTokenizer } from "./tokenizer.ts";

interface Continued {
  title: string;
  template: string;
  messages: Message[];
  answer: string;
  prompt_ids: number[];
  ids: number[];
}

const { continued } = golden<{ continued: Continued[] }>("chat");
const where = "rows.jsonl:1";

async function encodeAll(sources: SourceRow[], chatTemplate: string) {
  return withToyTokenizer({ chatTemplate }, async (directory) => {
    const tokenizer = loadTokenizer(directory);
    await using encoder = createRowEncoder(tokenizer);
    const decode = (ids: readonly number[]) => tokenizer.decode([...ids], { skipSpecialTokens: false });
    return (await encoder.encode(sources)).map((outcome) => {
      if ("error" in outcome) return outcome;
      const { row } = outcome;
      const learned = row.completions.map(({ ids, mask }) => decode(ids.filter((_, i) => mask?.[i] !== 0)));
      const answers = row.completions.map(({ ids }) => decode(ids));
      return { row, prompt: decode(row.promptIds), answers, learned };
    });
  });
}

async function encode(source: SourceRow, chatTemplate: string) {
  const [outcome] = await encodeAll([source], chatTemplate);
  if (outcome === undefined || "error" in outcome) throw outcome?.error ?? new Error("no outcome");
  return outcome;
}

const begun = (prompt: Message[], ...completions: Message[][]): ChatRow => {
  return { kind: "chat", where, prompt, continueFinalMessage: true, completions };
};

test("a begun turn goes on: transformers' ids", async () => {
  for (const template of new Set(continued.map((one) => one.template))) {
    const cases = continued.filter((one) => one.template === template);
    const rows = cases.flatMap(({ messages, answer }) => [
      begun(messages),
      begun(messages, [assistant(answer)]),
    ]);
    const encoded = await encodeAll(rows, template);
    for (const [i, { title, prompt_ids: asked, ids }] of cases.entries()) {
      const [alone, answered] = encoded.slice(2 * i, 2 * i + 2);
      assert.ok(alone !== undefined && "row" in alone && answered !== undefined && "row" in answered, title);
      assert.deepEqual(alone.row.promptIds, asked, title);
      const { promptIds, completions, boundaryMoved } = answered.row;
      // The template's last newline is behind the end of turn. Tokens that merge with the answer went to it.
      assert.deepEqual([...promptIds, ...(completions[0]?.ids ?? [])], ids.slice(0, -1), title);
      assert.deepEqual(promptIds, asked.slice(0, asked.length - boundaryMoved), title);
      assert.equal(completions[0]?.mask, undefined);
    }
  }
});

test("both answers go on with one turn, and an exchange with a tool begins in it", async () => {
  const prompt = [user("q"), assistant("It is")];
  const exchange = [assistant(" I look."), { role: "tool" as const, content: "3" }, assistant("three")];
  const {
    prompt: asked,
    answers,
    learned,
  } = await encode(begun(prompt, [assistant(" 4")], exchange), chatMl);
  assert.equal(asked, "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\nIt is");
  assert.equal(answers[0], " 4<|im_end|>");
  assert.deepEqual(learned, [" 4<|im_end|>", " I look.<|im_end|>three<|im_end|>"]);
});

test("a whole turn at the end of a prompt stays whole where the row does not ask to go on", async () => {
  const row: ChatRow = {
    kind: "chat",
    where,
    prompt: [user("q"), assistant("a")],
    completions: [[assistant("b")]],
  };
  const { prompt, answers } = await encode(row, chatMl);
  assert.ok(prompt.endsWith("assistant\na<|im_end|>\n<|im_start|>assistant\n"));
  assert.deepEqual(answers, ["b<|im_end|>"]);
});

test("a begun turn that cannot go on is refused, with and without answers", async () => {
  const words = chatMl.replace("message['content']", "message['content'] | replace('It is', 'It was')");
  const counts = chatMl.replace(
    "message['content']",
    "(message['content'] | length | string) + message['content']",
  );
  const prompt = [user("q"), assistant("It is")];
  const refused: [SourceRow, string, RegExp][] = [
    [begun(prompt), words, /to write the assistant's turn at the prompt's end verbatim/],
    [begun(prompt, [assistant(" 4")]), words, /to write the assistant's turn at the prompt's end verbatim/],
    [
      begun(prompt, [assistant(" 4")]),
      counts,
      /the turn that the prompt ends with the same way once the answer/,
    ],
    [begun([user("q"), assistant("", { tool_calls: [{ name: "f" }] })]), chatMl, /but it calls tools/],
    [begun(prompt, [assistant("4", { reasoning_content: "hm" })]), chatMl, /but it has "reasoning_content"/],
  ];
  for (const template of new Set(refused.map(([, used]) => used))) {
    const cases = refused.filter(([, used]) => used === template);
    const outcomes = await encodeAll(
      cases.map(([row]) => row),
      template,
    );
    for (const [i, [, , said]] of cases.entries()) {
      const outcome = outcomes[i];
      assert.ok(outcome !== undefined && "error" in outcome && outcome.error instanceof DataError);
      assert.match(outcome.error.message, /^rows\.jsonl:1: /);
      assert.match(outcome.error.message, said);
    }
  }
});

const silent = chatMl.slice(0, chatMl.indexOf("{% if add_generation_prompt"));

test("a template without a generation prompt: the header is in the prompt, and a note says so", async () => {
  const pair: ChatRow = {
    kind: "chat",
    where,
    prompt: [user("q")],
    completions: [[assistant("a")], [assistant("b")]],
  };
  const messages = [user("q"), assistant("a"), user("r"), assistant("b")];
  const rows: SourceRow[] = [pair, { ...pair, completions: [] }, { kind: "conversation", where, messages }];
  const expected = [["a<|im_end|>", "b<|im_end|>"], [], ["a<|im_end|>b<|im_end|>"]];
  for (const [i, outcome] of (await encodeAll(rows, silent)).entries()) {
    assert.ok("row" in outcome);
    assert.equal(outcome.prompt, "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n");
    assert.deepEqual(outcome.learned, expected[i]);
    assert.deepEqual(outcome.row.notes, ["no_generation_prompt"]);
  }
});

test("templates whose answers stand behind no more than white space have no header to move", async () => {
  // Mistral's form: the user's turn ends with what makes the model answer.
  const inst =
    "{% for m in messages %}{{ '[INST] ' + m.content + ' [/INST]' if m.role == 'user' else ' ' + m.content + '<|im_end|>' }}{% endfor %}";
  const always = silent.replace(
    "{% endfor %}",
    "{% endfor %}{{ '<|im_start|>assistant\n' if messages[-1].role == 'user' else '' }}",
  );
  const row: ChatRow = { kind: "chat", where, prompt: [user("q")], completions: [[assistant("a")]] };
  const mistral = await encode(row, inst);
  assert.deepEqual([mistral.prompt, ...mistral.answers], ["[INST] q [/INST]", " a<|im_end|>"]);
  const written = await encode(row, always);
  assert.deepEqual(written.answers, ["a<|im_end|>"]);
  assert.deepEqual([mistral.row.notes, written.row.notes], [[], []]);
});
