/** Forms of published data sets and other trainers, one test each: what they are read as, and which columns that used. */
import assert from "node:assert/strict";
import { test } from "node:test";

import type { ChatRow, ConversationRow, SourceRow, TextRow } from "../text/source-rows.ts";
import { normaliseRow, type RowOptions } from "./rows.ts";

const origin = { file: "rows.jsonl", line: 2 };
const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });
const system = (content: string) => ({ role: "system", content });
const human = (value: string) => ({ from: "human", value });
const gpt = (value: string) => ({ from: "gpt", value });

type Options = Partial<RowOptions> & { isText?: boolean };

function read(value: Record<string, unknown>, { isText = false, ...options }: Options = {}) {
  return normaliseRow({ origin, value, isText }, { task: "preference", ...options });
}

/** Prompt and answers, with tools where there are any. */
function parts(source: SourceRow | null): unknown {
  if (source?.kind === "conversation") return { messages: source.messages, ...toolsOf(source) };
  if (source?.kind === "plain" || source === null) return source;
  const { prompt, completions } = source;
  return { prompt, completions, ...(source.kind === "chat" ? toolsOf(source) : {}) };
}

function toolsOf({ tools }: ChatRow | ConversationRow): object {
  return (tools ?? null) === null ? {} : { tools };
}

const pair = { prompt: [user("Which colour?")], completions: [[assistant("Blue.")], [assistant("Green.")]] };
const withSystem = { ...pair, prompt: [system("Be brief."), user("Which colour?")] };
const answers = { chosen: "Blue.", rejected: "Green." };
const weather = { name: "weather", description: "Weather of a city", parameters: { type: "object" } };
const tools = [{ type: "function", function: weather }];

