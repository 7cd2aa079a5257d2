/** Tests of questions.ts, answer-rows.ts, answer-log.ts, judge-prompts.ts, style.ts and answerer.ts: files of every published form. */
import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { requireShared, skipWithoutShared } from "../../../test/support/shared.ts";
import { listenToWarnings } from "../../../test/support/warnings.ts";
import { ConfigError, DataError, FileError, FormatError } from "../../base/errors.ts";
import { readArenaPrompt } from "../arena-hard/arena-prompt.ts";
import { OWN_PAIR_PROMPT, pairTasks } from "../judge/pair-tasks.ts";
import { styleDifference, styleOf } from "../judge/style.ts";
import { verdictReader } from "../judge/verdicts.ts";
import { readJudgePrompts } from "../mt-bench/mt-bench-prompts.ts";
import { AnswerLog, answerKey } from "./answer-log.ts";
import { matchAnswers, readAnswerFile } from "./answer-rows.ts";
import { answererName, parseAnswerer, parseEndpoint } from "./answerer.ts";
import { type Question, questionText, readQuestions } from "./questions.ts";

const dir = mkdtempSync(join(tmpdir(), "preftune-answers-"));
after(() => rmSync(dir, { recursive: true, force: true }));
let files = 0;
const rows = (...values: unknown[]): string => {
  const path = join(dir, `rows-${files++}.jsonl`);
  writeFileSync(path, values.map((value) => `${JSON.stringify(value)}\n`).join(""));
  return path;
};

test("questions of every form", async () => {
  const path = rows(
    { question_id: 81, category: "writing", turns: ["one", "two"], required_temperature: 0.2 },
    { uid: "ab", category: "arena", cluster: "c", prompt: "hard" },
    { prompt_id: 7, category: "math", prompt: ["first", "second"], reference: [] },
    { prompt: [{ role: "user", content: "chat" }] },
    {
      messages: [
        { role: "system", content: "be" },
        { role: "user", content: "u1" },
        { role: "assistant", content: "a1" },
        { role: "user", content: "u2" },
        { role: "assistant", content: "left out" },
      ],
    },
    { question_id: "96d2", category: "arena-hard-v0.1", cluster: "c", turns: [{ content: "older" }] },
    { question_id: "96d3", category: "arena-hard-v0.1", turns: [{ content: "older" }, { content: "later" }] },
  );
  const questions = await readQuestions(path);
  assert.deepEqual(
    questions.map(({ id, followUps, temperature }) => [id, followUps, temperature]),
    [
      ["81", ["two"], 0.2],
      ["ab", [], null],
      ["7", ["second"], null],
      ["4", [], null],
      ["5", [], null],
      ["96d2", [], null],
      ["96d3", ["later"], null],
    ],
  );
  assert.deepEqual(questions.map(questionText), [
    "one",
    "hard",
    "first",
    "chat",
    "System: be\n\nUser: u1\n\nAssistant: a1\n\nUser: u2",
    "older",
    "older",
  ]);
  assert.equal((await readQuestions(path, { limit: 2 })).length, 2);
  assert.deepEqual(
    (await readQuestions(path, { categories: ["math"] })).map(({ id }) => id),
    ["7"],
  );
});

const badQuestions: [what: string, row: unknown, message: RegExp][] = [
  [
    "no question",
    { text: "x" },
    /rows-\d+\.jsonl:1: expected a question in "turns", "prompt" or "messages", found the columns text/,
  ],
  ["an empty turn", { turns: ["a", " "] }, /column "turns", message 1: expected an object/],
  ["a tool", { messages: [{ role: "tool", content: "x" }] }, /got one of tool/],
  ["only an answer", { messages: [{ role: "assistant", content: "x" }] }, /found only an answer/],
];
for (const [what, row, message] of badQuestions) {
  test(`question refused: ${what}`, async () => {
    await assert.rejects(readQuestions(rows(row)), (error: unknown) => {
      assert.ok(error instanceof DataError);
      assert.match(error.message, message);
      return true;
    });
  });
}

test("two questions of the same id, and categories that are not there, are refused", async () => {
  const path = rows({ question_id: 1, prompt: "a" }, { question_id: "1", prompt: "b" });
  await assert.rejects(readQuestions(path), /:2: expected another id than 1, which .*:1 has/);
  await assert.rejects(
    readQuestions(path, { categories: ["x"] }),
    /expected questions of the category "x", found none; its categories are none/,
  );
  const some = rows({ prompt: "a", category: "math" }, { prompt: "b", category: "writing" });
  await assert.rejects(
    readQuestions(some, { categories: ["writing", "mth"] }),
    /category "mth", found none; its categories are math, writing\. Did you mean "math"\?/,
  );
  await assert.rejects(
    readQuestions(rows({ prompt: "a", required_temperature: "hot" })),
    /:1: expected "required_temperature" to be a number of at least 0, got "hot"/,
  );
});

