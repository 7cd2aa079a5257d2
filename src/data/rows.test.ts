import assert from "node:assert/strict";
import { test } from "node:test";

import { ConfigError } from "../base/errors.ts";
import { EmptyAnswerError } from "../text/source-rows.ts";
import { checkColumnMap } from "./columns.ts";
import { type NormalRow, normaliseRow, type RowOptions } from "./rows.ts";

const origin = { file: "pairs.jsonl", line: 4 };
const where = "pairs.jsonl:4";
const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });

function read(value: Record<string, unknown>, options: Partial<RowOptions> = {}): NormalRow {
  return normaliseRow({ origin, value }, { task: "preference", ...options });
}

function readText(value: Record<string, unknown>, options: Partial<RowOptions> = {}): NormalRow {
  return normaliseRow({ origin, value, isText: true }, { task: "preference", ...options });
}

test("standard form with an explicit prompt stays plain text", () => {
  assert.deepEqual(read({ prompt: "Sky is ", chosen: "blue.", rejected: "red." }), {
    origin,
    source: { kind: "text", where, prompt: "Sky is ", completions: ["blue.", "red."] },
    tokens: null,
    referenceLogps: null,
    columns: { used: ["prompt", "chosen", "rejected"], passedOver: [], doubtful: [] },
  });
});

test("strings become messages where the config says chat", () => {
  const row = read({ prompt: "Colour?", chosen: "blue", rejected: "red" }, { strings: "chat" });
  assert.deepEqual(row.source, {
    kind: "chat",
    where,
    tools: null,
    prompt: [user("Colour?")],
    completions: [[assistant("blue")], [assistant("red")]],
  });
});

test("standard form without a prompt: the common beginning, never cut inside a word", () => {
  const cases: [string, string, string, [string, string]][] = [
    // "The colour of the sky is b" is common; "b" belongs to both words.
    ["The sky is blue.", "The sky is black.", "The sky is", [" blue.", " black."]],
    ["Q: one?\nA: yes", "Q: one?\nA: no", "Q: one?\nA:", [" yes", " no"]],
    // A line break ends the prompt; the answer begins on its own line.
    ["Q: one?\nyes", "Q: one?\nno", "Q: one?\n", ["yes", "no"]],
    // One is the beginning of the other.
    ["Say: a b", "Say: a b c", "Say: a", [" b", " b c"]],
    ["Say: same", "Say: same", "Say:", [" same", " same"]],
  ];
  for (const [chosen, rejected, prompt, completions] of cases) {
    assert.deepEqual(read({ chosen, rejected }).source, { kind: "text", where, prompt, completions });
  }
  assert.throws(() => read({ chosen: "Blue.", rejected: "Black." }), {
    name: "DataError",
    message: /^pairs\.jsonl:4: expected the answers to begin with the same words.*Add a prompt column\.$/,
  });
});

test("conversational form with an explicit prompt, tools and template variables", () => {
  const tools = [{ type: "function", function: { name: "add" } }];
  const row = read({
    prompt: [user("Hi")],
    chosen: [assistant("Hello")],
    rejected: [assistant("Go")],
    tools: JSON.stringify(tools),
    chat_template_kwargs: { enable_thinking: false },
  });
  assert.deepEqual(row.source, {
    kind: "chat",
    where,
    prompt: [user("Hi")],
    completions: [[assistant("Hello")], [assistant("Go")]],
    tools,
    variables: { enable_thinking: false },
  });
});

test("conversational form without a prompt: common messages, at the latest before the last assistant turn", () => {
  const shared = [user("1"), assistant("2"), user("3")];
  const row = read({ chosen: [...shared, assistant("good")], rejected: [...shared, assistant("bad")] });
  assert.deepEqual(row.source, {
    kind: "chat",
    where,
    tools: null,
    prompt: shared,
    completions: [[assistant("good")], [assistant("bad")]],
  });
  const same = read({ chosen: [...shared, assistant("x")], rejected: [...shared, assistant("x")] });
  assert.deepEqual(same.source, { ...row.source, completions: [[assistant("x")], [assistant("x")]] });
});

test("conversations that part before the last question are refused", () => {
  const chosen = [user("1"), assistant("2"), user("3"), assistant("4")];
  const rejected = [user("1"), assistant("other"), user("3"), assistant("4")];
  assert.throws(
    () => read({ chosen, rejected }),
    /pairs\.jsonl:4: .*they part before the last user message.*remove the row/,
  );
  assert.throws(() => read({ chosen: [assistant("a")], rejected: [assistant("b")] }), /Add a prompt column/);
});

