/** Rows that hold no pair, or more than can be read, and the words they are refused with. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { DataError } from "../base/errors.ts";
import { normaliseRow, type RowOptions } from "./rows.ts";

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });
const system = (content: string) => ({ role: "system", content });
const human = (value: string) => ({ from: "human", value });
const gpt = (value: string) => ({ from: "gpt", value });
const answers = { chosen: "Blue.", rejected: "Green." };
const weather = { name: "weather", parameters: { type: "object" } };

type Options = Partial<RowOptions> & { isText?: boolean };

function read(value: Record<string, unknown>, { isText = false, ...options }: Options): void {
  normaliseRow(
    { origin: { file: "rows.jsonl", line: 2 }, value, isText },
    { task: "preference", ...options },
  );
}

const refused: [string, Record<string, unknown>, RegExp, Options?][] = [
  ["KTO", { prompt: "a", completion: "b", label: true }, /"label"\): the data is unpaired/],
  ["KTO's bad answers", { prompt: "a", completion: "b", label: false }, /the data is unpaired/],
  [
    "KTO of LLaMA-Factory",
    { messages: [user("a"), assistant("b")], kto_tag: true },
    /"kto_tag"\): the data is unpaired/,
  ],
  [
    "SHP",
    { history: "a", human_ref_A: "b", human_ref_B: "c", labels: 1 },
    /\(SHP\): chosen is "human_ref_A" where/,
  ],
  ["Nectar", { prompt: "a", answers: [{ answer: "b", rank: 1 }] }, /ranks or scores.*the data is ranked/],
  [
    "UltraFeedback as published",
    { instruction: "a", completions: [{ response: "b" }] },
    /the data is ranked/,
  ],
  [
    "WebGPT",
    { question: { full_text: "a" }, answer_0: "b", answer_1: "c", score_0: 1, score_1: -1 },
    /\(WebGPT\).*where both are equal there is nothing to prefer/,
  ],
  [
    "PKU-SafeRLHF",
    { prompt: "a", response_0: "b", response_1: "c", better_response_id: 1 },
    /a verdict beside them/,
  ],
  [
    "LMSYS's arena",
    { conversation_a: [user("a")], conversation_b: [user("a")], winner: "model_a" },
    /two conversations and a winner/,
  ],
  [
    "a bad answer for sft",
    { prompt: "a", completion: "b", label: false },
    /"label": .*marked as bad/,
    { task: "sft" },
  ],
  [
    "a bad answer for sft in CSV",
    { prompt: "a", completion: "b", label: "False" },
    /"label": .*marked as bad/,
    { task: "sft", isText: true },
  ],
  ["a pair marked as bad", { prompt: "a", ...answers, label: false }, /"label": .*marked as bad/],
  [
    "three answers",
    { instruction: "a", output: ["b", "c", "d"] },
    /"output": expected two texts.*got 3 values/,
  ],
  [
    "several rejected texts",
    { prompt: "a", chosen: "b", rejected: ["c", "d"] },
    /"rejected": expected one text, got a list of 2/,
  ],
  [
    "an answer of no messages",
    { prompt: "a", chosen: [], rejected: "c" },
    /"chosen": .*at least one message/,
  ],
  [
    "an answer that is not to be learned",
    {
      prompt: [user("a"), { ...assistant("b"), weight: 0 }, user("c")],
      chosen: { ...assistant("d"), weight: 0 },
      rejected: "e",
    },
    /every assistant's message of an answer to count in the loss/,
  ],
  [
    "two prompts",
    { question: "a", query: "b", ...answers },
    /expected one prompt, got "question" and "query"/,
  ],
  [
    "two system messages",
    { system: "Be brief.", messages: [system("Be long."), user("a")], ...answers },
    /expected one system message, got another/,
  ],
  ["images", { prompt: "a", ...answers, images: ["a.png"] }, /no column "images".*trained on text/],
  [
    "OpenAI's functions",
    { messages: [user("a"), assistant("b")], functions: [weather] },
    /Write them as "tools"/,
    { task: "sft" },
  ],
  [
    "ShareGPT of unknown speakers",
    { conversations: [{ from: "robot", value: "a" }], ...answers },
    /message 1: expected "from" to be one of human, .*got "robot"/,
  ],
  [
    "a call that is none",
    { conversations: [human("a"), { from: "function_call", value: "weather()" }, gpt("b")] },
    /message 2: expected the value of a function_call to be JSON/,
    { task: "sft" },
  ],
  [
    "a message of two forms",
    { conversations: [{ from: "human", role: "user", value: "a" }], ...answers },
    /message 1: expected "role" and "content", or "from" and "value", got both/,
  ],
];

for (const [name, row, message, options = {}] of refused) {
  test(`refused: ${name}`, () => {
    assert.throws(
      () => read(row, options),
      (error: Error) => {
        assert.ok(error instanceof DataError);
        assert.match(error.message, /^rows\.jsonl:2/);
        assert.match(error.message, message);
        return true;
      },
    );
  });
}