test("answers that do not count are told of, and turns are counted from the first", async (t) => {
  const warnings = listenToWarnings(t);
  const path = rows(
    { question_id: 1, choices: [{ turns: ["one", "two"] }, { turns: ["other"] }] },
    { question_id: 2, answers: ["a", "b"] },
    { prompt: "three?", completion: "first" },
    { prompt: "three?", completion: "second" },
  );
  const questions = [asked("1", ["q"]), asked("2", ["q2"]), asked("x", ["three?"])];
  const answers = matchAnswers(await readAnswerFile(path), questions, path);
  assert.deepEqual([...answers.values()], [["one"], ["a"], ["first"]]);
  assert.deepEqual(await warnings(path), [
    `${path}: 2 rows with several answers; the first counts.`,
    `${path}: 1 row with a prompt that has an answer already; the first counts.`,
    `${path}: 1 row with more turns than the question has; the first ones count.`,
  ]);
});

const asked = (id: string, turns: string[]): Question => ({
  id,
  isNamed: true,
  where: `q:${id}`,
  category: null,
  messages: [{ role: "user", content: turns[0] ?? "" }],
  followUps: turns.slice(1),
  temperature: null,
});

test("answers of every form are found by id, or by what was asked", async () => {
  const path = rows(
    { question_id: 1, model_id: "m", choices: [{ index: 0, turns: ["one", "two"] }, { turns: ["other"] }] },
    {
      uid: "2",
      model: "m",
      messages: [
        { role: "user", content: "q" },
        { role: "assistant", content: { answer: "arena" } },
      ],
    },
    { question_id: "3", choices: [{ index: 0, turns: [{ content: "older", token_len: 1 }] }] },
    { prompt: "four?", answers: [{ text: "own", ended: true }, "second"] },
    { prompt: "five?", completion: "text" },
    {
      messages: [
        { role: "user", content: "six?" },
        { role: "assistant", content: "dialogue" },
      ],
    },
  );
  const file = await readAnswerFile(path);
  assert.equal(file.model, "m");
  const questions = [
    asked("1", ["a", "b"]),
    asked("2", ["q"]),
    asked("3", ["c"]),
    asked("d", ["four?"]),
    asked("e", ["five?"]),
    asked("f", ["six?"]),
  ];
  assert.deepEqual(
    [...matchAnswers(file, questions, path).values()],
    [["one", "two"], ["arena"], ["older"], ["own"], ["text"], ["dialogue"]],
  );
  assert.throws(
    () => matchAnswers(file, [asked("9", ["none"])], path),
    /expected an answer to question 9 of q:9, found none/,
  );
  assert.throws(
    () => matchAnswers(file, [asked("2", ["a", "b"])], path),
    /:2: expected answers to 2 turns of question 2, found 1/,
  );
});

for (const row of [
  { question_id: 1 },
  { choices: [] },
  { answers: [] },
  { answers: [3] },
  { choices: [{ turns: [null] }] },
]) {
  test(`answer refused: ${JSON.stringify(row)}`, async () => {
    await assert.rejects(readAnswerFile(rows(row)), (error: unknown) => {
      assert.ok(error instanceof DataError);
      assert.match(error.message, /^.*rows-\d+\.jsonl:1: expected/);
      return true;
    });
  });
}

test("two answers to one question: the same twice is one, others are refused; names cannot steer the terminal", async () => {
  const same = rows({ question_id: 1, answer: "a", model: "m\u001b[31m\n" }, { question_id: 1, answer: "a" });
  const file = await readAnswerFile(same);
  assert.equal(file.model, "m·[31m");
  assert.deepEqual([...matchAnswers(file, [asked("1", ["q"])], same)], [["1", ["a"]]]);
  const two = rows({ question_id: 1, answer: "a" }, { question_id: 1, answer: "b" });
  const other = await readAnswerFile(two);
  assert.throws(
    () => matchAnswers(other, [asked("1", ["q"])], two),
    /:2: expected one answer to question 1, found another/,
  );
  const samples = rows({ prompt: "q", answer: "first" }, { prompt: "q", answer: "second" });
  const drawn = await readAnswerFile(samples);
  assert.deepEqual([...matchAnswers(drawn, [asked("x", ["q"])], samples)], [["x", ["first"]]]);
});

