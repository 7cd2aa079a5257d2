/** `preftune evaluate mt-bench` as a user meets it, with judges of the tests whose verdicts are known; and what commands with a judge refuse. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Command } from "commander";
import { EndpointError, PreftuneError } from "../../src/base/errors.ts";
import { arenaHardCommand } from "../../src/cli/arena-hard-command.ts";
import { mtBenchCommand } from "../../src/cli/mt-bench-command.ts";
import { pairwiseCommand } from "../../src/cli/pairwise-command.ts";
import { preftune } from "../support/command.ts";
import { type ChatAnswer, type ChatCall, completion, startJudge } from "../support/judge-server.ts";
import { ruleAnswer } from "../support/rule-judge.ts";
import { runFixture } from "../support/runs.ts";
import { requireShared, skipWithoutShared } from "../support/shared.ts";
import { rowOf } from "../support/table.ts";
import { writeRows } from "../support/tiny-model.ts";

const fixture = runFixture({ held: 0 });
after(() => fixture[Symbol.dispose]());
const evaluate = (...words: string[]) => preftune("evaluate", ...words);
const results = (dir: string) => JSON.parse(readFileSync(join(dir, "results.json"), "utf8"));

/** A benchmark of MT-Bench's form: two writing questions and one of maths. */
function smallMtBench(): string {
  const dir = fixture.path("mt");
  mkdirSync(dir, { recursive: true });
  const question = (id: number, category: string) => ({
    question_id: id,
    category,
    turns: [`Q${id}a`, `Q${id}b`],
  });
  writeRows(join(dir, "question.jsonl"), [
    question(1, "writing"),
    question(2, "writing"),
    question(3, "math"),
  ]);
  writeRows(join(dir, "reference_answer_gpt-4.jsonl"), [
    { question_id: 3, choices: [{ turns: ["R3a", "R3b"] }] },
  ]);
  const prompt = (name: string, template: string) => ({
    name,
    type: "x",
    system_prompt: "S",
    prompt_template: template,
  });
  writeRows(join(dir, "judge_prompts.jsonl"), [
    prompt("single-v1", "rate <{question}> <{answer}>"),
    prompt("single-v1-multi-turn", "rate <{question_1}> <{answer_1}> <{question_2}> <{answer_2}>"),
    prompt("single-math-v1", "rate <{question}> ref <{ref_answer_1}> <{answer}>"),
    prompt("single-math-v1-multi-turn", "rate <{question_2}> ref <{ref_answer_2}> <{answer_2}>"),
    prompt("pair-v2", "pair <{question}> A<{answer_a}> B<{answer_b}>"),
    prompt("pair-v2-multi-turn", "pair <{question_2}> A<{answer_a_2}> B<{answer_b_2}>"),
    prompt("pair-math-v1", "pair <{question}> ref <{ref_answer_1}> A<{answer_a}> B<{answer_b}>"),
    prompt(
      "pair-math-v1-multi-turn",
      "pair <{question_2}> ref <{ref_answer_2}> A<{answer_a_2}> B<{answer_b_2}>",
    ),
  ]);
  return dir;
}

/** An endpoint that repeats what was asked last, and says how many messages came before. */
const echo = ({ body }: ChatCall): string => {
  const messages = body["messages"] as { content: string }[];
  return `${messages.at(-1)?.content} after ${messages.length - 1}`;
};

