/** Tests of answering.ts with an engine whose events the test decides. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { generateRequest } from "../../test/support/generate-request.ts";
import type { GenerateRequest } from "../generate/request.ts";
import { type AnswerPiece, answer } from "./answering.ts";
import { ApiError } from "./api-error.ts";
import type { SubmissionEvent, ToldToken } from "./engine-messages.ts";

const request = generateRequest({ promptIds: [1], maxNewTokens: 5, stop: ["xy"], seed: 0 });

/** A token whose log-probs show it by `name`. */
const token = (name: string, text: string, place = 0): ToldToken => ({
  type: "token",
  answer: 0,
  text,
  logprobs: { token: { id: 0, text: name, bytes: [], logprob: -1 }, top: [], place },
});
const end = (reason: "stop" | "length", text = "", index = 0): SubmissionEvent => ({
  type: "end",
  answer: index,
  reason,
  text,
  stoppedBy: reason === "stop" ? "xy" : null,
  last: null,
});
const done: SubmissionEvent = { type: "done", promptTokens: 3, cachedTokens: 1, completionTokens: 2 };

/** Asks for one answer a request and gives the engine's side of it, and whether each request was dropped. */
function asking(count: number, signal = new AbortController().signal) {
  const tell: ((event: SubmissionEvent) => void)[] = [];
  const dropped: boolean[] = [];
  const engine = {
    state: "ready" as const,
    submit: (_: GenerateRequest, listener: (event: SubmissionEvent) => void) => {
      const at = tell.push(listener) - 1;
      dropped.push(false);
      return () => {
        dropped[at] = true;
      };
    },
  };
  const clock = { firstToken: () => {}, nextToken: () => {} };
  const requests = Array.from({ length: count }, () => request);
  return {
    tell,
    dropped,
    answering: answer(requests, { engine, clock, arrivedAt: 0, signal, onOver: () => {} }),
  };
}

async function collect(
  pieces: ReadableStream<AnswerPiece>,
): Promise<[number, string, string, string | null][]> {
  const all: [number, string, string, string | null][] = [];
  for await (const { index, text, tokens, finish } of pieces) {
    all.push([index, text, tokens.map(({ token: { text: name } }) => name).join(), finish]);
  }
  return all;
}

test("tokens go with the text they gave: held back with it, and dropped with a stop text", async () => {
  const { tell, answering } = asking(1);
  tell[0]?.({ type: "accepted" });
  for (const event of [
    token("t10", "a", 0),
    token("t11", "", 1),
    token("t12", "bc", 2),
    token("t13", "", 3),
    end("stop"),
    done,
  ])
    tell[0]?.(event);
  const { pieces, counts } = await answering;
  assert.deepEqual(await collect(pieces), [
    [0, "a", "t10", null],
    [0, "bc", "t11,t12", null],
    [0, "", "", "stop"],
  ]);
  assert.deepEqual(counts, { promptTokens: 3, cachedTokens: 1, completionTokens: 2 });
});

test("tokens behind the text that came with them wait: those of a stop text are dropped, others come with their text", async () => {
  const { tell, answering } = asking(2);
  for (const each of tell) each({ type: "accepted" });
  for (const event of [token("t10", "ab", 0), token("t11", "\u{1F600}", 3), end("stop"), done])
    tell[0]?.(event);
  for (const event of [
    token("t20", "ab", 0),
    token("t21", "c", 3),
    token("t22", "x", 3),
    end("length"),
    done,
  ])
    tell[1]?.(event);
  const { pieces } = await answering;
  assert.deepEqual(await collect(pieces), [
    [0, "ab", "t10", null],
    [0, "\u{1F600}", "", null],
    [0, "", "", "stop"],
    [1, "ab", "t20", null],
    [1, "c", "", null],
    [1, "x", "t21,t22", null],
    [1, "", "", "length"],
  ]);
});

test("what was held back and belongs to the answer after all comes with its end; tokens without any text are kept at a cut", async () => {
  const { tell, answering } = asking(2);
  for (const each of tell) each({ type: "accepted" });
  for (const event of [token("t10", ""), end("stop", "x"), done]) tell[0]?.(event);
  for (const event of [token("t20", ""), end("length"), done]) tell[1]?.(event);
  const { pieces, counts } = await answering;
  assert.deepEqual(await collect(pieces), [
    [0, "x", "t10", "stop"],
    [1, "", "t20", "length"],
  ]);
  assert.deepEqual(counts, { promptTokens: 6, cachedTokens: 2, completionTokens: 4 });
});

test("one refused prompt refuses the request and drops the others", async () => {
  const { tell, dropped, answering } = asking(3);
  tell[0]?.({ type: "accepted" });
  tell[1]?.({ type: "refused", message: "too long" });
  await assert.rejects(answering, (error: unknown) => {
    assert.ok(error instanceof ApiError && error.status === 422);
    return true;
  });
  assert.deepEqual(dropped, [true, true, true]);
});

test("a client that leaves before or after the answer has begun drops every prompt", async () => {
  const early = new AbortController();
  const waiting = asking(2, early.signal);
  early.abort();
  await assert.rejects(waiting.answering, /client has left/);
  assert.deepEqual(waiting.dropped, [true, true]);

  const late = new AbortController();
  const begun = asking(2, late.signal);
  for (const each of begun.tell) each({ type: "accepted" });
  const { pieces } = await begun.answering;
  begun.tell[0]?.(token("t10", "a"));
  late.abort();
  await assert.rejects(collect(pieces), /client has left/);
  assert.deepEqual(begun.dropped, [true, true]);
});