/** name, row, what it is read as, columns passed over */
const preferenceForms: [string, Record<string, unknown>, unknown, string[]?][] = [
  [
    "Intel/orca_dpo_pairs, chatml.intel",
    { system: "Be brief.", question: "Which colour?", ...answers },
    withSystem,
  ],
  ["an empty system message", { system: "", question: "Which colour?", ...answers }, pair],
  [
    "chatml.icr, argilla's orca pairs",
    { system: "Be brief.", input: "Which colour?", ...answers },
    withSystem,
  ],
  ["chatml.prompt_pairs", { system: "Be brief.", prompt: "Which colour?", ...answers }, withSystem],
  [
    "chatml.argilla",
    {
      system: "Be brief.",
      instruction: "Which colour?",
      chosen_response: "Blue.",
      rejected_response: "Green.",
    },
    withSystem,
  ],
  ["OpenOrca's names", { system_prompt: "Be brief.", question: "Which colour?", ...answers }, withSystem],
  ["query", { query: "Which colour?", ...answers }, pair],
  ["Alpaca-DPO", { instruction: "Which colour?", input: "", ...answers }, pair],
  [
    "Alpaca-DPO with an input",
    { instruction: "Which colour?", input: "The sky's.", ...answers },
    { ...pair, prompt: [user("Which colour?\nThe sky's.")] },
  ],
  ["Alpaca-DPO with an input alone", { instruction: "", input: "Which colour?", ...answers }, pair],
  ["Alpaca's comparison", { instruction: "Which colour?", input: "", output: ["Blue.", "Green."] }, pair],
  [
    "LLaMA-Factory's alpaca with history",
    { instruction: "Which colour?", system: "Be brief.", history: [["Hi", "Hello"]], ...answers },
    { ...pair, prompt: [system("Be brief."), user("Hi"), assistant("Hello"), user("Which colour?")] },
  ],
  [
    "LLaMA-Factory's ShareGPT",
    { conversations: [human("Which colour?")], chosen: gpt("Blue."), rejected: gpt("Green.") },
    pair,
  ],
  [
    "LLaMA-Factory's ShareGPT with system and tools",
    {
      system: "Be brief.",
      tools: JSON.stringify([weather]),
      conversations: [human("Which colour?")],
      chosen: gpt("Blue."),
      rejected: gpt("Green."),
    },
    { ...withSystem, tools },
  ],
  [
    "Axolotl's chat_template",
    { messages: [user("Which colour?")], chosen: assistant("Blue."), rejected: assistant("Green.") },
    pair,
  ],
  ["messages beside plain answers", { messages: [user("Which colour?")], ...answers }, pair],
  [
    "OpenAI's preference fine-tuning",
    {
      input: { messages: [user("Which colour?")], tools, parallel_tool_calls: true },
      preferred_output: [assistant("Blue.")],
      non_preferred_output: [assistant("Green.")],
    },
    { ...pair, tools },
    ["input.parallel_tool_calls"],
  ],
  [
    "UltraFeedback binarized",
    {
      prompt: "Which colour?",
      prompt_id: "f0e1",
      chosen: [user("Which colour?"), assistant("Blue.")],
      rejected: [user("Which colour?"), assistant("Green.")],
      messages: [user("Which colour?"), assistant("Blue.")],
      score_chosen: 8,
      score_rejected: 4,
    },
    pair,
    ["prompt_id", "messages", "score_chosen", "score_rejected"],
  ],
  [
    "argilla's UltraFeedback, cleaned",
    {
      source: "sharegpt",
      prompt: "Which colour?",
      chosen: [user("Which colour?"), assistant("Blue.")],
      "chosen-rating": 5,
      "chosen-model": "a",
      rejected: [user("Which colour?"), assistant("Green.")],
      "rejected-rating": 2,
      "rejected-model": "b",
    },
    pair,
    ["source", "chosen-rating", "chosen-model", "rejected-rating", "rejected-model"],
  ],
  [
    "the chosen conversation again as messages, without a prompt",
    {
      chosen: [user("Which colour?"), assistant("Blue.")],
      rejected: [user("Which colour?"), assistant("Green.")],
      messages: [user("Which colour?"), assistant("Blue.")],
    },
    pair,
    ["messages"],
  ],
  [
    "a system column beside conversations without a prompt",
    {
      system: "Be brief.",
      chosen: [user("Which colour?"), assistant("Blue.")],
      rejected: [user("Which colour?"), assistant("Green.")],
    },
    withSystem,
  ],
  [
    "a system column beside transcripts",
    {
      system: "Be brief.",
      chosen: "\n\nHuman: Which colour?\n\nAssistant: Blue.",
      rejected: "\n\nHuman: Which colour?\n\nAssistant: Green.",
    },
    withSystem,
  ],
  [
    "a question beside answers that repeat it",
    {
      question: "Which colour?",
      chosen: [user("Which colour?"), assistant("Blue.")],
      rejected: [user("Which colour?"), assistant("Green.")],
    },
    pair,
  ],
];

for (const [name, row, expected, passedOver = []] of preferenceForms) {
  test(`preference rows: ${name}`, () => {
    const { source, columns } = read(row);
    assert.deepEqual(parts(source), expected);
    assert.deepEqual(columns.passedOver, passedOver);
    assert.deepEqual(columns.doubtful, []);
  });
}

const call = { type: "function", function: { name: "weather", arguments: { city: "Rome" } } };