test("a string prompt repeated as the first message of both answers is taken once", () => {
  const row = read({
    prompt: "Hi",
    chosen: [user("Hi"), assistant("Hello")],
    rejected: [user("Hi"), assistant("Go")],
  });
  assert.deepEqual(row.source, {
    kind: "chat",
    where,
    tools: null,
    prompt: [user("Hi")],
    completions: [[assistant("Hello")], [assistant("Go")]],
  });
  const other = {
    prompt: "Else",
    chosen: [user("Hi"), assistant("a")],
    rejected: [user("Hi"), assistant("b")],
  };
  assert.throws(() => read(other), /begins with a message of the role user that is not the prompt/);
});

test("an answer of another role than the assistant's is named, where the row has its prompt", () => {
  const prompt = [{ role: "user", content: "q" }];
  const answer = [{ role: "assistant", content: "a" }];
  const wrong = { role: "user", content: "b" };
  for (const [chosen, rejected, place] of [
    [[wrong], answer, "answer 1 of 2"],
    [answer, [wrong], "answer 2 of 2"],
    [answer, [wrong, ...answer], "answer 2 of 2"],
  ]) {
    assert.throws(() => read({ prompt, chosen, rejected }), {
      name: "DataError",
      message: new RegExp(
        `${String(place)} begins with a message of the role user that is not the prompt's\\. Fix the row\\.$`,
      ),
    });
  }
});

test("a prompt of messages with answers of plain text", () => {
  const row = read({ prompt: [user("Hi")], chosen: "Hello", rejected: "Go" });
  assert.deepEqual(row.source?.kind === "chat" && row.source.completions, [
    [assistant("Hello")],
    [assistant("Go")],
  ]);
});

test("HH transcripts become messages; the prompt is all but the last turn", () => {
  const row = read({
    chosen: "\n\nHuman: One?\n\nAssistant: Two.\n\nHuman: Three?\nYes?\n\nAssistant: Four.",
    rejected: "\n\nHuman: One?\n\nAssistant: Two.\n\nHuman: Three?\nYes?\n\nAssistant: Five.\n",
  });
  assert.deepEqual(row.source, {
    kind: "chat",
    where,
    tools: null,
    prompt: [user("One?"), assistant("Two."), user("Three?\nYes?")],
    completions: [[assistant("Four.")], [assistant("Five.")]],
  });
});

test("HH transcripts that part earlier, or differ in length, are refused", () => {
  const turn = (answer: string, rest: string): string => `\n\nHuman: One?\n\nAssistant: ${answer}${rest}`;
  const more = "\n\nHuman: Three?\n\nAssistant: Four.";
  assert.throws(
    () => read({ chosen: turn("Two.", more), rejected: turn("Zwei.", more) }),
    /part at turn 2 of 4 and 4\. The answers have no common prompt/,
  );
  assert.throws(
    () => read({ chosen: turn("Two.", more), rejected: turn("Two.", "") }),
    /part at turn 3 of 4 and 2/,
  );
  const asked = "\n\nHuman: One?\n\nAssistant: Two.\n\nHuman: ";
  assert.throws(
    () => read({ chosen: `${asked}a`, rejected: `${asked}b` }),
    /end with one Assistant turn after a Human turn/,
  );
});

test("each row's form is its own: nothing is remembered from the row before", () => {
  read({ prompt: "p", chosen: "a", rejected: "b" });
  assert.equal(read({ prompt_ids: [1], chosen_ids: [2], rejected_ids: [3] }).tokens?.promptIds[0], 1);
  assert.equal(
    read({ prompt: [user("p")], chosen: [assistant("a")], rejected: [assistant("b")] }).source?.kind,
    "chat",
  );
});

test("token ids with reference log-probs", () => {
  const row = read({
    prompt_ids: [1, 2],
    chosen_ids: [3],
    rejected_ids: [4, 5],
    ref_chosen_logps: -1.5,
    ref_rejected_logps: -2,
  });
  assert.deepEqual(row, {
    origin,
    source: null,
    tokens: { promptIds: [1, 2], completions: [{ ids: [3] }, { ids: [4, 5] }] },
    referenceLogps: [-1.5, -2],
    columns: {
      used: ["prompt_ids", "chosen_ids", "rejected_ids", "ref_chosen_logps", "ref_rejected_logps"],
      passedOver: [],
      doubtful: [],
    },
  });
  const sft = read({ prompt_ids: [1], completion_ids: [2, 3], completion_mask: [0, 1] }, { task: "sft" });
  assert.deepEqual(sft.tokens, { promptIds: [1], completions: [{ ids: [2, 3], mask: [0, 1] }] });
});

