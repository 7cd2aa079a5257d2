/** What is asked again and again: one question at a time, whose answers are used however slow they are. */
import assert from "node:assert/strict";
import { test } from "node:test";
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

test("one that takes the dashboard long is asked again after ten times as long", async (t) => {
  const { open, fetch } = slowServer();
  t.mock.method(globalThis, "fetch", fetch);
  let now = 0;
  t.mock.method(performance, "now", () => now);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const question = new Question<number>("/api/jobs", () => {});
  const answered = async (i: number): Promise<void> => {
    open[i]?.(Response.json(i));
    for (let k = 0; k < 10; k++) await turn();
  };
  question.ask();
  question.ask();
  now = 750;
  await answered(0);
  assert.equal(open.length, 1);
  question.ask();
  t.mock.timers.tick(4999);
  assert.equal(open.length, 1, "ten times the half second beyond what an answer may take");
  t.mock.timers.tick(1);
  assert.equal(open.length, 2);
  now = 900;
  question.ask();
  await answered(1);
  assert.equal(open.length, 3, "a quick one at once");
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
