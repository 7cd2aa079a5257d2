/** Rows of one labelled answer: their forms, their labels, pairs split in two, and what the check of the data says of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { SourceRow } from "../text/source-rows.ts";
import type { Example } from "./example.ts";
import { FindingList } from "./findings.ts";
import { checkLabels } from "./label-checks.ts";
import { labelCounts } from "./labels.ts";
import { pairLabelled } from "./pair-labelled.ts";
import { normaliseRow, type RowOptions } from "./rows.ts";
import { goodFirst, unpaired } from "./unpair.ts";

type Options = Partial<RowOptions> & { isText?: boolean };

function read(value: Record<string, unknown>, { isText = false, ...options }: Options = {}) {
  return normaliseRow(
    { origin: { file: "rows.jsonl", line: 3 }, value, isText },
    { task: "labelled", ...options },
  );
}

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });
const text = { prompt: "The sky is", completion: " blue." };
const asked = { prompt: [user("Which colour?")], completions: [[assistant("Blue.")]] };

function parts(source: SourceRow | null): unknown {
  if (source === null || source.kind === "plain" || source.kind === "conversation") return source;
  return { prompt: source.prompt, completions: source.completions };
}

/** A chat of Open WebUI in which message "d" answers "c", and "b" was another try. */
function openWebUi(rating: unknown, changes: Record<string, object> = {}) {
  const messages: Record<string, object> = {
    a: { id: "a", parentId: null, role: "user", content: "Hello" },
    b: { id: "b", parentId: "a", role: "assistant", content: "No." },
    c: {
      id: "c",
      parentId: "a",
      role: "assistant",
      content: '<details type="reasoning" done="true">\n> Greet.\n</details>\nHi!',
    },
    d: { id: "d", parentId: "c", role: "user", content: "Which colour?" },
    e: { id: "e", parentId: "d", role: "assistant", content: "Blue." },
    ...changes,
  };
  return {
    ...{ id: "1", type: "rating", data: { rating, comment: "" }, meta: { message_id: "e" } },
    snapshot: { chat: { chat: { params: { system: "Be brief." }, history: { messages } } } },
  };
}

const langchain = (kind: string, content: string) => ({
  lc: 1,
  id: ["langchain", kind],
  kwargs: { content },
});
const marked = (avg: number) => ({ feedback_stats: { user_score: { n: 1, avg } } });

const forms: [string, Record<string, unknown>, boolean, unknown, Options?][] = [
  ["TRL's", { ...text, label: true }, true, { prompt: "The sky is", completions: [" blue."] }],
  [
    "messages",
    { prompt: [user("Which colour?")], completion: [assistant("Blue.")], label: false },
    false,
    asked,
  ],
  ["LLaMA-Factory", { messages: [user("Which colour?"), assistant("Blue.")], kto_tag: true }, true, asked],
  [
    "ShareGPT",
    {
      conversations: [
        { from: "human", value: "Which colour?" },
        { from: "gpt", value: "Blue." },
      ],
      label: false,
    },
    false,
    asked,
  ],
  ["Alpaca", { instruction: "Which colour?", output: "Blue.", kto_tag: true }, true, asked],
  [
    "CSV",
    { ...text, label: "False" },
    false,
    { prompt: "The sky is", completions: [" blue."] },
    { isText: true },
  ],
  [
    "a rating",
    { prompt: [user("Which colour?")], completion: "Blue.", rating: 4 },
    true,
    asked,
    { rating_threshold: 4 },
  ],
  [
    "Argilla, by columns: the draft does not count",
    {
      ...{ instruction: "Which colour?", output: "Blue.", "quality.responses": [1, 2, 5] },
      "quality.responses.status": ["submitted", "submitted", "draft"],
    },
    false,
    asked,
    { rating_threshold: 3, columns: { rating: "quality.responses" } },
  ],
  [
    "Argilla's records",
    {
      fields: { q: [user("Which colour?")], a: "Blue." },
      responses: {
        rating: [
          { value: 5, status: "submitted" },
          { value: 4, status: "submitted" },
        ],
      },
    },
    true,
    asked,
    {
      rating_threshold: 4.5,
      columns: { prompt: "fields.q", completion: "fields.a", rating: "responses.rating" },
    },
  ],
  [
    "Open WebUI: the branch of the marked message, thinking of earlier turns out",
    openWebUi(1),
    true,
    {
      prompt: [
        { role: "system", content: "Be brief." },
        user("Hello"),
        assistant("Hi!"),
        user("Which colour?"),
      ],
      completions: [[assistant("Blue.")]],
    },
  ],
  [
    "LangSmith, one text",
    { inputs: { question: "Which colour?" }, outputs: { output: "Blue." }, ...marked(0) },
    false,
    asked,
  ],
  [
    "LangSmith, LangChain's messages, columns of JSON",
    {
      inputs: JSON.stringify({ messages: [[langchain("HumanMessage", "Which colour?")]] }),
      outputs: JSON.stringify({ generations: [[{ text: "?", message: langchain("AIMessage", "Blue.") }]] }),
      feedback_stats: JSON.stringify(marked(1).feedback_stats),
    },
    true,
    asked,
  ],
  [
    "LangSmith, OpenAI's, a score between",
    {
      inputs: { messages: [user("Which colour?")] },
      outputs: { choices: [{ message: assistant("Blue.") }] },
      ...marked(0.75),
    },
    true,
    asked,
    { rating_threshold: 0.5 },
  ],
];

