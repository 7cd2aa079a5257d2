/** Names of pre-tokenizers by what published tokenizer.json files say, and refusals. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { knownPatterns } from "../text/tokenizers/known-patterns.ts";
import { preTokenizerName } from "./pre-tokenizer.ts";

const byteLevel = (use_regex: boolean) => ({ type: "ByteLevel", add_prefix_space: false, use_regex });
const split = (Regex: string) => ({ type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false });
const sequence = (...pretokenizers: object[]) => ({ type: "Sequence", pretokenizers });
const patterns = [...knownPatterns];
const [llama3 = "", qwen2 = "", o200k = "", tekken = ""] = patterns.slice(2, 6);

/** Steps, whether merges are ignored for whole words, and llama.cpp's name. */
const published: [string, object, boolean, string][] = [
  ["GPT-2 and the toy tokenizers", byteLevel(true), false, "gpt-2"],
  ["GPT-2 as a Split", sequence(split(patterns[0] ?? ""), byteLevel(false)), false, "gpt-2"],
  ["SmolLM", sequence({ type: "Digits", individual_digits: true }, byteLevel(true)), false, "smollm"],
  ["Llama 3", sequence(split(llama3), byteLevel(false)), true, "llama-bpe"],
  ["OLMo 2, Phi-4", sequence(split(llama3), byteLevel(false)), false, "dbrx"],
  ["Qwen", sequence(split(qwen2), byteLevel(false)), false, "qwen2"],
  [
    "Phi-4-mini",
    sequence({ ...split(o200k), behavior: "Removed", invert: true }, byteLevel(false)),
    false,
    "gpt-4o",
  ],
  ["Mistral Nemo", sequence(split(tekken), byteLevel(false)), true, "tekken"],
];

test("the names of published tokenizers", () => {
  for (const [what, preTokenizer, ignoreMerges, name] of published) {
    const json = { normalizer: null, pre_tokenizer: preTokenizer, model: { ignore_merges: ignoreMerges } };
    assert.equal(preTokenizerName(json, "tokenizer.json"), name, what);
  }
});

test("what llama.cpp would cut otherwise is refused, with what it is", () => {
  const refused: [object, RegExp][] = [
    [
      { pre_tokenizer: sequence(split(qwen2.replace("\\p{N}|", "\\p{N}{1,2}|")), byteLevel(false)) },
      /\{1,2\}/,
    ],
    [{ pre_tokenizer: { type: "ByteLevel", add_prefix_space: true, use_regex: true } }, /add_prefix_space/],
    [
      { pre_tokenizer: sequence(split(qwen2), byteLevel(false)), model: { ignore_merges: true } },
      /ignore_merges/,
    ],
    [{ pre_tokenizer: sequence(split(qwen2)) }, /Split/],
    [{ normalizer: { type: "Lowercase" }, pre_tokenizer: byteLevel(true) }, /Lowercase/],
    [{ pre_tokenizer: null }, /null/],
  ];
  for (const [json, message] of refused) {
    const given = { normalizer: null, model: {}, ...json };
    assert.throws(() => preTokenizerName(given, "tokenizer.json"), message);
  }
});
