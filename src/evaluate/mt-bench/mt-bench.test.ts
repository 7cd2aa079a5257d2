/** Tests of mt-bench.ts: which prompts are put to the judge, and scores by hand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DataError } from "../../base/errors.ts";
import type { Question } from "../answers/questions.ts";
import type { JudgePrompt } from "../judge/judge-prompts.ts";
import {
  type MtBenchMaterial,
  mtBenchPairTasks,
  mtBenchTemperature,
  type RatedTurn,
  ratingStatistics,
  ratingTasks,
} from "./mt-bench.ts";

const near = (actual: number | undefined, expected: number): void =>
  assert.ok(Math.abs((actual ?? Number.NaN) - expected) < 1e-9, `${actual} is not ${expected}`);

const question = (id: string, category: string, temperature: number | null = null): Question => ({
  id,
  isNamed: true,
  where: `q.jsonl:${id}`,
  category,
  messages: [{ role: "user", content: `${id} first` }],
  followUps: [`${id} second`],
  temperature,
});

const prompt = (name: string, template: string): [string, JudgePrompt] => [
  name,
  { name, where: "p.jsonl:1", system: `system ${name}`, template },
];

const material: MtBenchMaterial = {
  questions: [question("1", "writing"), question("2", "math")],
  promptPath: "p.jsonl",
  prompts: new Map([
    prompt("single-v1", "{question}|{answer}"),
    prompt("single-v1-multi-turn", "{question_1}|{answer_1}|{question_2}|{answer_2}"),
    prompt("single-math-v1", "{ref_answer_1}|{question}|{answer}"),
    prompt("single-math-v1-multi-turn", "{ref_answer_1}|{ref_answer_2}|{question_2}|{answer_2}"),
    prompt("pair-v2", "{question}|{answer_a}|{answer_b}"),
    prompt("pair-v2-multi-turn", "{answer_a_1}|{answer_b_1}|{question_2}|{answer_a_2}|{answer_b_2}"),
    prompt("pair-math-v1", "{ref_answer_1}|{answer_a}|{answer_b}"),
    prompt("pair-math-v1-multi-turn", "{ref_answer_2}|{answer_a_2}|{answer_b_2}"),
  ]),
  references: new Map([["2", ["ref one", "ref two"]]]),
};
const own = new Map([
  ["1", ["a {question_2} one", "a two"]],
  ["2", ["b one", "b two"]],
]);
const other = new Map([
  ["1", ["x one", "x two"]],
  ["2", ["y one", "y two"]],
]);

test("each turn has its prompt; maths has a reference; braces in answers stay", () => {
  const asked = ratingTasks(material, own).map(({ id, turn, messages }) => [
    id,
    turn,
    ...messages.map(({ role, content }) => `${role}: ${content}`),
  ]);
  assert.deepEqual(asked, [
    ["1", 1, "system: system single-v1", "user: 1 first|a {question_2} one"],
    ["1", 2, "system: system single-v1-multi-turn", "user: 1 first|a {question_2} one|1 second|a two"],
    ["2", 1, "system: system single-math-v1", "user: ref one|2 first|b one"],
    ["2", 2, "system: system single-math-v1-multi-turn", "user: ref one|ref two|2 second|b two"],
  ]);
});

test("pairs are put in both orders", () => {
  const asked = mtBenchPairTasks(material, own, other).map(({ orders }) =>
    orders.map((messages) => messages.at(-1)?.content),
  );
  assert.deepEqual(asked[0], ["1 first|a {question_2} one|x one", "1 first|x one|a {question_2} one"]);
  assert.deepEqual(asked[1], [
    "a {question_2} one|x one|1 second|a two|x two",
    "x one|a {question_2} one|1 second|x two|a two",
  ]);
  assert.deepEqual(asked[3], ["ref two|b two|y two", "ref two|y two|b two"]);
});

test("without references no category asks for one, and each keeps its name", () => {
  const tasks = mtBenchPairTasks({ ...material, references: null }, own, other);
  assert.deepEqual(
    tasks.map(({ category }) => category),
    ["writing", "writing", "math", "math"],
  );
  assert.equal(tasks[2]?.orders[0].at(-1)?.content, "2 first|b one|y one");
});

test("a missing reference, prompt or place is named", () => {
  assert.throws(
    () => ratingTasks({ ...material, references: new Map() }, own),
    (error: unknown) =>
      error instanceof DataError &&
      /^q\.jsonl:2: expected a reference answer to question 2/.test(error.message),
  );
  const few = new Map([...material.prompts].filter(([name]) => name !== "single-v1"));
  assert.throws(
    () => ratingTasks({ ...material, prompts: few }, own),
    /^DataError: p\.jsonl: expected a judge's prompt named single-v1, found single-v1-multi-turn, /,
  );
  const odd = new Map([...material.prompts, prompt("single-v1", "{questoin}")]);
  assert.throws(
    () => ratingTasks({ ...material, prompts: odd }, own),
    /prompt single-v1 has a place \{questoin\} that is not known; known here: question,/,
  );
});

test("temperatures: the question's own, else its category's, else 0.7", () => {
  assert.deepEqual(
    [
      question("1", "writing"),
      question("1", "math"),
      question("1", "stem"),
      question("1", "other"),
      question("1", "math", 0.3),
    ].map(mtBenchTemperature),
    [0.7, 0, 0.1, 0.7, 0.3],
  );
});

test("scores by hand: an unrated turn is left out and counted", () => {
  const rated: [string, string, 1 | 2, number | null, number][] = [
    ["1", "writing", 1, 8, 100],
    ["1", "writing", 2, 6, 80],
    ["2", "writing", 1, 9, 120],
    ["2", "writing", 2, null, 10],
    ["3", "math", 1, 2, 20],
    ["3", "math", 2, 1, 10],
  ];
  const statistics = ratingStatistics(
    rated.map(([id, category, turn, rating, length]): RatedTurn => ({ id, category, turn, rating, length })),
  );
  // (8 + 6 + 9 + 2 + 1) / 5; turn 1: (8 + 9 + 2) / 3; turn 2: (6 + 1) / 2
  near(statistics.overall.value, 5.2);
  assert.equal(statistics.overall.ratings, 5);
  near(statistics.perTurn["1"]?.value, 19 / 3);
  near(statistics.perTurn["2"]?.value, 3.5);
  near(statistics.perCategory["writing"]?.overall.value, 23 / 3);
  near(statistics.perCategory["math"]?.perTurn["2"]?.value, 1);
  assert.equal(statistics.unrated, 1);
  // Three questions: the lowest draw is 3, 3, 3 with a mean of 1.5, the highest 2, 2, 2 with 9.
  assert.deepEqual(statistics.overall.interval.low, 1.5);
  assert.deepEqual(statistics.overall.interval.high, 9);
  // Within maths one question is drawn whatever happens: of all, by Clopper and Pearson, at least 2.5 % are like it.
  near(statistics.perCategory["math"]?.overall.interval.low, 0.025 * 1.5 + 0.975 * 1);
  near(statistics.perCategory["math"]?.overall.interval.high, 0.025 * 1.5 + 0.975 * 10);
  assert.ok(statistics.lengthCorrelation.value > 0.98 && statistics.lengthCorrelation.value <= 1);
});

test("more than two turns, and prompts that show too few answers, are refused", () => {
  const [first] = material.questions;
  assert.ok(first);
  const long = { ...material, questions: [{ ...first, followUps: ["second", "third"] }] };
  assert.throws(() => ratingTasks(long, own), /q\.jsonl:1: expected one or two turns.*got 3/);
  const blind = new Map([
    ...material.prompts,
    prompt("single-v1", "{question}"),
    prompt("pair-v2", "{question}|{answer_a}"),
  ]);
  assert.throws(
    () => ratingTasks({ ...material, prompts: blind }, own),
    /p\.jsonl:1: prompt single-v1: expected a place such as \{answer\}, found \{question\}/,
  );
  assert.throws(
    () => mtBenchPairTasks({ ...material, prompts: blind }, own, other),
    /prompt pair-v2: expected places such as \{answer_a\} and \{answer_b\}, found \{question\}, \{answer_a\}/,
  );
});
