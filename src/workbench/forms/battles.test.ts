/** Battles of Chatbot Arena in the columns of lmarena-ai/arena-human-preference-55k, and in the files that people make of them. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { scratch } from "../../../test/support/scratch.ts";
import { type Imported, type ImportOptions, importFiles } from "../import-comparisons.ts";

const dir = mkdtempSync(join(scratch(), "preftune-battles-"));
after(() => rmSync(dir, { recursive: true, force: true }));
let files = 0;

function imported(text: string, options: ImportOptions & { ending?: string } = {}): Promise<Imported> {
  const { ending = "jsonl", ...others } = options;
  const path = join(dir, `rows-${files++}.${ending}`);
  writeFileSync(path, text);
  return importFiles(path, others);
}

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });

const battle = {
  ...{ id: 30192, model_a: "gpt-4", model_b: "koala", prompt: ["Which colour?"] },
  ...{ response_a: ["Blue."], response_b: ["Green."] },
  ...{ winner_model_a: 0, winner_model_b: 1, winner_tie: 0 },
};

const read = {
  prompt: [user("Which colour?")],
  answers: [[assistant("Blue.")], [assistant("Green.")]],
  models: ["gpt-4", "koala"],
  votes: [{ person: null, choice: "b" }],
  extra: { id: 30192 },
};

const lines = (...rows: object[]): string => rows.map((row) => JSON.stringify(row)).join("\n");

test("the published CSV file: turns as JSON, the winner in three columns", async () => {
  const cell = (text: string) => `"${JSON.stringify([text]).replaceAll('"', '""')}"`;
  const header = "id,model_a,model_b,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie";
  const row = (flags: string) =>
    `30192,gpt-4,koala,${cell("Which colour?")},${cell("Blue.")},${cell("Green.")},${flags}`;
  const text = [header, row("0,1,0"), row("1,0,0"), row("0,0,1"), row(",,")].join("\n");
  const { comparisons, forms } = await imported(text, { ending: "csv" });
  assert.deepEqual(forms, { battles: 4 });
  assert.deepEqual(comparisons[0], { ...read, extra: { id: "30192" } });
  const said = comparisons.map(({ votes }) => votes[0]?.choice ?? null);
  assert.deepEqual(said, ["b", "a", "tie", null]);
});

test("lists, Python's notation, plain texts; 1 as a float, a boolean, a word", async () => {
  const texts = { prompt: "Which colour?", response_a: "Blue.", response_b: "Green." };
  const python = { prompt: "['Which colour?']", response_a: "['Blue.']", response_b: "['Green.']" };
  const flags = [
    { winner_model_a: false, winner_model_b: true, winner_tie: false },
    { winner_model_a: "0.0", winner_model_b: "1.0", winner_tie: "" },
    { winner_model_a: "False", winner_model_b: "True", winner_tie: null },
  ];
  const rows = [battle, { ...battle, ...texts }, { ...battle, ...python }].flatMap((row) => [
    row,
    ...flags.map((given) => ({ ...row, ...given })),
  ]);
  const floats = JSON.stringify(battle).replaceAll(/("winner_\w+":[01])/g, "$1.0");
  const { comparisons } = await imported(`${lines(...rows)}\n${floats}`);
  assert.equal(comparisons.length, rows.length + 1);
  for (const comparison of comparisons) assert.deepEqual(comparison, read);
  // without the three columns, lists of turns are still no texts
  const { winner_model_a: _, winner_model_b: __, winner_tie: ___, ...bare } = battle;
  const others = await imported(lines(bare, { ...bare, winner: "tie (bothbad)" }));
  assert.deepEqual(
    others.comparisons.map(({ prompt, votes }) => [prompt, votes[0]?.choice ?? null]),
    [
      [read.prompt, null],
      [read.prompt, "bad"],
    ],
  );
});

test("several turns: answers to the same last question are compared, others are counted, in both forms", async () => {
  const turns = { prompt: ["Hello", "Which colour?"], response_a: ["Hello.", "Blue."] };
  const same = { ...battle, ...turns, response_b: ["Hello.", "Green."] };
  const other = { ...battle, ...turns, response_b: ["Hi.", "Green."] };
  const none = { ...battle, response_b: [null] };
  const conversation = (first: string, last: string) => [
    ...[user("Hello"), assistant(first), user("Which colour?"), assistant(last)],
  ];
  const talks = { conversation_a: conversation("Hello.", "Blue."), winner: "model_b" };
  const [sameTalk, otherTalk] = ["Hello.", "Hi."].map((first) => ({
    ...talks,
    conversation_b: conversation(first, "Green."),
  }));
  const { comparisons, left } = await imported(lines(same, other, none, sameTalk ?? {}, otherTalk ?? {}));
  const prompt = conversation("Hello.", "").slice(0, 3);
  assert.equal(comparisons.length, 2);
  for (const one of comparisons)
    assert.deepEqual([one.prompt, one.answers, one.votes], [prompt, read.answers, read.votes]);
  assert.deepEqual(left, {
    "a battle of several turns, whose answers differ before the last question": 2,
    "a battle with a turn without a text": 1,
  });
});

test("what says nothing of a winner is refused with its place", async () => {
  const refused: [object, RegExp][] = [
    [{ winner_tie: 0.33 }, /:1, "winner_tie": expected 0 or 1, got 0\.33\./],
    [{ winner_model_b: 0 }, /:1: expected 1 in one of winner_model_a, .*, got it in none\./],
    [{ winner_tie: 1 }, /:1: expected 1 in one of .*, got it in several\./],
    [{ response_a: ["Blue.", "Red."] }, /:1: expected as many turns in prompt, .*, got 1, 2, 1\./],
    [{ response_a: 7 }, /:1, "response_a": expected a text, or a list .*, got 7\..*--form table/],
  ];
  for (const [part, message] of refused)
    await assert.rejects(imported(lines({ ...battle, ...part })), message);
  // half of a surrogate pair within the list: it is not taken for a text of that very spelling
  const cells = { prompt: '["Which colour?"]', response_a: '["Blue \\ud83d"]', response_b: '["Green."]' };
  const half = lines({ ...battle, ...cells });
  await assert.rejects(imported(half), /:1, "response_a": expected a text, or a list/);
  const { comparisons } = await imported(half, { form: "table" });
  assert.deepEqual([comparisons[0]?.prompt, comparisons[0]?.votes], [cells.prompt, read.votes]);
});

test("a table has its verdict in three columns too, and Arena's words for two bad answers", async () => {
  const { prompt: _, response_a: __, response_b: ___, ...others } = battle;
  const asked = { prompt: "Which colour?", answer_a: "Blue.", answer_b: "Green." };
  const rows = [
    { ...others, ...asked },
    { ...asked, winner: "tie (bothbad)" },
    { ...asked, winner: "both_bad" },
  ];
  const { comparisons, forms } = await imported(lines(...rows));
  assert.deepEqual(forms, { table: 3 });
  assert.deepEqual(
    comparisons.map(({ votes, extra }) => [votes[0]?.choice, extra]),
    [
      ["b", { id: 30192 }],
      ["bad", {}],
      ["bad", {}],
    ],
  );
});

test("conversations that a CSV cell holds as JSON or in Python's notation", async () => {
  const cell = (text: string) => `"${text.replaceAll('"', '""')}"`;
  const said = (answer: string) => JSON.stringify([user("Which colour?"), assistant(answer)]);
  const header = "conversation_a,conversation_b,winner,judge";
  const python = (text: string) => text.replaceAll('"', "'");
  const rows = [
    `${cell(said("Blue."))},${cell(said("Green."))},model_b,ann`,
    `${cell(python(said("Blue.")))},${cell(python(said("Green.")))},model_b,ann`,
  ];
  const { comparisons } = await imported([header, ...rows].join("\n"), { ending: "csv" });
  for (const { prompt, answers, votes } of comparisons) {
    assert.deepEqual([prompt, answers], [read.prompt, read.answers]);
    assert.deepEqual(votes, [{ person: "ann", choice: "b" }]);
  }
  assert.equal(comparisons.length, 2);
});