const supervisedForms: [string, Record<string, unknown>, unknown, string[]?][] = [
  [
    "Alpaca",
    { instruction: "Which colour?", input: "The sky's.", output: "Blue." },
    { prompt: [user("Which colour?\nThe sky's.")], completions: [[assistant("Blue.")]] },
  ],
  [
    "Alpaca with a text column that repeats nothing",
    { instruction: "Which colour?", input: "", output: "Blue.", text: "Below is an instruction" },
    { prompt: [user("Which colour?")], completions: [[assistant("Blue.")]] },
    ["text"],
  ],
  [
    "OpenOrca",
    { id: "1", system_prompt: "Be brief.", question: "Which colour?", response: "Blue." },
    { prompt: [system("Be brief."), user("Which colour?")], completions: [[assistant("Blue.")]] },
    ["id"],
  ],
  [
    "question and answer",
    { question: "Which colour?", answer: "Blue." },
    { prompt: [user("Which colour?")], completions: [[assistant("Blue.")]] },
  ],
  [
    "ShareGPT",
    { conversations: [{ from: "system", value: "Be brief." }, human("Which colour?"), gpt("Blue.")] },
    { messages: [system("Be brief."), user("Which colour?"), assistant("Blue.")] },
  ],
  [
    "LLaMA-Factory's ShareGPT with calls",
    {
      conversations: [
        human("Weather?"),
        { from: "function_call", value: '{"name": "weather", "arguments": {"city": "Rome"}}' },
        { from: "observation", value: "22" },
        gpt("Warm."),
      ],
      tools: JSON.stringify([weather]),
    },
    {
      messages: [
        user("Weather?"),
        { role: "assistant", content: "", tool_calls: [call] },
        { role: "tool", content: "22" },
        assistant("Warm."),
      ],
      tools,
    },
  ],
  [
    "OpenAI's fine-tuning",
    { messages: [user("Which colour?"), assistant("Blue.")], tools, parallel_tool_calls: false },
    { messages: [user("Which colour?"), assistant("Blue.")], tools },
    ["parallel_tool_calls"],
  ],
  [
    "messages with a system column",
    { system: "Be brief.", messages: [user("Which colour?"), assistant("Blue.")] },
    { messages: [system("Be brief."), user("Which colour?"), assistant("Blue.")] },
  ],
  [
    "Axolotl's conversation",
    { conversation: [human("Which colour?"), gpt("Blue.")] },
    { messages: [user("Which colour?"), assistant("Blue.")] },
  ],
  [
    "the chosen answer of a pair with its prompt as messages",
    { messages: [user("Which colour?")], chosen: assistant("Blue."), rejected: assistant("Green.") },
    { prompt: [user("Which colour?")], completions: [[assistant("Blue.")]] },
    ["rejected"],
  ],
  [
    "UltraFeedback binarized",
    {
      prompt: "Which colour?",
      messages: [user("Which colour?"), assistant("Blue.")],
      chosen: [user("Which colour?"), assistant("Blue.")],
      rejected: [user("Which colour?"), assistant("Green.")],
    },
    { messages: [user("Which colour?"), assistant("Blue.")] },
    ["prompt", "chosen", "rejected"],
  ],
  [
    "prompt and completion with a system message",
    { system: "Be brief.", prompt: "Which colour?", completion: "Blue." },
    { prompt: [system("Be brief."), user("Which colour?")], completions: [[assistant("Blue.")]] },
  ],
  [
    "a good answer of an unpaired row",
    { prompt: "The sky is", completion: " blue.", label: true },
    { prompt: "The sky is", completions: [" blue."] },
  ],
];

for (const [name, row, expected, passedOver = []] of supervisedForms) {
  test(`rows for sft: ${name}`, () => {
    const { source, columns } = read(row, { task: "sft" });
    assert.deepEqual(parts(source), expected);
    assert.deepEqual(columns.passedOver, passedOver);
  });
}

test("messages that end in one of the answers beside them are read without it, and refused where it is another", () => {
  const messages = [user("Which colour?"), assistant("Blue.")];
  for (const row of [answers, { chosen: assistant("Blue."), rejected: assistant("Green.") }]) {
    assert.deepEqual(parts(read({ messages, ...row }).source), pair);
  }
  const { source } = read({ messages, completion: "Blue." }, { task: "sft" });
  assert.deepEqual(parts(source), { prompt: [user("Which colour?")], completions: [[assistant("Blue.")]] });
  assert.throws(
    () => read({ messages, chosen: "Red.", rejected: "Green." }),
    /expected messages that end with the question, .* got a message of the role assistant at their end/,
  );
});