test("wrong token ids and reference log-probs are refused by column", () => {
  const good = { prompt_ids: [1], chosen_ids: [2], rejected_ids: [3] };
  assert.throws(
    () => read({ ...good, chosen_ids: [2.5] }),
    /pairs\.jsonl:4, column "chosen_ids": expected a list of token ids/,
  );
  assert.throws(() => read({ ...good, chosen_ids: "2 3" }), /column "chosen_ids": .* got a string/);
  assert.throws(() => read({ ...good, rejected_ids: null }), /no "rejected_ids" here/);
  assert.throws(
    () => read({ ...good, ref_chosen_logps: -1 }),
    /"ref_chosen_logps" and "ref_rejected_logps" together/,
  );
  assert.throws(
    () => read({ ...good, ref_chosen_logps: -1, ref_rejected_logps: "x" }),
    /expected a finite number/,
  );
  const short = { prompt_ids: [1], completion_ids: [2, 3], completion_mask: [1] };
  assert.throws(
    () => read(short, { task: "sft" }),
    /column "completion_mask": expected a list of 2 numbers 0 or 1/,
  );
});

test("supervised rows: messages, prompt and completion, text, and the chosen answer of a pair", () => {
  const sft = (value: Record<string, unknown>): unknown => read(value, { task: "sft" }).source;
  const messages = [user("1"), assistant("2")];
  assert.deepEqual(sft({ messages }), { kind: "conversation", where, messages, tools: null });
  assert.deepEqual(sft({ prompt: "a", completion: "b" }), {
    kind: "text",
    where,
    prompt: "a",
    completions: ["b"],
  });
  assert.deepEqual(sft({ prompt: [user("a")], completion: [assistant("b")] }), {
    kind: "chat",
    where,
    prompt: [user("a")],
    completions: [[assistant("b")]],
    tools: null,
  });
  assert.deepEqual(sft({ text: "running" }), { kind: "plain", where, text: "running" });
  assert.deepEqual(sft({ prompt: "a", chosen: "b", rejected: "" }), {
    kind: "text",
    where,
    prompt: "a",
    completions: ["b"],
  });
  const pair = { chosen: [user("q"), assistant("good")], rejected: [user("q"), assistant("bad")] };
  assert.deepEqual(sft(pair), {
    kind: "chat",
    where,
    prompt: [user("q")],
    completions: [[assistant("good")]],
    tools: null,
  });
});

test("empty answers are told apart from other faults", () => {
  const message = /pairs\.jsonl:4: expected answer 2 of 2 to have text, but it is empty/;
  assert.throws(
    () => read({ prompt: "a", chosen: "b", rejected: " \n" }),
    (error) => {
      assert.ok(error instanceof EmptyAnswerError);
      assert.match(error.message, message);
      return true;
    },
  );
  const chat = { prompt: [user("a")], chosen: [assistant("b")], rejected: [assistant("")] };
  assert.throws(() => read(chat), message);
  const call = { role: "assistant", content: null, tool_calls: [{ name: "f" }] };
  assert.equal(read({ ...chat, rejected: [call] }).source?.kind, "chat");
});

test("columns of other names", () => {
  const columns = { prompt: "question", chosen: "good", rejected: "bad" };
  const row = read({ question: "a", good: "b", bad: "c" }, { columns });
  assert.deepEqual(row.source, { kind: "text", where, prompt: "a", completions: ["b", "c"] });
  assert.throws(
    () => read({ qestion: "a", good: "b", bad: "c" }, { columns }),
    /expected a column "question" \(columns: \{prompt: question\}\), found qestion, good, bad\. Did you mean "qestion"\?/,
  );
  assert.throws(
    () => checkColumnMap({ promt: "x" }),
    (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, /got "promt"\. Did you mean "prompt"\?/);
      return true;
    },
  );
  assert.deepEqual(checkColumnMap(columns), columns);
});

