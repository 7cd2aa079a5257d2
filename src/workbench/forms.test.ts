/** Every form of labelled data: as its tool writes it, and there and back. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { scratch } from "../../test/support/scratch.ts";
import { type Comparison, inOrder, itemIdOf } from "./comparison.ts";
import { forms, type Imported, importFiles, importPasted } from "./import-comparisons.ts";

const dir = mkdtempSync(join(scratch(), "preftune-workbench-"));
after(() => rmSync(dir, { recursive: true, force: true }));
let files = 0;

function imported(rows: unknown): Promise<Imported> {
  const path = join(dir, `rows-${files++}.json`);
  writeFileSync(path, JSON.stringify(rows));
  return importFiles(path);
}

const user = (content: string) => ({ role: "user", content }) as const;
const assistant = (content: string) => ({ role: "assistant", content }) as const;

/** The same comparison in chat form, which each of the tools can hold. */
const asked = [user("Which colour?")];
const answers = [[assistant("Blue.")], [assistant("Green.")]];

test("battles of Chatbot Arena: winner, ties, models and the person", async () => {
  const battle = {
    question_id: "q1",
    model_a: "vicuna",
    model_b: "koala",
    winner: "model_b",
    judge: "arena_user_7",
    conversation_a: [...asked, assistant("Blue.")],
    conversation_b: [...asked, assistant("Green.")],
    turn: 1,
    anony: true,
  };
  const { comparisons, forms: found } = await imported([battle, { ...battle, winner: "tie (bothbad)" }]);
  assert.deepEqual(found, { battles: 2 });
  const [first, second] = comparisons;
  assert.deepEqual(first, {
    prompt: asked,
    answers,
    models: ["vicuna", "koala"],
    votes: [{ person: "arena_user_7", choice: "b" }],
    extra: { question_id: "q1", turn: 1, anony: true },
  });
  assert.equal(second?.votes[0]?.choice, "bad");
  await assert.rejects(
    imported([{ ...battle, winner: "model_c" }]),
    /:1, "winner": expected a, b, tie .*model_a, model_b, .*got "model_c"/,
  );
});

test("Label Studio's pairwise tasks: an annotation is a judgment, a cancelled one is none", async () => {
  const result = (selected: string) => [
    { id: "x", from_name: "pw", to_name: "text1,text2", type: "pairwise", value: { selected } },
  ];
  const { comparisons } = await imported([
    {
      id: 12,
      data: { prompt: "Which colour?", text1: "Blue.", text2: "Green.", topic: "sky" },
      annotations: [
        { id: 1, completed_by: 4, result: result("left"), was_cancelled: false, lead_time: 3.2 },
        { id: 2, completed_by: { id: 5, email: "bo@example.org" }, result: result("right") },
        { id: 3, completed_by: 6, result: result("left"), was_cancelled: true },
        {
          id: 4,
          completed_by: 7,
          result: [...result("left"), { type: "choices", value: { choices: ["tie"] } }],
        },
      ],
    },
  ]);
  assert.deepEqual(comparisons[0], {
    prompt: "Which colour?",
    answers: ["Blue.", "Green."],
    models: [null, null],
    votes: [
      { person: "4", choice: "a" },
      { person: "bo@example.org", choice: "b" },
      { person: "7", choice: "tie" },
    ],
    extra: { topic: "sky" },
  });
  await assert.rejects(
    imported([{ data: { prompt: "x", one: "y" }, annotations: [] }]),
    /"data": expected a prompt .* and two answers .*, got prompt, one\. Rename/,
  );
});

test("Argilla's records: a label, a ranking, drafts left out", async () => {
  const { comparisons } = await imported([
    {
      id: "r1",
      status: "completed",
      fields: { instruction: "Which colour?", "response-1": "Blue.", "response-2": "Green." },
      metadata: { topic: "sky" },
      suggestions: {},
      responses: {
        preference: [
          { value: "response-2", user_id: "u1" },
          { value: "response-1", user_id: "u2", status: "draft" },
        ],
        order: [
          {
            user_id: "u3",
            value: [
              { rank: 1, value: "response-1" },
              { rank: 1, value: "response-2" },
            ],
          },
        ],
      },
      vectors: {},
    },
  ]);
  assert.deepEqual(comparisons[0]?.votes, [
    { person: "u1", choice: "b" },
    { person: "u3", choice: "tie" },
  ]);
  assert.deepEqual(comparisons[0]?.extra, { topic: "sky" });
});

test("Open WebUI's feedback: the rated message against its sibling; a rating alone is counted", async () => {
  const message = (parentId: string | null, content: string, model?: string) => ({
    ...{ parentId, childrenIds: [], role: model === undefined ? "user" : "assistant", content, timestamp: 1 },
    ...(model === undefined ? {} : { model }),
  });
  const messages = {
    m0: message(null, "Hello"),
    m1: message("m0", "Hello.", "small"),
    m2: message("m1", "Which colour?"),
    m3: message("m2", "Blue.", "small"),
    m4: message("m2", "Green.", "large"),
  };
  const feedback = (id: string, rating: number) => ({
    id: "f1",
    user_id: "u1",
    version: 0,
    type: "rating",
    data: { rating, model_id: "small", sibling_model_ids: ["large"], reason: "", comment: "" },
    meta: { arena: false, chat_id: "c", message_id: id, message_index: 4 },
    snapshot: {
      chat: { id: "c", chat: { models: ["small", "large"], history: { messages, currentId: id } } },
    },
    created_at: 1,
    updated_at: 1,
  });
  const { comparisons, left, rows } = await imported([feedback("m3", -1), feedback("m1", 1)]);
  assert.deepEqual(left, { "a rating of one answer, with no other beside it": 1 });
  assert.equal(rows, 2);
  assert.deepEqual(comparisons, [
    {
      prompt: [user("Hello"), assistant("Hello."), user("Which colour?")],
      answers,
      models: ["small", "large"],
      votes: [{ person: "u1", choice: "b" }],
      extra: { reason: "", comment: "" },
    },
  ]);
});

