/** The text of answers: characters over several tokens, spaces between tokens, and stop texts across both. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../base/random.ts";
import { AnswerText, type TokenDecoder } from "./answer-text.ts";

/** A token is a byte. */
const bytes: TokenDecoder = { decode: (ids) => new TextDecoder().decode(Uint8Array.from(ids)) };

/** A token is a word; the space before it is left out at the beginning, as sentencepiece decoders do. */
const words: TokenDecoder = { decode: (ids) => ids.map((id) => `w${id}`).join(" ") };

function said(decoder: TokenDecoder, ids: readonly number[], stops: readonly string[]) {
  const answer = new AnswerText(decoder, stops);
  const parts: string[] = [];
  for (const id of ids) {
    const { text, stop } = answer.push(id);
    parts.push(text);
    if (stop !== null) return { parts, text: parts.join(""), stop };
  }
  const end = answer.end();
  return { parts: [...parts, end.text], text: parts.join("") + end.text, stop: end.stop };
}

const idsOf = (text: string): number[] => [...new TextEncoder().encode(text)];

test("characters are told whole, and nothing is lost", () => {
  const text = "añ€😀b";
  const { parts } = said(bytes, idsOf(text), []);
  assert.deepEqual(parts, ["a", "", "ñ", "", "", "€", "", "", "", "😀", "b", ""]);
});

test("spaces between words come with the second word", () => {
  assert.deepEqual(said(words, [1, 2, 3], []).parts, ["w1", " w2", " w3", ""]);
});

test("bytes that are no character come out as U+FFFD at the latest at the end", () => {
  assert.equal(said(bytes, [0x61, 0xe2, 0x82], []).text, "a\uFFFD");
  assert.equal(said(bytes, [0xff, 0x61], []).text, "\uFFFDa");
  const many = said(
    bytes,
    Array.from({ length: 100 }, () => 0xff),
    [],
  );
  assert.equal(many.text.length, 100);
  assert.ok(
    many.parts.slice(0, 50).some((part) => part !== ""),
    "waits for ever",
  );
});

test("a stop text is never shown, nor its beginning, while it may still come", () => {
  const { parts, stop } = said(bytes, idsOf("ab</s>c"), ["</s>"]);
  assert.deepEqual(parts, ["a", "b", "", "", "", ""]);
  assert.equal(stop, "</s>");
  const other = said(bytes, idsOf("ab</sx"), ["</s>"]);
  assert.deepEqual(other.parts, ["a", "b", "", "", "", "</sx", ""]);
  assert.deepEqual(said(bytes, idsOf("ab</s"), ["</s>"]).text, "ab</s");
});

test("the first stop text in the answer counts, across tokens, characters and repeats", () => {
  assert.equal(said(words, [1, 2, 3, 4], ["w3 w4", "2 w"]).text, "w1 w");
  assert.equal(said(bytes, idsOf("aaab"), ["aab"]).text, "a");
  assert.equal(said(bytes, idsOf("x€y"), ["€"]).text, "x");
  assert.equal(said(bytes, [0x61, 0xe2], ["\uFFFD"]).stop, "\uFFFD", "found in what was held back");
});

test("any split gives the text before the first stop", () => {
  const random = new Random(3);
  for (let round = 0; round < 300; round++) {
    const length = random.below(12);
    const text = Array.from({ length }, () => random.pick(["a", "b", "é"])).join("");
    const stops = Array.from({ length: 1 + random.below(2) }, () => {
      return Array.from({ length: 1 + random.below(3) }, () => random.pick(["a", "b", "é"])).join("");
    });
    const at = stops.map((stop) => text.indexOf(stop)).filter((place) => place >= 0);
    const want = at.length === 0 ? text : text.slice(0, Math.min(...at));
    assert.equal(said(bytes, idsOf(text), stops).text, want, JSON.stringify([text, stops]));
  }
});
