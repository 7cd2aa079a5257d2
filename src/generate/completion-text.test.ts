/** The text of answers: characters over several tokens, spaces between tokens, and stop texts across both. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../base/random.ts";
import { CompletionText, type TokenDecoder } from "./completion-text.ts";

/** A token is a byte. */
const bytes: TokenDecoder = {
  decode: (ids) => new TextDecoder().decode(Uint8Array.from(ids)),
  isSpecial: () => false,
};

/** A token is a word; the space before it is left out at the beginning, as sentencepiece decoders do. */
const words: TokenDecoder = {
  decode: (ids) => ids.map((id) => `w${id}`).join(" "),
  isSpecial: () => false,
};

function said(
  decoder: TokenDecoder,
  ids: readonly number[],
  stops: readonly string[],
  prompt: number[] = [],
) {
  const answer = new CompletionText(decoder, stops, prompt);
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

/** Bytes, with special tokens from 256 on. */
const marks = ["<s>", "</s>", "<|x|>"];
const marked: TokenDecoder = {
  isSpecial: (id) => id >= 256,
  decode: (ids, { skipSpecialTokens }) => {
    const parts = ids.flatMap((id) =>
      id < 256 ? [id] : skipSpecialTokens ? [] : idsOf(marks[id - 256] ?? assert.fail()),
    );
    return new TextDecoder().decode(Uint8Array.from(parts));
  },
};
const [bos, eos, mark] = [256, 257, 258];

test("stop texts name special tokens, alone, beside text and around them; special tokens are never shown", () => {
  const ids = [...idsOf("ab"), mark, ...idsOf("cd")];
  assert.deepEqual(said(marked, ids, []), { parts: ["a", "b", "", "c", "d", ""], text: "abcd", stop: null });
  assert.deepEqual(said(marked, ids, ["<|x|>"]), { parts: ["a", "b", ""], text: "ab", stop: "<|x|>" });
  assert.deepEqual(said(marked, ids, ["b<|x|>c"]), { parts: ["a", "", "", ""], text: "a", stop: "b<|x|>c" });
  assert.deepEqual(said(marked, ids, ["<|x|>ce"]).parts, ["a", "b", "", "", "cd", ""]);
  // what is shown has no stop text in it either
  assert.deepEqual(said(marked, ids, ["bc"]), { parts: ["a", "", "", ""], text: "a", stop: "bc" });
  assert.equal(said(marked, [...idsOf("a"), bos, mark, ...idsOf("b")], ["<s><|x|>"]).text, "a");
  // written out in ordinary tokens it is a stop text as well
  assert.equal(said(marked, idsOf("ab<|x|>c"), ["<|x|>"]).text, "ab");
  assert.deepEqual(said(marked, [0x61, 0xe2, mark, 0x62], ["<|x|>"]), {
    parts: ["a", "", ""],
    text: "a",
    stop: "<|x|>",
  });
});

test("the token that ends an answer may complete a stop text", () => {
  const ended = (stops: string[], id: number | null) => {
    const answer = new CompletionText(marked, stops);
    const text = idsOf("ab")
      .map((byte) => answer.push(byte).text)
      .join("");
    const { stop, text: rest } = answer.end(id);
    return [text + rest, stop];
  };
  assert.deepEqual(ended(["b</s>"], eos), ["a", "b</s>"]);
  assert.deepEqual(ended(["b</s>"], null), ["ab", null]);
  assert.deepEqual(ended([], eos), ["ab", null]);
});

test("a text that continues a prompt: together they are the text of all tokens", () => {
  assert.equal(said(words, [3, 4], [], [1, 2]).text, " w3 w4");
  assert.equal(said(words, [3, 4], []).text, "w3 w4");
  // a character begun in the prompt is the answer's
  assert.equal(said(bytes, [0xac, 0x61], [], [0x61, 0xe2, 0x82]).text, "€a");
  assert.equal(said(bytes, [0x61], [], [0xff, 0xff, 0xff, 0xff, 0xff]).text, "a");
  assert.equal(said(marked, idsOf("b"), [], [bos, mark]).text, "b");
});

test("places are counted in code points, and parts of a character stand where it begins", () => {
  const answer = new CompletionText(marked, ["😀!"]);
  const steps = [...idsOf("a😀"), mark, ...idsOf("?b")].map((id) => answer.push(id));
  assert.deepEqual(
    steps.map(({ place }) => place),
    [0, 1, 1, 1, 1, 2, 2, 3],
  );
  assert.deepEqual(
    steps.map(({ isFirst }) => isFirst),
    [true, false, false, false, false, false, false, false],
  );
});

test("a token stands behind bytes before it that are no character, and with those of its own character", () => {
  const placesOf = (ids: readonly number[], stops: readonly string[] = []) => {
    const answer = new CompletionText(bytes, stops);
    return ids.map((id) => answer.push(id).place);
  };
  assert.deepEqual(placesOf(idsOf("añ€b")), [0, 1, 1, 2, 2, 2, 3]);
  assert.deepEqual(placesOf([0x61, 0xff, 0x61]), [0, 1, 2]);
  assert.deepEqual(placesOf([0xe2, 0x82, 0x61, 0x62]), [0, 0, 1, 2]);
  assert.deepEqual(placesOf([0xff, 0xfe, 0x30], ["0"]), [0, 0, 2]);
});