test("questions without ids are matched by what they ask, not by the number of their line", async () => {
  const questions = await readQuestions(rows({ prompt: "first" }, { prompt: "second" }));
  const path = rows({ id: 1, prompt: "second", answer: "b" }, { id: 2, prompt: "first", answer: "a" });
  const file = await readAnswerFile(path);
  assert.deepEqual([...matchAnswers(file, questions, path).values()], [["a"], ["b"]]);
  const others = rows({ id: 1, prompt: "another", answer: "x" }, { id: 2, answer: "made for line two" });
  const other = await readAnswerFile(others);
  assert.deepEqual([...matchAnswers(other, questions.slice(1), others).values()], [["made for line two"]]);
  assert.throws(() => matchAnswers(other, questions, others), /expected an answer to question 1/);
});

test("an answer log goes on after a crash, and refuses answers that were made otherwise", async () => {
  const path = join(dir, "log.jsonl");
  const questions = [asked("1", ["a", "b"]), asked("x", ["c"])];
  const settings = { identity: "m", temperature: 0, maxTokens: 8, seed: 1, further: {} };
  const keysOf = (changed: object) =>
    new Map(questions.map((one) => [one.id, answerKey(one, { ...settings, ...changed })]));
  const keys = keysOf({});
  {
    using log = await AnswerLog.open(path, "m", keys);
    log.add("1", keys.get("1") ?? "", { turns: ["one", "two"], cut: 1 });
  }
  appendFileSync(path, `{"question_id":"x","answer_id":"torn`);
  {
    using log = await AnswerLog.open(path, "m", keys);
    assert.deepEqual([...log.answers], [["1", ["one", "two"]]]);
    assert.equal(log.cut, 1);
    log.add("x", keys.get("x") ?? "", { turns: ["three"], cut: 1 });
    assert.equal(log.cut, 2);
  }
  const lines = readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    lines.map(({ question_id, model_id, choices }) => [question_id, model_id, choices[0].turns]),
    [
      [1, "m", ["one", "two"]],
      ["x", "m", ["three"]],
    ],
  );
  const file = await readAnswerFile(path);
  assert.deepEqual([...matchAnswers(file, questions, path).values()], [["one", "two"], ["three"]]);
  for (const changed of [
    { identity: "n" },
    { temperature: 1 },
    { maxTokens: 9 },
    { seed: 2 },
    { further: { a: 1 } },
  ]) {
    await assert.rejects(AnswerLog.open(path, "m", keysOf(changed)), (error: unknown) => {
      assert.ok(error instanceof FileError);
      assert.match(error.message, /log\.jsonl:1: expected an answer to question 1 made with the same model/);
      return true;
    });
  }
});

test("who answers, as it is written", () => {
  const file = rows({});
  assert.deepEqual(parseAnswerer(file), { kind: "file", path: file });
  assert.deepEqual(parseAnswerer("missing.jsonl"), { kind: "file", path: "missing.jsonl" });
  assert.deepEqual(parseAnswerer(dir), { kind: "model", model: dir, adapter: null });
  assert.deepEqual(parseAnswerer("owner/name"), { kind: "model", model: "owner/name", adapter: null });
  assert.deepEqual(parseAnswerer("base+runs/x"), { kind: "model", model: "base", adapter: "runs/x" });
  assert.deepEqual(parseAnswerer("https://host/v1#a/b#c"), {
    kind: "endpoint",
    baseUrl: "https://host/v1",
    model: "a/b#c",
  });
  const names = ["a/x.jsonl", "https://host/v1#m", "models/base", "runs/x/model", "base+runs/y/adapter"];
  const checkpoints = ["runs/x/checkpoints/checkpoint-15", "base+out/checkpoint-3"];
  assert.deepEqual(
    [...names, ...checkpoints].map((text) => answererName(parseAnswerer(text))),
    ["x", "m", "base", "x/model", "base+y/adapter", "x/checkpoint-15", "base+out/checkpoint-3"],
  );
  for (const text of ["http://host/v1", "http://host/v1#", "#model", "host#model"]) {
    assert.throws(() => parseEndpoint(text), ConfigError);
  }
});

test("style: words, and Markdown outside of code", () => {
  const text = "# One\n\ntwo **three** and __four__\n- five\n2. six\n```\n# not\n- not\n```\n## Seven";
  const { headers, bold, lists } = styleOf([text]);
  assert.deepEqual([headers, bold, lists], [2, 2, 2]);
  assert.equal(styleOf(["one two.", "three"]).length, 4);
  assert.equal(styleOf(["\n".repeat(300_000)]).lists, 0, "and in no time");
  assert.equal(styleDifference(3, 1), 0.5);
  assert.equal(styleDifference(0, 0), 0);
});