test("MT-Bench: answers of an endpoint, ratings that are known, nothing asked twice", async () => {
  const bench = smallMtBench();
  const dir = fixture.path("mt-run");
  await using answers = await startJudge(echo);
  // Turn 1 of question n is rated 2n, turn 2 one less; the second turn of question 2 has no rating.
  await using judge = await startJudge(({ text }) => {
    const turn = /Q(\d)b/.test(text) ? 2 : 1;
    const id = Number(/Q(\d)/.exec(text)?.[1]);
    return turn === 2 && id === 2 ? "I cannot say." : `[[${2 * id - (turn - 1)}]]`;
  });
  const words = [
    "mt-bench",
    `${answers.baseUrl}#echo`,
    "--bench",
    bench,
    "--judge",
    `${judge.baseUrl}#known`,
    "--output",
    dir,
    "--judge-price",
    "10,100",
  ];
  const first = await evaluate(...words);
  assert.equal(first.status, 0, first.stderr);
  // writing: 2, 1, 4; maths: 6, 5
  assert.deepEqual(rowOf(first.stdout, "writing")?.slice(0, 2), ["3", "2.33"]);
  assert.deepEqual(rowOf(first.stdout, "math"), ["2", "5.50", "1.11 to 9.89", "6.00", "5.00"]);
  assert.deepEqual(rowOf(first.stdout, "all"), ["5", "3.60", "1.50 to 5.50", "4.00", "3.00"]);
  assert.match(first.stdout, /^Turns without a rating: 1$/m);
  // six judgments of 100 and 10 tokens: 600 · 10 / 1e6 + 60 · 100 / 1e6
  assert.match(first.stdout, /6 requests, 0 of them repeated; 600 tokens read, 60 written, cost 0\.0120/);
  assert.match(first.stdout, /6 judgments \(0 answers kept from before\), 1 without a readable verdict/);

  const second = answers.calls.filter(({ body }) => (body["messages"] as unknown[]).length === 3);
  assert.equal(answers.calls.length, 6);
  assert.equal(second.length, 3);
  assert.ok(
    second.some(({ text }) => text === "Q1a\nQ1a after 0\nQ1b"),
    "the second turn has the own first answer",
  );
  const heat = (id: string) => answers.calls.find(({ text }) => text.startsWith(id))?.body["temperature"];
  assert.deepEqual([heat("Q1a"), heat("Q3a")], [0.7, 0]);
  const graded = judge.calls.filter(({ text }) => text.includes("ref <"));
  assert.deepEqual(graded.map(({ text }) => /ref <(\w+)>/.exec(text)?.[1]).sort(), ["R3a", "R3b"]);

  const readable = readFileSync(join(dir, "judgments.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.equal(readable.length, 6);
  assert.deepEqual(readable[3], {
    id: "2",
    category: "writing",
    turn: 2,
    question: "Q2b",
    answers: ["Q2b after 2"],
    judgments: [{ first: null, verdict: null, reason: "unparsable", text: "I cannot say." }],
  });
  assert.match(
    readFileSync(join(dir, "report.html"), "utf8"),
    /Question 2, writing, turn 2: no verdict<[\s\S]*I cannot say\./,
  );
  assert.equal(results(dir).texts, undefined);

  const again = await evaluate(...words);
  assert.equal(again.status, 0, again.stderr);
  assert.deepEqual(
    [answers.calls.length, judge.calls.length],
    [6, 6],
    "answers and judgments are there already",
  );
  assert.deepEqual(results(dir).statistics.overall, {
    ratings: 5,
    value: 3.6,
    interval: { low: 1.5, high: 5.5 },
  });
  assert.match(again.stdout, /6 judgments \(6 answers kept from before\)/);

  // Another attempt at what had no rating: only that is asked.
  const retried = await evaluate(...words, "--retries-without-verdict", "1");
  assert.equal(retried.status, 0, retried.stderr);
  assert.equal(judge.calls.length, 7);
});

test("faults on both sides: answers continue where they stopped, and scores are those of a judge that never fails", async () => {
  const bench = smallMtBench();
  const dir = fixture.path("faults");
  let isShut = true;
  await using answers = await startJudge((call) =>
    isShut && call.text.includes("Q3b") ? { status: 401 } : echo(call),
  );
  const seen = new Set<string>();
  const faults: ChatAnswer[] = [
    { status: 429, headers: { "retry-after-ms": "40" } },
    { status: 500, body: "<html>" },
    { body: completion({ text: "[[1]]" }).slice(0, -20) },
    { body: "garbage" },
    "hang up",
    "no answer",
  ];
  await using judge = await startJudge(({ text }) => {
    if (seen.has(text)) return /Q\db/.test(text) ? "[[4]]" : "[[8]]";
    seen.add(text);
    return faults[seen.size - 1] ?? "hang up";
  });
  const words = [
    "mt-bench",
    `${answers.baseUrl}#echo`,
    "--bench",
    bench,
    "--judge",
    `${judge.baseUrl}#faulty`,
    "--output",
    dir,
    "--timeout",
    "2",
    "--concurrency",
    "3",
  ];
  const shut = await evaluate(...words);
  assert.equal(shut.status, 7, shut.stderr);
  assert.match(shut.stderr, /model echo: expected an answer, got status 401/);
  assert.equal(judge.calls.length, 0);
  isShut = false;
  const before = answers.calls.length;
  const open = await evaluate(...words);
  assert.equal(open.status, 0, open.stderr);
  assert.equal(
    answers.calls.length - before,
    1,
    "the second turn of the third question: its first is paid for",
  );
  // Each of the six turns fails once, each in its own way; a machine under load may be late once more.
  assert.ok(judge.calls.length >= 12);
  assert.deepEqual(rowOf(open.stdout, "all"), ["6", "6.00", "2.46 to 8.83", "8.00", "4.00"]);
  assert.match(open.stdout, /^ {2}\d+ requests, \d+ of them repeated; 600 tokens read/m);
});

test("MT-Bench in pairs: both orders, a judge that loves the first place is found out", async () => {
  const bench = smallMtBench();
  const turns = (text: string) =>
    [1, 2, 3].map((id) => ({ question_id: id, choices: [{ turns: [text, text] }] }));
  const a = writeRows(fixture.path("a.jsonl"), turns("good answer"));
  const b = writeRows(fixture.path("b.jsonl"), turns("bad"));
  const compare = async (rule: (call: ChatCall) => ChatAnswer, dir: string) => {
    await using judge = await startJudge(rule);
    const said = await evaluate(
      "mt-bench",
      a,
      "--against",
      b,
      "--bench",
      bench,
      "--judge",
      `${judge.baseUrl}#pairs`,
      "--output",
      dir,
    );
    assert.equal(said.status, 0, said.stderr);
    assert.equal(judge.calls.length, 12);
    return said.stdout;
  };
  const fair = await compare(
    ({ text }) => (text.includes("A<good") ? "[[A]]" : "[[B]]"),
    fixture.path("fair"),
  );
  assert.deepEqual(rowOf(fair, "all")?.slice(0, 5), ["6", "6", "0", "0", "100.0 %"]);
  assert.match(fair, /changed with the order in 0\.0 % \(0\.0 % to 70\.8 %\) of 6 pairs/);
  const first = await compare(() => "[[A]]", fixture.path("first"));
  assert.deepEqual(rowOf(first, "all")?.slice(0, 5), ["6", "0", "6", "0", "50.0 %"]);
  assert.match(first, /in 100\.0 % .* of 6 pairs \(6 for the first, 0 for the second in both orders\)/);
  assert.match(first, /the answer shown first won 100\.0 %/);
});

test("MT-Bench's published questions, judged by a rule: all 160 turns, with references where they belong", {
  skip: skipWithoutShared("data", "mt_bench"),
}, async () => {
  const bench = requireShared("data", "mt_bench");
  const lines = readFileSync(join(bench, "question.jsonl"), "utf8").trim().split("\n");
  // The answers to question n are n and 10 n characters long, without white space at their ends.
  const lengthsOf = (id: number): [number, number] => [id, 10 * id];
  const answers = writeRows(
    fixture.path("lengths.jsonl"),
    lines
      .map((line) => JSON.parse(line).question_id)
      .map((id) => ({
        question_id: id,
        model_id: "lengths",
        choices: [{ turns: lengthsOf(id).map((length) => "x".repeat(length)) }],
      })),
  );
  await using judge = await startJudge((call) =>
    call.text.includes("Conversation with User") ? "[[3]]" : ruleAnswer(call),
  );
  const dir = fixture.path("published");
  const said = await evaluate(
    "mt-bench",
    answers,
    "--bench",
    bench,
    "--judge",
    `${judge.baseUrl}#rule`,
    "--output",
    dir,
    "--bootstrap",
    "50",
  );
  assert.equal(said.status, 0, said.stderr);
  assert.equal(judge.calls.length, 160);
  assert.equal(judge.calls.filter(({ text }) => /The Start of Reference Answer/.test(text)).length, 60);
  // First turns: questions 81 to 99 have a rating of 1, the other 61 have 2. Second turns: 3.
  assert.deepEqual(rowOf(said.stdout, "all")?.slice(3), [((19 + 2 * 61) / 80).toFixed(2), "3.00"]);
  assert.deepEqual(rowOf(said.stdout, "writing")?.slice(3), ["1.00", "3.00"]);
});

test("nothing could be judged: the first refusal and the first answer are shown in their own words", async () => {
  const bench = smallMtBench();
  const rows = [1, 2, 3].map((id) => ({ question_id: id, choices: [{ turns: ["x", "y"] }] }));
  const answers = writeRows(fixture.path("judged-by-none.jsonl"), rows);
  const body = JSON.stringify({ error: { message: "max_tokens: expected at most 1024, got 2048." } });
  const words = (url: string, dir: string, limit = 2) => [
    ...[answers, "--bench", bench, "--limit", `${limit}`, "--judge", `${url}#none`],
    ...["--output", fixture.path(dir)],
  ];
  const failure = async (rule: () => ChatAnswer, dir: string, limit?: number): Promise<string> => {
    await using judge = await startJudge(rule);
    const error = await mtBenchCommand()
      .parseAsync(words(judge.baseUrl, dir, limit), { from: "user" })
      .then(() => assert.fail("there were no verdicts"))
      .catch((thrown: unknown) => thrown);
    assert.ok(error instanceof EndpointError);
    assert.equal(error.exitCode, 7);
    return error.message;
  };
  const refused = await failure(() => ({ status: 422, body }), "all-refused");
  assert.match(
    refused,
    /got none in 4 judgments: 0 answers .* 4 requests were refused\. The first refusal: http\S+, model none: expected an answer, got status 422: max_tokens: expected at most 1024, got 2048\. Check/,
  );
  assert.match(refused, /A smaller --judge-max-tokens may be what it wants\./);
  assert.doesNotMatch(refused, /\.\./);
  // a reasoning model's refusal, as OpenAI words it: no number of tokens would be right
  const message =
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
  const unsupported = () => ({ status: 400, body: JSON.stringify({ error: { message } }) });
  const field =
    /by --judge-extra; .* '\{"max_tokens": null, "max_completion_tokens": 4096, "temperature": null\}'/;
  for (const limit of [2, 3]) {
    const said = await failure(unsupported, `unsupported-${limit}`, limit);
    assert.match(said, field, "whether all requests were sent or judging ended at the fifth");
    assert.doesNotMatch(said, /--judge-max-tokens/);
  }
  const silent = await failure(() => "As source [1] says, it is fair: seven.", "all-unread");
  assert.match(
    silent,
    /4 answers could not be read as one.*The first answer without a verdict: "As source \[1\] says, it is fair: seven\."/,
  );
  // some are refused and some judged: the result stands, and says so
  await using judge = await startJudge((_, before) =>
    before === 0 ? { status: 422, body } : "[[8]] and [[8.0]]",
  );
  const some = await evaluate("mt-bench", ...words(judge.baseUrl, "some-refused"));
  assert.equal(some.status, 0, some.stderr);
  assert.match(some.stdout, /1 refused.*\n {2}first refusal: .*got 2048\. Check/);
  assert.match(some.stdout, /^all +3 +8\.00/m);
});

const refusals: [what: string, words: string[], status: number, message: RegExp][] = [
  ["no judge", ["mt-bench", "a.jsonl"], 2, /required option '--judge <url#model>'/],
  ["a judge without model", ["mt-bench", "a", "--judge", "http://127.0.0.1/v1"], 2, /endpoint as URL#MODEL/],
  [
    "no benchmark",
    ["mt-bench", "a.jsonl", "--judge", "http://127.0.0.1:1/v1#m"],
    2,
    /expected --bench DIR with judge_prompts\.jsonl, or --judge-prompts FILE/,
  ],
  [
    "an empty benchmark",
    ["arena-hard", "a.jsonl", "--bench", fixture.dir, "--judge", "http://127.0.0.1:1/v1#m"],
    2,
    /expected arena-hard-v0\.1\.yaml in it/,
  ],
  [
    "no such prompts",
    ["pairwise", "a.jsonl", "b.jsonl", "--prompts", "nowhere.jsonl", "--judge", "http://127.0.0.1:1/v1#m"],
    4,
    /nowhere\.jsonl: expected a data file/,
  ],
  [
    "a price of one",
    ["mt-bench", "a", "--judge", "http://127.0.0.1:1/v1#m", "--judge-price", "3"],
    2,
    /Expected two prices/,
  ],
  [
    "fields that are no object",
    ["mt-bench", "a", "--judge", "http://127.0.0.1:1/v1#m", "--judge-extra", "[1]"],
    2,
    /Expected a JSON object/,
  ],
];
const commands: Record<string, () => Command> = {
  "mt-bench": mtBenchCommand,
  "arena-hard": arenaHardCommand,
  pairwise: pairwiseCommand,
};
for (const [what, [name = "", ...words], status, message] of refusals) {
  test(`refused: ${what}`, async () => {
    const command = commands[name]?.()
      .exitOverride()
      .configureOutput({ writeErr: () => {} });
    const place = ["--output", fixture.path("refused")];
    await assert.rejects(
      command?.parseAsync([...words, ...place], { from: "user" }) ?? Promise.resolve(),
      (error: unknown) => {
        assert.ok(error instanceof Error);
        assert.match(error.message, message);
        if (error instanceof PreftuneError) assert.equal(error.exitCode, status);
        return true;
      },
    );
  });
}