test("a prompt is taken from the answers' beginning only where no column could be it", () => {
  const row = { chosen: "The sky is blue.", rejected: "The sky is green." };
  assert.equal((read({ ...row, score: 1, source: "x", note: "y" }).source as TextRow).prompt, "The sky is");
  for (const column of [
    "post",
    "Question",
    "user_prompt",
    "promt",
    "instructions",
    "dialogue",
    "context",
    "history",
  ]) {
    assert.throws(
      () => read({ ...row, [column]: "Which colour?" }),
      /only where no other column has text/,
      column,
    );
  }
  for (const text of ["Which?", "which colour", "Which colour?"]) {
    assert.throws(() => read({ ...row, posts: text }), /no other column has text/, text);
    assert.equal(
      (read({ ...row, source: text, topic: text, prompt_id: text }).source as TextRow).prompt,
      "The sky is",
    );
  }
  assert.throws(() => read({ ...row, turns: [user("Which colour?")] }), /no other column has text/);
  assert.throws(() => read({ ...row, system: "Be brief." }), /no other column has text/);
  assert.throws(() => read({ ...row, prompt: null }), /column "prompt": expected a prompt .* got nothing/);
  assert.throws(
    () => read(row, { strings: "chat" }),
    /expected "prompt" beside the answers, since plain_strings is "chat"/,
  );
});

test("columns that promise a part of the row and are not read are told", () => {
  const row = { prompt: "The sky is", chosen: " blue.", rejected: " green." };
  const told = (more: Record<string, unknown>) => read({ ...row, ...more }).columns.doubtful;
  assert.deepEqual(told({ prompt_id: "a", source: "b", chosen_model: "c", score: 1, rating_chosen: 3 }), []);
  assert.deepEqual(told({ question: "The sky is", text: null, tools: [], history: "" }), []);
  for (const column of [
    "question",
    "context",
    "messages",
    "promt",
    "choosen",
    "tool",
    "tools",
    "completion",
  ]) {
    assert.deepEqual(told({ [column]: "something else" }), [column]);
  }
  assert.deepEqual(told({ more: [user("a")] }), ["more"]);
  const chosen = [user("Which colour?"), assistant("Blue.")];
  const rejected = [user("Which colour?"), assistant("Green.")];
  assert.deepEqual(read({ chosen, rejected, question: "Which colour?", text: "Blue." }).columns.doubtful, []);
});

test("a mapped column may be a way into objects; what else is there is passed over by name", () => {
  const row = {
    input: { messages: [user("Which colour?")], seed: 4 },
    out: { good: "Blue.", bad: "Green." },
  };
  const columns = { prompt: "input.messages", chosen: "out.good", rejected: "out.bad" };
  const { source, columns: use } = read(row, { columns });
  assert.deepEqual(parts(source), pair);
  assert.deepEqual(use, {
    used: ["input.messages", "out.good", "out.bad"],
    passedOver: ["input.seed"],
    doubtful: [],
  });
  assert.throws(
    () => read(row, { columns: { ...columns, prompt: "input.message" } }),
    /expected a column "input\.message" \(columns: \{prompt: input\.message\}\)/,
  );
});

test("a column that the mapping gives another name has its own no more", () => {
  const row = { question: "The sky is", answer: " blue.", worse: " green." };
  const columns = { prompt: "question", chosen: "answer", rejected: "worse" };
  assert.deepEqual(parts(read(row, { columns }).source), {
    prompt: "The sky is",
    completions: [" blue.", " green."],
  });
});

test("plain_strings: chat makes messages of prompt and answers alike", () => {
  const row = { prompt: "Which colour?", ...answers };
  assert.deepEqual(parts(read(row, { strings: "chat" }).source), pair);
  assert.deepEqual(parts(read(row).source), { prompt: "Which colour?", completions: ["Blue.", "Green."] });
});
