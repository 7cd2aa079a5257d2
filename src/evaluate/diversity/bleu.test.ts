import assert from "node:assert/strict";
import { test } from "node:test";
import { golden } from "../../../test/support/goldens.ts";
import { selfBleu, words } from "./bleu.ts";

interface Golden {
  sets: { texts: string[]; scores: number[] }[];
  words: { text: string; words: string[] }[];
}

const { sets, words: tokenised } = golden<Golden>("bleu");

test("each text against the others of its set scores as sacrebleu has it", () => {
  assert.ok(sets.length >= 40);
  for (const { texts, scores } of sets) {
    const got = selfBleu(texts);
    assert.equal(got.length, scores.length);
    for (const [i, score] of scores.entries()) {
      assert.ok(
        Math.abs((got[i] as number) - score) < 1e-9,
        `${JSON.stringify(texts[i])}: ${got[i]}, not ${score}`,
      );
    }
  }
});

test("words are sacrebleu's 13a tokens", () => {
  for (const { text, words: expected } of tokenised)
    assert.deepEqual(words(text), expected, JSON.stringify(text));
});

test("a score by hand: 3 of 4 words, 1 of 3 pairs, then smoothed orders, and a brevity penalty", () => {
  // "a b c d" against "a b x c d2 e": words a, b, c match; of the pairs "a b"; no triple; no run of four
  const expected = Math.exp(1 - 6 / 4) * ((3 / 4) * (1 / 3) * (1 / (2 * 2)) * (1 / (4 * 1))) ** (1 / 4) * 100;
  assert.ok(Math.abs((selfBleu(["a b c d", "a b x c y z"])[0] as number) - expected) < 1e-9);
});

test("a single text has no score", () => {
  assert.deepEqual(selfBleu(["alone"]), []);
  assert.deepEqual(selfBleu([]), []);
});
