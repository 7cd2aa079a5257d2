/** Tests of answers.ts: answers that are cut or empty are judged, and told of. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { startJudge } from "../../../test/support/judge-server.ts";
import { runFixture } from "../../../test/support/runs.ts";
import { listenToWarnings } from "../../../test/support/warnings.ts";
import { Endpoint } from "../endpoint/endpoint.ts";
import { type AnswerOptions, answersOf, type JudgingOptions, namedAnswers } from "./answers.ts";
import { givenTemplate } from "./local-answers.ts";
import type { Question } from "./questions.ts";

const fixture = runFixture({ held: 0 });
after(() => fixture[Symbol.dispose]());
const dir = mkdtempSync(join(tmpdir(), "preftune-answers-of-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const question = (id: string, followUps: string[] = []): Question => ({
  id,
  isNamed: true,
  where: `q.jsonl:${id}`,
  category: null,
  messages: [{ role: "user", content: `question ${id}` }],
  followUps,
  temperature: null,
});

const options: AnswerOptions = {
  device: "cpu",
  dtype: "float32",
  threads: 1,
  dir,
  maxNewTokens: 8,
  seed: 1,
  chatTemplate: null,
  concurrency: 1,
  openEndpoint: (given) => new Endpoint({ ...given, maxRetries: 0 }),
};

test("an endpoint's answers that end at the limit, and those without text", async (t) => {
  const warnings = listenToWarnings(t);
  await using server = await startJudge(({ text }) => {
    if (text.includes("1")) return { text: "so far", finishReason: "length" };
    return text.includes("2") ? { text: "", finishReason: "length" } : "whole";
  });
  const place = { kind: "endpoint", baseUrl: server.baseUrl, model: "m" } as const;
  const asked = ["1", "2", "3"].map((id) => question(id));
  await answersOf(place, asked.slice(0, 1), () => 0, options);
  const { answers, path } = await answersOf(place, asked, () => 0, options);
  assert.equal(server.calls.length, 3);
  assert.deepEqual([...answers.values()].flat(), ["so far", "", "whole"]);
  assert.deepEqual(await warnings(), [
    "m: 1 answer was cut at the limit of 8 tokens, and judged as cut.",
    // the one of before is counted
    "m: 2 answers were cut at the limit of 8 tokens, and judged as cut.",
    `${path}: 1 answer is empty, and judged as such.`,
  ]);
});

test("ids with leading zeros stay as they are: asked once, and found in the file", async () => {
  await using server = await startJudge(({ text }) => `to ${text}`);
  const place = { kind: "endpoint", baseUrl: server.baseUrl, model: "zeros" } as const;
  const asked = ["7", "007", "12"].map((id) => question(id));
  const { answers, path } = await answersOf(place, asked, () => 0, options);
  const again = await answersOf(place, asked, () => 0, options);
  assert.equal(server.calls.length, 3);
  assert.deepEqual(again.answers, answers);
  const read = await answersOf({ kind: "file", path }, asked, () => 0, options);
  assert.deepEqual(read.answers, answers);
  const ids = readFileSync(path, "utf8").matchAll(/"question_id":("?\w+"?)/g);
  assert.deepEqual([...ids].map(([, id]) => id).sort(), ['"007"', "12", "7"]);
});

test("fields of requests to endpoints under test are sent, and other fields are other answers", async () => {
  await using server = await startJudge(() => "an answer");
  const ask = (answerExtra: Record<string, unknown>) => {
    const judging = { ...options, answerKey: null, answerExtra, limits: { maxRetries: 0 } };
    const all = judging as unknown as JudgingOptions;
    return namedAnswers([`${server.baseUrl}#thinks`], [question("1")], () => 0, all);
  };
  await ask({ max_tokens: null, max_completion_tokens: 9, temperature: null });
  await ask({});
  const [thinks, plain] = server.calls.map(({ body }) => Object.keys(body).sort());
  assert.deepEqual(thinks, ["max_completion_tokens", "messages", "model", "stream"]);
  assert.deepEqual(plain, ["max_tokens", "messages", "model", "stream", "temperature"]);
});

test("questions that an endpoint refuses are left out, and told of; they are asked again the next time", async (t) => {
  const warnings = listenToWarnings(t);
  const body = JSON.stringify({ error: { message: "against our rules" } });
  await using server = await startJudge(({ text }) => (text.includes("2") ? { status: 400, body } : "fine"));
  const judging = { ...options, answerKey: null, limits: { maxRetries: 0 } } as unknown as JudgingOptions;
  const asked = ["1", "2", "3"].map((id) => question(id));
  for (const calls of [3, 4]) {
    const found = await namedAnswers([`${server.baseUrl}#strict`], asked, () => 0, judging);
    assert.deepEqual([found.questions.map(({ id }) => id), found.unanswered], [["1", "3"], 1]);
    assert.equal(server.calls.length, calls);
  }
  // their file, given as one of answers, says the same
  const [path = ""] = (await namedAnswers([`${server.baseUrl}#strict`], asked, () => 0, judging)).answers.map(
    (own) => own.path,
  );
  assert.equal(
    readFileSync(path, "utf8").match(/"refused":"http\S+ model strict: .*"choices":\[\]/g)?.length,
    1,
  );
  const read = await namedAnswers([path], asked, () => 0, judging);
  assert.deepEqual([read.questions.map(({ id }) => id), read.unanswered], [["1", "3"], 1]);
  await assert.rejects(
    namedAnswers([path], [...asked, question("4")], () => 0, judging),
    /expected an answer to question 4/,
  );
  await assert.rejects(
    namedAnswers([path], asked.slice(1, 2), () => 0, judging),
    /EndpointError: expected questions that all have answered, got none of 1: .* \(answered: strict 0\)\. /,
  );
  const [said = "", ofFile] = await warnings();
  assert.equal(ofFile, `${path}: 1 question was refused and is left out.`);
  assert.match(
    said,
    /^strict: 1 question was refused and is left out; the first: q\.jsonl:2: http\S+, model strict: expected an answer, got status 400: against our rules\. /,
  );
});

test("an endpoint that refuses all questions ends asking, after five or when there are no more", async () => {
  const body = JSON.stringify({ error: { message: "Unsupported parameter: 'max_tokens'" } });
  await using server = await startJudge(() => ({ status: 400, body }));
  const place = { kind: "endpoint", baseUrl: server.baseUrl, model: "none" } as const;
  for (const [count, calls] of [
    [9, 5],
    [2, 2],
  ] as const) {
    const before = server.calls.length;
    const asked = Array.from({ length: count }, (_, i) => question(`${i}`));
    await assert.rejects(
      answersOf(place, asked, () => 0, options),
      /^EndpointError: q\.jsonl:[04]: http.*'max_tokens'\. Check .* by --answer-extra; /,
    );
    assert.equal(server.calls.length - before, calls);
  }
});

test("five refusals in a row: a question that was answered is asked again, and ends asking where it is refused too", async () => {
  let takes = /./;
  await using server = await startJudge(({ text }) =>
    takes.test(text) ? "fine" : { status: 400, body: "no" },
  );
  const place = { kind: "endpoint", baseUrl: server.baseUrl, model: "credit" } as const;
  const ask = (count: number) => {
    const asked = Array.from({ length: count }, (_, i) => question(`${i}`));
    return answersOf(place, asked, () => 0, options);
  };
  const callsOf = () => server.calls.splice(0).map(({ text }) => text.replace("question ", ""));
  await ask(1);
  assert.deepEqual(callsOf(), ["0"]);
  takes = / [0-6]$/;
  // too long, each of these five: left out, and so they are when asked again
  for (const again of [["1", "2", "3", "4", "5", "6"], []]) {
    assert.equal((await ask(12)).answers.size, 7);
    assert.deepEqual(callsOf(), [...again, "7", "8", "9", "10", "11", "0"]);
  }
  takes = /nothing/;
  await assert.rejects(
    ask(20),
    /^EndpointError: q\.jsonl:11: http.*status 400: no\. .* It refuses what it answered/,
  );
  assert.deepEqual(callsOf(), ["7", "8", "9", "10", "11", "0"]);
});

test("a second model that is not there is told of before the first one answers", async () => {
  let asked = 0;
  await using server = await startJudge(() => {
    asked++;
    return "an answer";
  });
  const both = [`${server.baseUrl}#m`, join(dir, "missing")];
  const judging = { ...options, answerKey: null, limits: { maxRetries: 0 } } as unknown as JudgingOptions;
  await assert.rejects(
    namedAnswers(both, [question("7")], () => 0, judging),
    /missing: expected a model directory/,
  );
  assert.equal(asked, 0);
});

test("a question whose second turn failed is continued, not paid again, and its file of first turns goes", async () => {
  let fails = true;
  await using server = await startJudge(({ text }) => {
    if (text.includes("and then") && fails) return { status: 400, body: "no" };
    return text.includes("and then") ? "second" : "first";
  });
  const place = { kind: "endpoint", baseUrl: server.baseUrl, model: "m" } as const;
  const two = [question("1", ["and then?"])];
  await assert.rejects(
    answersOf(place, two, () => 0, options),
    /status 400/,
  );
  fails = false;
  const { answers, path } = await answersOf(place, two, () => 0, options);
  assert.deepEqual([...answers.values()], [["first", "second"]]);
  const asked = server.calls.map(({ text }) => text.includes("and then"));
  assert.deepEqual(asked, [false, true, true]);
  assert.equal(existsSync(`${path}.begun`), false);
});

test("a chat template counts by its text, not by its file's name", () => {
  const template = join(dir, "mine.jinja");
  const model = String(fixture.values["model_name_or_path"]);
  const texts = ["{{ messages[0].content }}", "{{ messages[0].content }}!"].map((text) => {
    writeFileSync(template, text);
    return givenTemplate({ model, chatTemplate: template });
  });
  assert.deepEqual(texts, ["{{ messages[0].content }}", "{{ messages[0].content }}!"]);
  assert.equal(givenTemplate({ model, chatTemplate: null }), null);
});
