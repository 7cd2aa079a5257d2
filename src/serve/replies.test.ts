/** Log-probs in replies: alternatives with one name all stay. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { AnswerPiece } from "./answering.ts";
import { completionForm, WholeReply } from "./replies.ts";

const head = { id: "x", created: 0, model: "m", system_fingerprint: "f" };

function topOf(token: [number, string, number], top: [number, string, number][]): Record<string, number> {
  const shown = ([id, text, logprob]: [number, string, number]) => ({ id, text, logprob, bytes: [] });
  const piece: AnswerPiece = {
    index: 0,
    text: "",
    tokens: [{ token: shown(token), top: top.map(shown), place: 0 }],
    finish: null,
  };
  const whole = new WholeReply(completionForm({ logprobs: true, usage: false }), 1);
  whole.add(piece);
  const reply = JSON.parse(whole.text(head, { promptTokens: 1, cachedTokens: 0, completionTokens: 1 })) as {
    choices: { logprobs: { top_logprobs: Record<string, number>[] } }[];
  };
  return reply.choices[0]?.logprobs.top_logprobs[0] ?? assert.fail();
}

test("of alternatives with one name the likeliest has it and the others go by id; the token itself has its own", () => {
  const top: [number, string, number][] = [
    [5, "a", -1],
    [6, "a", -2],
    [7, "b", -3],
    [8, "__proto__", -4],
  ];
  const own = (...entries: [string, number][]) => Object.fromEntries(entries);
  assert.deepEqual(
    topOf([5, "a", -1], top),
    own(["a", -1], ["token_id:6", -2], ["b", -3], ["__proto__", -4]),
  );
  assert.deepEqual(topOf([6, "a", -2], top.slice(0, 3)), own(["token_id:5", -1], ["a", -2], ["b", -3]));
  assert.deepEqual(topOf([9, "a", -8], top.slice(0, 1)), own(["token_id:5", -1], ["a", -8]));
  assert.deepEqual(topOf([9, "c", -Infinity], []), own(["c", -9999]));
});
