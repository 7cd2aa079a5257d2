/** Completions on a terminal: cut, and harmless. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RolloutRow } from "../runs/train-events.ts";
import { beforeStep, completionTexts } from "./rollout-text.ts";

const row = (group: number, values: Partial<RolloutRow>): RolloutRow => ({
  ...{ step: 1, rollout: 0, group, row: `p.jsonl:${group + 1}`, completion: "a", ids: [1], ended: true },
  ...{ reward: 0.5, rewards: { a: 0.5 } },
  ...values,
});

test("three completions of different prompts, with what each was given", () => {
  const rows = [0, 0, 1, 2, 3].map((group) => row(group, {}));
  assert.deepEqual(completionTexts(rows), [
    'p.jsonl:1, reward 0.5: "a"',
    'p.jsonl:2, reward 0.5: "a"',
    'p.jsonl:3, reward 0.5: "a"',
  ]);
  const several = row(0, { reward: null, rewards: { a: 1, b: null }, ended: false });
  assert.deepEqual(completionTexts([several]), ['p.jsonl:1, reward none (a 1, b none), cut: "a"']);
  assert.deepEqual(completionTexts([]), []);
});

test("what steers a terminal is escaped, and long texts are cut", () => {
  const [text = ""] = completionTexts([
    row(0, { completion: `\u001b[2J\u009b1m\u202ex\nnext ${"é".repeat(400)}` }),
  ]);
  assert.ok(!/[\p{Cc}\p{Bidi_Control}]/u.test(text), text);
  assert.match(text, /\\u001b\[2J\\u009b1m\\u202ex\\nnext é+"… \(\d+ more characters\)$/);
});

test("sampling and scoring say how far they are", () => {
  const work = { step: 1, tokens: 0, done: 12, total: 6144 };
  assert.equal(beforeStep({ at: "sampling", ...work }), "sampling, 12 of at most 6144 tokens");
  assert.equal(beforeStep({ at: "scoring", ...work, total: 16 }), "scoring 12/16 prompts");
});
