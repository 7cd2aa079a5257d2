import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { requireShared, skipWithoutShared } from "../../../test/support/shared.ts";
import { DataError } from "../../base/errors.ts";
import { readCompletions } from "./completions-file.ts";
import { diversityOf } from "./diversity.ts";
import { evaluateDiversity, writeDiversity } from "./evaluate-diversity.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-answers-"));
after(() => rmSync(root, { recursive: true }));

let files = 0;
function file(rows: readonly unknown[]): string {
  files += 1;
  const path = join(root, `${files}.jsonl`);
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return path;
}

const user = (content: string) => ({ role: "user", content });
const assistant = (content: unknown) => ({ role: "assistant", content });
const open = (text: string) => ({ text, ended: null });

test("a row an answer: rows with one prompt are gathered, in order of their first", async () => {
  const path = file([
    { prompt: "p", answer: "1", ended: true },
    { prompt: "q", completion: "2", finish_reason: "length" },
    { prompt: "p", response: "3", finish_reason: "stop" },
    { prompt: "p", output: [user("p"), assistant("4")] },
  ]);
  assert.deepEqual(await readCompletions(path), [
    { prompt: "p", answers: [{ text: "1", ended: true }, { text: "3", ended: true }, open("4")] },
    { prompt: "q", answers: [{ text: "2", ended: false }] },
  ]);
});

test("a row a prompt: a list of texts or of objects, each with an end of its own or the row's", async () => {
  const path = file([
    { prompt: [user("what?")], answers: ["a", { text: "b", ended: false }], ended: true },
    { question_id: 7, answers: ["c"] },
    { answers: ["d"] },
    { answers: ["e"] },
  ]);
  assert.deepEqual(await readCompletions(path), [
    {
      prompt: "what?",
      answers: [
        { text: "a", ended: true },
        { text: "b", ended: false },
      ],
    },
    { prompt: "question_id 7", answers: [open("c")] },
    { prompt: "", answers: [open("d")] },
    { prompt: "", answers: [open("e")] },
  ]);
});

test("dialogues: messages, Arena-Hard's objects, and FastChat's turns, each a prompt of its own", async () => {
  const path = file([
    { messages: [user("a"), assistant("1"), user("b"), assistant("2")] },
    { uid: "x", messages: [user("c"), assistant({ answer: "3" })] },
    {
      question_id: 81,
      choices: [
        { index: 0, turns: ["4", "5"] },
        { index: 1, turns: ["6", "7"] },
      ],
    },
    { question_id: 82, choices: [{ index: 0, turns: [{ content: "8" }] }] },
  ]);
  assert.deepEqual(await readCompletions(path), [
    { prompt: "b", answers: [open("2")] },
    { prompt: "c", answers: [open("3")] },
    { prompt: "question_id 81, turn 1", answers: [open("4"), open("6")] },
    { prompt: "question_id 81, turn 2", answers: [open("5"), open("7")] },
    { prompt: "question_id 82", answers: [open("8")] },
  ]);
});

test("what --output writes has the same figures when it is read again, also of prompts of the same text or none", async () => {
  const path = file([
    { answer: "one of these" },
    { answer: "two of these" },
    { messages: [user("a"), assistant("b"), user("go on"), assistant("three of those")] },
    { messages: [user("c"), assistant("d"), user("go on"), assistant("four of those")] },
    { prompt: "p", answers: ["five of them", "six of them"] },
  ]);
  const report = await evaluateDiversity({ answers: path }, "words");
  assert.equal(report.all.prompts, 5);
  const lines = join(root, "written.jsonl");
  writeDiversity(lines, report);
  assert.deepEqual(await evaluateDiversity({ answers: lines }, "words"), report);
});

const generated = (index: number, adapter: string, answers: unknown[]) => ({
  ...{ index, prompt: "yes", adapter, answers },
});

test("lines of generate: prompts of the same text are apart, and each turn is a prompt of its own", async () => {
  const turns = [
    { text: "1", ended: true },
    { text: "2", ended: false },
  ];
  const path = file([
    generated(0, "base", [{ text: "a", ended: true }, open("b")]),
    generated(1, "base", [open("c")]),
    { ...generated(2, "base", [{ text: "2", ended: false, turns }]), follow_ups: ["more"] },
  ]);
  assert.deepEqual(await readCompletions(path), [
    { prompt: "yes", answers: [{ text: "a", ended: true }, open("b")] },
    { prompt: "yes", answers: [open("c")] },
    { prompt: "yes, turn 1", answers: [{ text: "1", ended: true }] },
    { prompt: "yes, turn 2", answers: [{ text: "2", ended: false }] },
  ]);
});

test("lines of generate of several adapters are refused: the figures would be of none of them", async () => {
  const name = 'it\'s "lora"';
  const path = file([generated(0, "base", ["a"]), generated(0, name, ["b"])]);
  let hint = "";
  await assert.rejects(readCompletions(path), (error: unknown) => {
    assert.ok(error instanceof DataError);
    assert.match(
      error.message,
      /:2: expected completions of one adapter, got those of "base" and "it's "lora""/,
    );
    hint = error.message.slice(error.message.indexOf("grep "));
    return true;
  });
  const command = hint.replace(/ > one\.jsonl$/, "");
  assert.equal(
    execFileSync("sh", ["-c", command], { encoding: "utf8" }),
    `${readFileSync(path, "utf8").split("\n")[1]}\n`,
  );
  // a column of that name alone says nothing
  const others = file([
    { prompt: "p", adapter: "x", answer: "a" },
    { prompt: "p", adapter: "y", answer: "b" },
  ]);
  assert.equal((await readCompletions(others))[0]?.answers.length, 2);
});

const faults: [what: string, row: unknown, message: RegExp][] = [
  [
    "no answer",
    { prompt: "p", chosen: "c" },
    /:2: expected an answer: "answers".*; found the columns prompt, chosen\./,
  ],
  ["a number", { answer: 5 }, /:2, column "answer": expected a text, a list of messages, or an object/],
  [
    "a question at the end",
    { messages: [user("a")] },
    /:2, column "messages": expected the last message to be an/,
  ],
  ["answers that are no list", { answers: "a" }, /:2, column "answers": expected a list/],
  ["turns that are no texts", { choices: [{ turns: [3] }] }, /:2, column "choices", "turns": expected texts/],
  ["choices without turns", { choices: [{}] }, /:2, column "choices", "turns": expected a list/],
];
for (const [what, row, message] of faults) {
  test(`refused by file and line: ${what}`, async () => {
    await assert.rejects(readCompletions(file([{ answer: "fine" }, row])), (error: unknown) => {
      assert.ok(error instanceof DataError);
      assert.match(error.message, message);
      return true;
    });
  });
}

test("an empty file has no answers to look at", async () => {
  await assert.rejects(readCompletions(file([])), /expected answers, found no rows|no rows/);
});

const published = ["data", "arena_hard", "answers_v0.1_gpt-4-0314.jsonl"];
test("published answers of a good model: hardly any has a fault of Markdown", {
  skip: skipWithoutShared(...published),
}, async () => {
  const answered = (await readCompletions(requireShared(...published))).slice(0, 200);
  const { all } = diversityOf(answered, "words");
  assert.equal(all.answers, 200);
  assert.ok(all.metrics.formatted > 0.8 && all.metrics.malformed < 0.02, `${all.metrics.malformed}`);
});
