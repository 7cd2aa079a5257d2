/** Tests of layouts.ts: every layout holds the same answers, and as many tokens as its name says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { batchesOf } from "./layouts.ts";
import type { Variant } from "./run-record.ts";

const rows = [
  { prompt_ids: [5, 6, 7, 8], chosen_ids: [9, 10, 2], rejected_ids: [11, 2] },
  { prompt_ids: [5, 6], chosen_ids: [12, 2], rejected_ids: [13, 14, 15, 16, 2] },
];

function figures(variant: Variant): { batches: number; tokens: number; answers: number } {
  const batches = batchesOf(rows, { first: 0, count: 2 }, variant).map(({ packed }) => packed);
  const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
  return {
    batches: batches.length,
    tokens: sum(batches.map(({ ids }) => ids.length)),
    answers: sum(batches.map(({ targets }) => targets.length)),
  };
}

test("the prompt is there once, or for each answer", () => {
  // prompts 4 + 2, inputs of the answers 2 + 1 + 1 + 4
  assert.deepEqual(figures({}), { batches: 1, tokens: 14, answers: 12 });
  assert.deepEqual(figures({ share_prompt: false }), { batches: 1, tokens: 20, answers: 12 });
});

test("padding fills every answer up to the longest sequence, and is not scored", () => {
  // four sequences of 7 tokens, of which the last is never an input
  assert.deepEqual(figures({ share_prompt: false, pads: true }), { batches: 1, tokens: 24, answers: 12 });
});

test("with the head on the prompt all tokens but the first of a sequence are scored", () => {
  assert.deepEqual(figures({ share_prompt: false, headOnPrompt: true }), {
    batches: 1,
    tokens: 20,
    answers: 20,
  });
});

test("pair by pair there is a micro-batch for each", () => {
  assert.deepEqual(figures({ pairByPair: true }), { batches: 2, tokens: 14, answers: 12 });
});