test("pasted tables: tabs, commas, bars; a verdict nobody knows is refused", async () => {
  const expected = [
    ["a", "Blue, mostly."],
    ["bad", "Red|brown\nor so."],
  ];
  const marks = {
    tabs: 'Prompt\tAnswer A\tAnswer B\tWinner\nWhich?\tBlue, mostly.\tGreen.\tleft\nWhich?\t"Red|brown\nor so."\tGrey.\tneither',
    commas:
      'prompt,answer_a,answer_b,better\nWhich?,"Blue, mostly.",Green.,A\nWhich?,"Red|brown\nor so.",Grey.,both bad\n',
    bars: "| prompt | a | b | better |\n| --- | :-: | --- | --- |\n| Which? | Blue, mostly. | Green. | 1 |\n| Which? | Red\\|brown<br>or so. | Grey. | none |",
  };
  for (const [mark, text] of Object.entries(marks)) {
    const { comparisons } = await importPasted(text);
    const got = comparisons.map(({ votes, answers: [a] }) => [votes[0]?.choice, a]);
    assert.deepEqual(got, expected, mark);
  }
  await assert.rejects(
    importPasted("prompt,a,b,better\nx,y,z,perhaps"),
    /pasted table:2, "better": expected a, b, tie or both bad/,
  );
  // the last cell of a pasted row may be empty, and lines are counted as they stand
  const open = await importPasted("prompt\ta\tb\tbetter\nx\ty\tz\ta\n\nx\tv\tw\t\n");
  assert.deepEqual(
    open.comparisons.map(({ votes }) => votes.length),
    [1, 0],
  );
  await assert.rejects(
    importPasted("| prompt | a | b | better |\n| --- | --- | --- | --- |\n| x | y | z | perhaps |"),
    /pasted table:3, "better"/,
  );
  await assert.rejects(importPasted("prompt,a,b,a\nx,y,z,w"), /got "a" twice/);
  await assert.rejects(importPasted("only one line"), /expected the names of several columns/);
  await assert.rejects(
    importPasted("prompt,a,b\nx,y"),
    /pasted table:2: expected 3 cells as in the first line, got 2/,
  );
});

test("a word that every object has is no judgment", async () => {
  const word = "constructor";
  const [a, b] = [...answers];
  await assert.rejects(
    importPasted(`prompt,a,b,better\nx,y,z,${word}`),
    /"better": expected a, b, tie or both bad .*got "constructor"/,
  );
  const battle = { conversation_a: [...asked, ...(a ?? [])], conversation_b: [...asked, ...(b ?? [])] };
  await assert.rejects(imported([{ ...battle, winner: word }]), /"winner": expected a, b, tie or both bad/);
  const studio = {
    data: { prompt: "x", answer1: "y", answer2: "z" },
    annotations: [{ result: [{ type: "choices", value: { choices: [word] } }] }],
  };
  const argilla = {
    fields: { prompt: "x", "response-1": "y", "response-2": "z" },
    responses: { preference: [{ value: word, user_id: "ann" }] },
  };
  for (const row of [studio, argilla]) assert.deepEqual((await imported([row])).comparisons[0]?.votes, []);
});

test("a row of no form is refused with the forms there are", async () => {
  await assert.rejects(
    imported([{ prompt: "x", completion: "y" }]),
    /:1: expected a row of one of these forms, got the columns prompt, completion:\n {2}label-studio: tasks/,
  );
});

test("every form reads what it writes to equal rows", async () => {
  const base: Comparison = {
    prompt: asked,
    answers: [answers[0] ?? [], answers[1] ?? []],
    models: ["one", "two"],
    votes: [{ person: "ann", choice: "b" }],
    extra: { topic: "sky" },
  };
  const text: Comparison = { ...base, prompt: "Which colour?", answers: ["Blue.", "Green."] };
  for (const form of forms) {
    // a pair knows neither models nor people, and its chosen answer comes first
    const kept = (comparison: Comparison): Comparison =>
      form.name === "pairs"
        ? { ...comparison, models: [null, null], votes: [{ person: null, choice: "b" }] }
        : comparison;
    const asText = form.name === "battles" || form.name === "open-webui" ? [] : [kept(text)];
    const rows = [kept(base), ...asText];
    const { comparisons } = await imported(rows.map((row) => form.write(row)));
    assert.deepEqual(comparisons.map(inOrder), rows.map(inOrder), form.name);
  }
});

test("an item is the same whichever answer is written first", () => {
  const comparison = {
    prompt: "x",
    models: ["p", "q"],
    votes: [{ person: null, choice: "a" }],
    extra: {},
  } as const;
  const one: Comparison = { ...comparison, answers: ["yes", "no"] };
  const other: Comparison = {
    ...comparison,
    answers: ["no", "yes"],
    models: ["q", "p"],
    votes: [{ person: null, choice: "b" }],
  };
  assert.equal(itemIdOf(one), itemIdOf(other));
  assert.deepEqual(inOrder(one), inOrder(other));
});