test("Arena-Hard's prompt in its newer and older form, and what is wrong with others", () => {
  const yaml = join(dir, "arena.yaml");
  const settings = join(dir, "judge_settings.json");
  writeFileSync(settings, JSON.stringify({ bench: { system_prompt: "judge" } }));
  const write = (text: string) => writeFileSync(yaml, text);
  write(
    `bench_name: bench\nregex_patterns: ['\\[\\[([AB<>=]+)\\]\\]']\nprompt_template: "{QUESTION}|{ANSWER_A}|{ANSWER_B}"`,
  );
  const prompt = readArenaPrompt(yaml, settings);
  const answers = (text: string) => new Map([["1", [text]]]);
  const [task] = pairTasks([asked("1", ["q"])], answers("a"), answers("b"), prompt);
  assert.deepEqual(task?.orders[0], [
    { role: "system", content: "judge" },
    { role: "user", content: "q|a|b" },
  ]);
  assert.equal(verdictReader(prompt.patterns, yaml)("[[A>>B]]"), 2);
  assert.deepEqual([prompt.temperature, prompt.maxTokens], [0, 4096]);
  write(
    `bench_name: old\nsystem_prompt: s\nregex_pattern: x(A)\nprompt_template: ["{question_1}{answer_1}{answer_2}"]`,
  );
  assert.equal(readArenaPrompt(yaml, "nowhere.json").template, "{question_1}{answer_1}{answer_2}");
  const wrong: [string, RegExp][] = [
    [
      "bench_name: other\nregex_patterns: []\nprompt_template: x",
      /judge_settings\.json: expected the judge's "system_prompt" under "other"/,
    ],
    ["regex_patterns: []\nprompt_template: x", /expected "bench_name" to be a name/],
    ["bench_name: bench\nprompt_template: x", /expected "regex_patterns" to be a list/],
    [
      "bench_name: bench\nregex_patterns: []\nprompt_template: x\nmax_tokens: many",
      /expected "max_tokens" to be a number/,
    ],
    ["a: [", /expected YAML/],
    ["- 1", /expected settings of a judge/],
  ];
  for (const [text, message] of wrong) {
    write(text);
    assert.throws(
      () => readArenaPrompt(yaml, settings),
      (error: unknown) => error instanceof FormatError && message.test(error.message),
    );
  }
});

test("preftune's own prompt asks for the verdicts that are read", () => {
  const read = verdictReader(OWN_PAIR_PROMPT.patterns, "own");
  for (const verdict of ["A>>B", "A>B", "A=B", "B>A", "B>>A"]) {
    assert.ok(OWN_PAIR_PROMPT.system.includes(`[[${verdict}]]`));
    assert.notEqual(read(`[[${verdict}]]`), null);
  }
});

test("MT-Bench's published files", { skip: skipWithoutShared("data", "mt_bench") }, async () => {
  const bench = requireShared("data", "mt_bench");
  const questions = await readQuestions(join(bench, "question.jsonl"));
  assert.equal(questions.length, 80);
  assert.ok(questions.every(({ followUps }) => followUps.length === 1));
  assert.equal(new Set(questions.map(({ category }) => category)).size, 8);
  const graded = questions.filter(({ category }) => ["math", "reasoning", "coding"].includes(category ?? ""));
  const path = join(bench, "reference_answer_gpt-4.jsonl");
  assert.equal(matchAnswers(await readAnswerFile(path), graded, path).size, 30);
  const prompts = await readJudgePrompts(join(bench, "judge_prompts.jsonl"));
  assert.equal(prompts.size, 8);
});

test("Arena-Hard's published files", { skip: skipWithoutShared("data", "arena_hard") }, async () => {
  const bench = requireShared("data", "arena_hard");
  const questions = await readQuestions(join(bench, "question_v0.1.jsonl"));
  assert.equal(questions.length, 500);
  const prompt = readArenaPrompt(join(bench, "arena-hard-v0.1.yaml"), join(bench, "judge_settings.json"));
  assert.equal(prompt.patterns.length, 2);
  for (const name of ["gpt-4-0314", "gpt-3.5-turbo-0125"]) {
    const path = join(bench, `answers_v0.1_${name}.jsonl`);
    const file = await readAnswerFile(path);
    assert.equal(file.model, name);
    const answers = matchAnswers(file, questions, path);
    assert.equal(pairTasks(questions, answers, answers, prompt).length, 500);
  }
});
