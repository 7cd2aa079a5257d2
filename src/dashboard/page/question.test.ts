/** What is asked again and again: one question at a time, whose answers are used however slow they are. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type Answer, Question } from "./question.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A server that answers when it is told to. */
function slowServer(): { open: ((answer: Response) => void)[]; fetch: () => Promise<Response> } {
  const open: ((answer: Response) => void)[] = [];
  return { open, fetch: () => new Promise((resolve) => open.push(resolve)) };
}

test("a path that answers slower than it is asked: one question at a time, each answer is told", async (t) => {
  const { open, fetch } = slowServer();
  t.mock.method(globalThis, "fetch", fetch);
  t.mock.method(performance, "now", () => 0);
  const told: Partial<Answer<number>>[] = [];
  const question = new Question<number>("/api/jobs", (news) => told.push(news));
  question.ask();
  for (let i = 0; i < 3; i++) question.ask();
  assert.equal(open.length, 1);
  open[0]?.(Response.json(1));
  for (let i = 0; i < 10; i++) await turn();
  // what was asked meanwhile is asked once
  assert.equal(open.length, 2);
  open[1]?.(Response.json({ error: "Not now." }, { status: 503 }));
  for (let i = 0; i < 10; i++) await turn();
  assert.equal(open.length, 2);
  assert.deepEqual(told, [{ value: 1, problem: "" }, { problem: "Not now." }]);
});

/** A question of a server whose i-th answer is given at `at` ms. */
function timed(t: TestContext): {
  question: Question<number>;
  open: readonly unknown[];
  answer: (i: number, at: number, status?: number) => Promise<void>;
  after: (ms: number) => Promise<void>;
} {
  const { open, fetch } = slowServer();
  t.mock.method(globalThis, "fetch", fetch);
  let now = 0;
  t.mock.method(performance, "now", () => now);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const answer = async (i: number, at: number, status = 200): Promise<void> => {
    now = at;
    open[i]?.(Response.json(i, { status }));
    await after(0);
  };
  const after = async (ms: number): Promise<void> => {
    t.mock.timers.tick(ms);
    for (let k = 0; k < 10; k++) await turn();
  };
  return { question: new Question<number>("/api/jobs", () => {}), open, answer, after };
}

test("one that takes the dashboard long is asked again after ten times as long", async (t) => {
  const { question, open, answer, after } = timed(t);
  question.ask();
  question.ask();
  await answer(0, 750);
  assert.equal(open.length, 1);
  question.ask();
  await after(4999);
  assert.equal(open.length, 1, "ten times the half second beyond what an answer may take");
  await after(1);
  assert.equal(open.length, 2);
  question.ask();
  await answer(1, 900);
  assert.equal(open.length, 3, "a quick one at once");
});

test("one that took a minute is asked again after ten seconds, one that failed after a minute at once", async (t) => {
  const { question, open, answer, after } = timed(t);
  question.ask();
  question.ask();
  await answer(0, 60_000);
  await after(9999);
  assert.equal(open.length, 1);
  await after(1);
  assert.equal(open.length, 2);
  question.ask();
  await answer(1, 120_000, 503);
  assert.equal(open.length, 3);
});

test("what the reader does himself waits for no pause, and for none after the answer that it came before", async (t) => {
  const { question, open, answer, after } = timed(t);
  question.ask();
  await answer(0, 2000);
  question.ask();
  assert.equal(open.length, 1, "what is new by itself waits");
  question.ask(true);
  await after(0);
  assert.equal(open.length, 2);
  question.ask(true);
  question.ask();
  await answer(1, 4000);
  assert.equal(open.length, 3, "the answer may be of before the act");
  question.ask();
  await answer(2, 6000);
  assert.equal(open.length, 3, "nothing was done since");
  await after(10_000);
  assert.equal(open.length, 4);
});

test("one that is left tells nothing and asks nothing more", async (t) => {
  const { open, fetch } = slowServer();
  t.mock.method(globalThis, "fetch", fetch);
  const question = new Question<number>("/api/jobs", () => assert.fail());
  question.ask();
  question.ask();
  question.leave();
  open[0]?.(Response.json(1));
  for (let i = 0; i < 10; i++) await turn();
  assert.equal(open.length, 1);
});
