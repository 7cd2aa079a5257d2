/** Where JavaScript or a simpler reading would give other tokens than Python's tokenizers 0.23: its ids, or a refusal. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "../tokenizer-files.ts";
import { TokenizerPipeline } from "../tokenizer-library.ts";
import { knownPatterns } from "./known-patterns.ts";

const texts = ["[U]", ...Array.from("abx🙂 ", (character) => [character, `##${character}`]).flat()];
const words = {
  type: "WordPiece",
  vocab: Object.fromEntries(texts.map((text, id) => [text, id])),
  unk_token: "[U]",
  continuing_subword_prefix: "##",
  max_input_chars_per_word: 100,
};

function idsOf(text: string, parts: JsonObject): number[] {
  return new TokenizerPipeline({ model: words, ...parts }).encode(text, true);
}

function split(pattern: JsonObject, behavior = "Isolated"): JsonObject {
  return { pre_tokenizer: { type: "Split", pattern, behavior, invert: false } };
}

function replace(pattern: JsonObject, content: string): JsonObject {
  return { normalizer: { type: "Replace", pattern, content } };
}

test("an empty match neither cuts a surrogate pair nor follows another match at once", () => {
  for (const source of ["$", "\\Z", "\\s*$", "(?!\\S)", "\\B", "^|$"])
    assert.deepEqual(idsOf("a🙂", split({ Regex: source })), [1, 8], source);
  assert.deepEqual(idsOf("🙂🙂", split({ Regex: "$" }, "MergedWithPrevious")), [7, 8]);
  assert.deepEqual(idsOf("a🙂", replace({ Regex: "^|$" }, "a")), [1, 2, 8, 2]);
  assert.deepEqual(idsOf("xa🙂x", replace({ Regex: "\\B" }, "a")), [5, 2, 2, 8, 6]);
  assert.deepEqual(idsOf("a b", split({ Regex: "\\s*" }, "MergedWithNext")), [1, 9, 4]);
  assert.deepEqual(idsOf("aab", split({ Regex: "a|" }, "MergedWithNext")), [1, 1, 4]);
  assert.deepEqual(idsOf("xa🙂x", replace({ Regex: "x*" }, "a")), [1, 2, 2, 8, 2]);
  const decoders = [replace({ Regex: "x*" }, "-")["normalizer"], { type: "Fuse" }];
  const decoding = new TokenizerPipeline({ model: words, decoder: { type: "Sequence", decoders } });
  assert.equal(decoding.decode([5, 9]), "-- -");
});

test("what JavaScript would match otherwise is refused by its name", () => {
  const refused: [string, RegExp][] = [
    ["a++b", /the possessive quantifier \+\+ in the pattern of Split is not supported/],
    ["\\p{L}?+b", /the possessive quantifier \?\+/],
    ["[ab]*+b", /the possessive quantifier \*\+/],
    ["[[a]b]+?+", /the possessive quantifier \?\+/],
    ["(?:a++|b)a", /the possessive quantifier \+\+/],
    ["[^\\s]++[x]*y", /the possessive quantifier \+\+/],
    ["\\s++$", /the possessive quantifier \+\+/],
    ["(?>a+)ab", /the atomic group \(\?>/],
    ["(?m:a.)", /the option \(\?m/],
    ["(?i-m:a)", /the option \(\?i-m/],
    ["(?s:a.)", /the option \(\?s/],
    ["\\Ga", /the anchor \\G/],
    ["(a)?\\1b", /the backreference \\1/],
    ["(?<q>a)?\\k<q>b", /the backreference \\k/],
  ];
  for (const [source, message] of refused) {
    assert.throws(() => idsOf("a", split({ Regex: source })), message, source);
    assert.throws(
      () => idsOf("a", replace({ Regex: source }, "b")),
      new RegExp(message.source.replace("Split", "Replace")),
    );
  }
  const kept = [
    "[?+]",
    "[]?+]",
    "[[a]?+]",
    "\\?+a",
    "a{1,2}+",
    "[a(?>]",
    "\\\\G",
    "(?<m>a)b",
    "(?<=s)a",
    "(?i:s)",
  ];
  const published = String.raw`(?i:'s|'t)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,4}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s++`;
  assert.deepEqual(idsOf(" ab  a", split({ Regex: published })).length > 1, true);
  for (const source of kept) assert.deepEqual(idsOf("x", split({ Regex: source })), [5], source);
  for (const source of knownPatterns) idsOf("x", split({ Regex: source }));
});

test("cl100k's possessive quantifiers take what the library lets them take", () => {
  const [source] = [...knownPatterns].filter((pattern) => pattern.includes("?+"));
  const parts = split({ Regex: source ?? "" });
  assert.deepEqual(idsOf(" ab a🙂🙂 🙂a  b", parts), [9, 2, 4, 9, 2, 7, 8, 9, 8, 1, 9, 9, 4]);
  assert.deepEqual(idsOf("🙂🙂a 🙂  x", parts), [7, 8, 1, 9, 8, 9, 9, 6]);
});

test("the empty text is no pattern", () => {
  const message = /the pattern of \w+ is the empty text/;
  assert.throws(() => idsOf("a", split({ String: "" })), message);
  assert.throws(() => idsOf("a", replace({ String: "" }, "b")), message);
});

const text = { Sequence: { id: "A", type_id: 0 } };
const start = { SpecialToken: { id: "x", type_id: 0 } };

function template(...single: JsonObject[]): JsonObject {
  return { type: "TemplateProcessing", single, special_tokens: { x: { id: "x", ids: [5], tokens: ["x"] } } };
}

test("a template has the text once, and nothing but ByteLevel behind it", () => {
  const bert = { type: "BertProcessing", cls: ["a", 1], sep: ["b", 3] };
  const bytes = { type: "ByteLevel" };
  const sequence = (...processors: JsonObject[]): JsonObject => ({ type: "Sequence", processors });
  const of = (part: JsonObject): number[] => idsOf("a", { post_processor: part });
  assert.deepEqual(of(sequence(bytes, template(start, text, start))), [5, 1, 5]);
  assert.deepEqual(of(sequence(bert, sequence(template(start, text)), bytes)), [5, 1, 1, 3]);
  const once = /TemplateProcessing has not the sequence A once in its single/;
  assert.throws(() => of(template(text, text)), once);
  assert.throws(() => of(template(start)), once);
  assert.throws(() => of(template(text, text, start)), once);
  const second = { Sequence: { id: "B", type_id: 0 } };
  assert.throws(() => of(template(second)), once);
  assert.throws(() => of(template(text, second)), once);
  const behind = /the post-processor (BertProcessing|TemplateProcessing) behind TemplateProcessing/;
  assert.throws(() => of(sequence(template(start, text), bert)), behind);
  assert.throws(() => of(sequence(sequence(template(start, text)), template(text, start))), behind);
});

test("Unigram without an unknown token fails on unknown characters, whatever bytes it has", () => {
  const vocab = [
    ["a", -1],
    ["<0xC3>", -9],
    ["<0xA9>", -9],
    ["xy", -1],
    ["ax", -1],
  ];
  for (const byteFallback of [true, false]) {
    const model = { type: "Unigram", unk_id: null, vocab, byte_fallback: byteFallback };
    assert.deepEqual(idsOf("a", { model }), [0]);
    assert.deepEqual(idsOf("axy", { model }), [0, 3]);
    for (const unknown of ["é", "aé", "xy"])
      assert.throws(() => idsOf(unknown, { model }), /the vocabulary has no unknown token/);
  }
});

test("BPE writes bytes before the unknown token of characters in front of them", () => {
  const vocab = { "<unk>": 0, a: 1, b: 2, ab: 3, "<0xC3>": 4, "<0xA9>": 5 };
  const bpe = { type: "BPE", vocab, merges: [["a", "b"]], unk_token: "<unk>", byte_fallback: true };
  const expected: [string, number[], number[]][] = [
    ["xéx", [4, 5, 0, 0], [4, 5, 0]],
    ["xxéa", [0, 4, 5, 0, 1], [4, 5, 0, 1]],
    ["éxab", [4, 5, 0, 3], [4, 5, 0, 3]],
    ["xéaéx", [4, 5, 0, 1, 4, 5, 0], [4, 5, 0, 1, 4, 5, 0]],
  ];
  for (const [given, apart, fused] of expected) {
    assert.deepEqual(idsOf(given, { model: { ...bpe, fuse_unk: false } }), apart, given);
    assert.deepEqual(idsOf(given, { model: { ...bpe, fuse_unk: true } }), fused, given);
  }
});