for (const [name, row, label, content, options] of forms) {
  test(`rows of one answer: ${name}`, () => {
    const found = read(row, options ?? {});
    assert.equal(found.label, label);
    assert.deepEqual(parts(found.source), content);
    // the same rows train sft: good answers alone
    const supervise = () => read(row, { ...options, task: "sft" });
    if (label) assert.notEqual(supervise().source, null);
    else assert.throws(supervise, /marked as bad/);
  });
}

test("token ids have labels too", () => {
  const found = read({ prompt_ids: [1, 5], completion_ids: [7, 2], label: false });
  assert.deepEqual(
    [found.label, found.tokens],
    [false, { promptIds: [1, 5], completions: [{ ids: [7, 2] }] }],
  );
});

test("sft leaves out what is rated below the threshold, and only then", () => {
  const row = { ...text, rating: 2 };
  assert.throws(
    () => read(row, { task: "sft", rating_threshold: 3 }),
    /marked as bad \(below rating_threshold 3\)/,
  );
  assert.notEqual(read(row, { task: "sft" }).source, null);
});

const refused: [string, Record<string, unknown>, RegExp, Options?][] = [
  ["a string", { ...text, label: "good" }, /column "label": expected true or false, got a string/],
  ["a word in JSON", { ...text, label: "true" }, /expected true or false, got a string/],
  ["null", { ...text, label: null }, /expected true or false, got nothing/],
  [
    "0.5",
    { ...text, label: 0.5 },
    /expected true or false, got a number.*columns: \{rating: label\} and rating_threshold/,
  ],
  ["1", { ...text, kto_tag: 1 }, /column "kto_tag": expected true or false.*\{rating: kto_tag\}/],
  ["none", text, /expected "label" \(true: the answer is good/],
  ["a rating without a threshold", { ...text, rating: 4 }, /got a rating alone. Set rating_threshold/],
  [
    "a rating in words",
    { ...text, rating: "good" },
    /column "rating": expected a number/,
    { rating_threshold: 1 },
  ],
  ["people who differ", { ...text, "label.responses": [true, false] }, /expected answers that agree, got 2/],
  ["a pair", { prompt: "a", chosen: "b", rejected: "c" }, /not a pair; unpair: true splits/],
  ["text alone", { text: "a b", label: true }, /expected "prompt" and "completion"/],
  ["a thumb of 0", openWebUi(0), /"rating" 1 or -1 \(Open WebUI\), got 0/],
  [
    "a message that is not there",
    { ...openWebUi(1), meta: { message_id: "z" } },
    /expected the marked answer/,
  ],
  [
    "files in a chat",
    openWebUi(1, { d: { id: "d", parentId: "c", role: "user", content: "?", files: [{ type: "image" }] } }),
    /attached files/,
  ],
  [
    "thinking that was put into details",
    openWebUi(1, {
      e: { id: "e", parentId: "d", role: "assistant", content: '<details type="reasoning">x</details>y' },
    }),
    /whose thinking Open WebUI has put into <details>/,
  ],
  [
    "two marks",
    { inputs: { q: "a" }, outputs: { a: "b" }, feedback_stats: { x: { avg: 1 }, y: { avg: 0 } } },
    /expected one mark with a mean score.*got x, y/,
  ],
  [
    "inputs of another shape",
    { inputs: { q: "a", context: "b" }, outputs: { a: "b" }, ...marked(1) },
    /expected messages or one text in "inputs" \(LangSmith\), got q, context/,
  ],
];

for (const [name, row, message, options] of refused) {
  test(`refused as a label or its row: ${name}`, () => {
    assert.throws(() => read(row, options ?? {}), message);
  });
}

function example(line: number, ids: number[], label?: boolean): Example {
  const row = { origin: { file: "rows.jsonl", line }, promptIds: [1, 2], completions: [{ ids }] };
  return label === undefined ? row : { ...row, label };
}

test("a pair makes a good row and a bad one; of many the good ones come first", () => {
  const pairs = [3, 4].map((id) => ({
    ...example(id, [id]),
    completions: [{ ids: [id] }, { ids: [id, id] }],
  }));
  const rows = goodFirst([...pairs.flatMap(unpaired), example(9, [9], false)]);
  assert.deepEqual(
    rows.map(({ completions, label, origin }) => [completions, label, origin.line]),
    [
      [[{ ids: [3] }], true, 3],
      [[{ ids: [4] }], true, 4],
      [[{ ids: [3, 3] }], false, 3],
      [[{ ids: [4, 4] }], false, 4],
      [[{ ids: [9] }], false, 9],
    ],
  );
});

async function* rowsOf(values: readonly Record<string, unknown>[]) {
  for (const [i, value] of values.entries()) yield { origin: { file: "rows.jsonl", line: i + 1 }, value };
}

test("rows with both labels for a prompt are paired, all or the best with the worst, and what is left out is counted", async () => {
  const rated = (prompt: string, completion: string, rating: number) => ({ prompt, completion, rating });
  const rows = [
    ...[
      rated("a", " 5", 5),
      rated("a", " 4", 4),
      rated("a", " 1", 1),
      rated("a", " 2", 2),
      rated("a", " 2", 2),
    ],
    ...[rated("b", " 5", 5), rated("c", " 4", 4), rated("c", " 4", 1), rated("c", " 3", 1), { prompt: "d" }],
  ];
  const options = { rating_threshold: 3, invalid_rows: "drop" } as const;
  const all = await pairLabelled(rowsOf(rows), { ...options, pairing: "all" });
  assert.deepEqual(all.rows, [
    { prompt: "a", chosen: " 5", rejected: " 1" },
    { prompt: "a", chosen: " 5", rejected: " 2" },
    { prompt: "a", chosen: " 4", rejected: " 1" },
    { prompt: "a", chosen: " 4", rejected: " 2" },
  ]);
  assert.deepEqual(all.counts, {
    ...{ read: 10, invalid: 1, repeated: 1, contradictory: 1, prompts: 3, paired: 1, unpaired: 2, pairs: 4 },
  });
  const one = await pairLabelled(rowsOf(rows), { ...options, pairing: "best-worst" });
  assert.deepEqual(one.rows, [{ prompt: "a", chosen: " 5", rejected: " 1" }]);
  await assert.rejects(pairLabelled(rowsOf(rows), { pairing: "all", rating_threshold: 3 }), /rows\.jsonl:10/);
  // pairs split and paired again are the pairs
  const tools = [{ type: "function", function: { name: "f" } }];
  const chat = { prompt: [user("Which?")], tools };
  const split = [
    { ...chat, completion: [assistant("Blue.")], label: true },
    { ...chat, completion: [assistant("Green.")], label: false },
  ];
  const { rows: again } = await pairLabelled(rowsOf(split), { pairing: "all" });
  assert.deepEqual(again, [{ ...chat, chosen: [assistant("Blue.")], rejected: [assistant("Green.")] }]);
});

/** Findings about so many good and bad rows. */
function findings(
  good: number,
  bad: number,
  weights = { desirable_weight: 1, undesirable_weight: 1 },
  more: Example[] = [],
) {
  const rows = [
    ...Array.from({ length: good }, (_, i) => example(i, [10 + i], true)),
    ...Array.from({ length: bad }, (_, i) => example(i, [1000 + i], false)),
    ...more,
  ];
  const list = new FindingList();
  checkLabels(rows, { train: labelCounts(rows), evaluation: { good: 0, bad: 0 } }, weights, list);
  return list.list().map(({ code, severity, message, rows: named }) => ({ code, severity, message, named }));
}

test("weights are advised as TRL advises them", () => {
  assert.deepEqual(findings(4, 4), []);
  assert.deepEqual(findings(4, 3), []);
  const [unbalanced, ...others] = findings(10, 30);
  assert.deepEqual(others, []);
  assert.equal(unbalanced?.code, "labels_unbalanced");
  // TRL: round(30 / 10, 2) to round(30 / 10 · 1.33, 2); round(10 / 30 / 1.33, 2) to round(10 / 30, 2)
  assert.match(
    unbalanced?.message ?? "",
    /desirable_weight 3\.00 to 3\.99, or undesirable_weight 0\.25 to 0\.33/,
  );
  assert.deepEqual(findings(10, 30, { desirable_weight: 3.5, undesirable_weight: 1 }), []);
});

test("one class alone is an error; an answer that is good and bad a warning", () => {
  assert.deepEqual(
    findings(3, 0).map(({ code, severity }) => [code, severity]),
    [["one_label", "error"]],
  );
  const [contradiction] = findings(2, 2, { desirable_weight: 1, undesirable_weight: 1 }, [
    example(77, [10], false),
    example(78, [11], true),
  ]);
  assert.deepEqual(
    [contradiction?.code, contradiction?.severity, contradiction?.named],
    ["labels_contradict", "warning", ["rows.jsonl:77"]],
  );
});

test("ratings in cells of a table are decimal numbers: no blank is 0, no hexadecimal is read", () => {
  const label = (rating: string) => read({ ...text, rating }, { isText: true, rating_threshold: 3 }).label;
  assert.deepEqual(["3", " 2.5 ", "+.4e1", "5."].map(label), [true, false, true, true]);
  for (const rating of [" ", "0x10", "inf", "1_0", "3 stars"]) {
    assert.throws(() => label(rating), /column "rating": expected a number/, rating);
  }
});
