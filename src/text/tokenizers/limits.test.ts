/** Hostile tokenizer.json: patterns that backtrack are stopped, texts that grow are refused, and known patterns take linear time. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { cpuMs } from "../../../test/support/cpu-time.ts";
import { toyFiles, withToyTokenizer } from "../../../test/support/toy-tokenizer.ts";
import { FormatError } from "../../base/errors.ts";
import { loadTokenizer } from "../tokenizer.ts";
import type { JsonObject } from "../tokenizer-files.ts";
import { TokenizerPipeline } from "../tokenizer-library.ts";
import { knownPatterns } from "./known-patterns.ts";
import { hasUnknownPattern } from "./limited.ts";
import { patternOf, UnsupportedPart } from "./tokenizer-parts.ts";

function pipeline(parts: JsonObject): TokenizerPipeline {
  return new TokenizerPipeline({ ...toyFiles().tokenizer, ...parts });
}

const split = (pattern: string): JsonObject => ({
  type: "Split",
  pattern: { Regex: pattern },
  behavior: "Isolated",
});
const replace = (pattern: JsonObject, content: string): JsonObject => ({ type: "Replace", pattern, content });
const hostile = `${"a".repeat(60)}!`;

test("patterns that backtrack are stopped, wherever they stand", () => {
  const stopped = (error: unknown): boolean =>
    error instanceof UnsupportedPart && /regular expressions took longer than \d+ ms/.test(error.message);
  const sequence = { type: "Sequence", pretokenizers: [{ type: "Digits" }, split("(a|a)*b")] };
  for (const parts of [
    { pre_tokenizer: split("(a+)+$") },
    { pre_tokenizer: sequence },
    { normalizer: replace({ Regex: "(a*)*c" }, "") },
  ]) {
    const tokenizer = pipeline(parts);
    assert.throws(() => tokenizer.encode(hostile, false), stopped);
    assert.deepEqual(tokenizer.decode(tokenizer.encode("b", false)), "b");
  }
  const decoders = [{ type: "Fuse" }, replace({ Regex: "(a+)+$" }, "")];
  const tokenizer = pipeline({ decoder: { type: "Sequence", decoders } });
  assert.throws(() => tokenizer.decode(tokenizer.encode(hostile, false)), stopped);
});

test("a pattern that nobody knows gives the same pieces as a known one", () => {
  const known = [...knownPatterns][2] ?? "";
  assert.equal(hasUnknownPattern(split(known)), false);
  const same = `(?:${known})`;
  assert.equal(hasUnknownPattern(split(same)), true);
  const text = "It's 12345 ways,\n\n  to   write\tÄ漢字😀 -- l'll";
  assert.deepEqual(
    pipeline({ pre_tokenizer: split(same) }).encode(text, false),
    pipeline({ pre_tokenizer: split(known) }).encode(text, false),
  );
});

test("the user is told which file, and what to do", async () => {
  await withToyTokenizer({}, async (dir) => {
    const json = { ...toyFiles().tokenizer, pre_tokenizer: split("(a+)+$") };
    writeFileSync(`${dir}/tokenizer.json`, JSON.stringify(json));
    const tokenizer = loadTokenizer(dir);
    assert.throws(
      () => tokenizer.encode(hostile, { addSpecialTokens: false }),
      (error) =>
        error instanceof FormatError &&
        /tokenizer\.json cannot be used for a text: its regular .* Take another model's tokenizer\.$/.test(
          error.message,
        ),
    );
  });
});

test("what makes a text or its tokens grow without end is refused", () => {
  const doubling = Array.from({ length: 40 }, () => replace({ String: "a" }, "aa"));
  const nested = { type: "Sequence", normalizers: [{ type: "Sequence", normalizers: doubling }] };
  const grown = /make a text more than twenty times longer/;
  assert.throws(() => pipeline({ normalizer: nested }).encode(hostile, false), grown);
  const decoding = pipeline({ decoder: { type: "Sequence", decoders: doubling } });
  assert.throws(() => decoding.decode(decoding.encode(hostile, false)), grown);
});

test("sizes, counts and ids are checked when the file is loaded", () => {
  const many = Array.from({ length: 65 }, () => ({ type: "NFC" }));
  const byteLevels = Array.from({ length: 3 }, () => ({ type: "ByteLevel" }));
  const refused: [JsonObject, RegExp][] = [
    [
      { normalizer: { type: "Sequence", normalizers: many } },
      /at most 64 parts of the normalizer are read, it has 66/,
    ],
    [{ pre_tokenizer: { type: "Sequence", pretokenizers: byteLevels } }, /at most 2 parts ByteLevel/],
    [{ normalizer: replace({ String: "a" }, "b".repeat(2000)) }, /at most 1000 characters in "content"/],
    [{ pre_tokenizer: split("(((a{99}){99}){99}){99}") }, /at most 10000 repeats/],
    [{ pre_tokenizer: split("a|".repeat(2000)) }, /at most 2000 characters in a pattern/],
    [{ pre_tokenizer: { type: "Metaspace", replacement: "(a+)+" } }, /not one character/],
    [{ pre_tokenizer: { type: "FixedLength", length: 1e300 } }, /from 1 to 10000/],
    [
      { post_processor: { type: "BertProcessing", cls: ["a", 2e9], sep: ["b", 1] } },
      /which no vocabulary has/,
    ],
    [
      { model: { type: "WordPiece", vocab: { a: -1 }, max_input_chars_per_word: 100 } },
      /whole numbers from 0/,
    ],
    [
      { model: { type: "WordPiece", vocab: { a: 0 }, max_input_chars_per_word: 1e9 } },
      /characters in a word/,
    ],
    [{ model: { type: "Unigram", unk_id: 7, vocab: [["a", 0]] } }, /unk_id 7/],
    [
      { model: { type: "Unigram", unk_id: 0, vocab: [["a".repeat(200), 0]] } },
      /at most 128 characters in a token/,
    ],
  ];
  for (const [parts, message] of refused) assert.throws(() => pipeline(parts), message);
});

test("known patterns take time that grows with the text alone", () => {
  const texts = [" ", "\n", " \n", "a", "A", "1", "!", "'", "'s", "é́", "漢", " !", "\u00a0"];
  for (const known of knownPatterns) {
    const pattern = patternOf(split(known)) as RegExp;
    for (const unit of texts) {
      const text = `${unit.repeat(30_000)}x`;
      const took = cpuMs(() => {
        for (const _ of text.matchAll(pattern));
      });
      assert.ok(took < 1000, `${known} on ${JSON.stringify(unit)}: ${took} ms`);
    }
  }
});