test("missing columns: what was expected, what was found, what to set", () => {
  assert.throws(() => read({ question: "a", good: "b", bad: "c" }), {
    name: "DataError",
    message:
      'pairs.jsonl:4: expected "chosen" and "rejected" (with or without "prompt"), or "prompt_ids", "chosen_ids" and ' +
      '"rejected_ids", found the columns question, good, bad. If "good" is the chosen answer and "bad" is the rejected answer, set columns: {chosen: good, rejected: bad}.',
  });
  assert.throws(() => read({ prompt: "p", choosen: "a", rejected: "b" }), /set columns: \{chosen: choosen\}/);
  // null is no value: the column is there, and the message says what it holds
  assert.throws(
    () => read({ prompt: "p", chosen: null, rejected: "b" }),
    /found the columns prompt, chosen \(null\), rejected\./,
  );
  assert.throws(() => read({ id: 1 }, { task: "sft" }), /expected "messages".* found the columns id/);
});

test("wrong types do not show the row's text", () => {
  assert.throws(
    () => read({ prompt: "p", chosen: { secret: "s" }, rejected: "b" }),
    (error: Error) => {
      assert.match(error.message, /column "chosen": expected a string or a list of messages.*got an object/);
      assert.doesNotMatch(error.message, /secret/);
      return true;
    },
  );
  assert.throws(() => read({ prompt: "p", chosen: 5, rejected: "b" }), /got a number/);
  assert.throws(
    () => read({ prompt: [user("p")], chosen: [], rejected: "b" }),
    /column "chosen": expected at least one message/,
  );
  assert.throws(
    () => read({ prompt: [{ role: "usr", content: "x" }], chosen: "a", rejected: "b" }),
    /Did you mean "user"/,
  );
  assert.throws(() => read({ text: 3 }, { task: "sft" }), /column "text": expected a string, got a number/);
});

test("CSV cells: lists of messages and ids as JSON, numbers as text, plain brackets as text", () => {
  const cell = JSON.stringify([user("Hi")]);
  const row = readText({ prompt: cell, chosen: "[1, 2] is a list", rejected: "[]", tools: "" });
  assert.deepEqual(row.source, {
    kind: "chat",
    where,
    tools: null,
    prompt: [user("Hi")],
    completions: [[assistant("[1, 2] is a list")], [assistant("[]")]],
  });
  const ids = readText({
    prompt_ids: "[1, 2]",
    chosen_ids: "[3]",
    rejected_ids: "[4]",
    ref_chosen_logps: "-1.5",
    ref_rejected_logps: "-2",
  });
  assert.deepEqual(ids.tokens?.promptIds, [1, 2]);
  assert.deepEqual(ids.referenceLogps, [-1.5, -2]);
  assert.deepEqual(readText({ prompt: "p", chosen: "a", rejected: "b", prompt_ids: "" }).tokens, null);
});

test("a prompt column that ends in the assistant's turn has begun it; a common beginning that does is whole", () => {
  const begun = [user("q"), assistant("It is")];
  const given = read({ prompt: begun, chosen: [assistant(" 4")], rejected: [assistant(" 5")] });
  assert.equal(given.source?.kind === "chat" && given.source.continueFinalMessage, true);
  const strings = read({ prompt: begun, chosen: " 4", rejected: " 5" });
  assert.equal(strings.source?.kind === "chat" && strings.source.continueFinalMessage, true);
  const common = read({ chosen: [...begun, assistant("4")], rejected: [...begun, assistant("5")] });
  assert.equal(common.source?.kind === "chat" && common.source.continueFinalMessage, undefined);
});

test("a margin is read for a reward model alone, and must be a number there", () => {
  const row = { prompt: "Sky is ", chosen: "blue.", rejected: "red.", margin: 1.5 };
  assert.equal(read(row, { task: "reward" }).margin, 1.5);
  assert.deepEqual(read(row, { task: "reward" }).columns.passedOver, []);
  assert.equal(readText({ ...row, margin: "-2" }, { task: "reward" }).margin, -2);
  assert.equal(read({ ...row, margin: null }, { task: "reward" }).margin, undefined);
  const unread = read(row);
  assert.deepEqual([unread.margin, unread.columns.passedOver], [undefined, ["margin"]]);
  for (const margin of ["much", Number.POSITIVE_INFINITY, [1], true]) {
    assert.throws(() => read({ ...row, margin }, { task: "reward" }), {
      name: "DataError",
      message: /pairs\.jsonl:4.*margin.*expected a finite number/,
    });
  }
});
