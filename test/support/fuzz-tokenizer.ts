/** Mutated tokenizer.json and tokenizer_config.json: loaded and used, or refused by name. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after } from "node:test";
import { PreftuneError } from "../../src/base/errors.ts";
import type { Random } from "../../src/base/random.ts";
import { byteSymbols } from "../../src/text/token-bytes.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { amount, figure } from "./campaign.ts";
import { type FuzzTarget, fuzz, isUnharmed, mutateJson, reached, sometimesAsText } from "./fuzz.ts";
import { scratch } from "./scratch.ts";

const dir = mkdtempSync(join(scratch(), "fuzz-tokenizer-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const letters = byteSymbols().slice(32, 64);
const ids = Object.fromEntries(
  ["<s>", "</s>", ...letters, "ab", "Ġ", "<unk>"].map((token, id) => [token, id]),
);
const special = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
const added = ["<s>", "</s>"].map((content, id) => ({ id, content, ...special }));
const single = [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }];
const template = {
  type: "TemplateProcessing",
  single,
  special_tokens: { "<s>": { id: "<s>", ids: [0], tokens: ["<s>"] } },
};
const scores = Object.keys(ids).map((token, i) => [token, -i]);

/** Models and parts of every kind, so that a mutation meets each. */
const models: unknown[] = [
  { type: "BPE", vocab: ids, merges: [["a", "b"]], unk_token: "<unk>", fuse_unk: true, byte_fallback: false },
  { type: "Unigram", unk_id: 3, vocab: scores, byte_fallback: true },
  {
    type: "WordPiece",
    vocab: ids,
    unk_token: "<unk>",
    max_input_chars_per_word: 100,
    continuing_subword_prefix: "##",
  },
  { type: "WordLevel", vocab: ids, unk_token: "<unk>" },
];
const regex = { pattern: { Regex: "\\s+" }, behavior: "Isolated", invert: false };
const preTokenizers: unknown[] = [
  { type: "ByteLevel", add_prefix_space: false, use_regex: true },
  {
    type: "Sequence",
    pretokenizers: [
      { type: "Split", ...regex },
      { type: "Digits", individual_digits: true },
    ],
  },
  { type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: true },
  { type: "Sequence", pretokenizers: [{ type: "Whitespace" }, { type: "Punctuation", behavior: "Removed" }] },
  { type: "BertPreTokenizer" },
  { type: "FixedLength", length: 3 },
];
const normalizers: unknown[] = [
  null,
  {
    type: "Sequence",
    normalizers: [{ type: "NFKC" }, { type: "Replace", pattern: { String: " " }, content: "▁" }],
  },
  {
    type: "BertNormalizer",
    clean_text: true,
    handle_chinese_chars: true,
    strip_accents: null,
    lowercase: true,
  },
  {
    type: "Sequence",
    normalizers: [
      { type: "Prepend", prepend: "▁" },
      { type: "Strip", strip_left: true },
    ],
  },
];
const decoders: unknown[] = [
  null,
  { type: "ByteLevel" },
  {
    type: "Sequence",
    decoders: [
      { type: "ByteFallback" },
      { type: "Fuse" },
      { type: "Strip", content: " ", start: 1, stop: 0 },
    ],
  },
  { type: "WordPiece", prefix: "##", cleanup: true },
  { type: "BPEDecoder", suffix: "</w>" },
  { type: "Metaspace", replacement: "▁", prepend_scheme: "always" },
];
const postProcessors: unknown[] = [
  null,
  template,
  { type: "BertProcessing", sep: ["</s>", 1], cls: ["<s>", 0] },
  { type: "Sequence", processors: [{ type: "ByteLevel" }, template] },
];
const config = {
  bos_token: "<s>",
  eos_token: { content: "</s>" },
  chat_template: "{{ messages }}",
  additional_special_tokens: ["<unk>"],
  added_tokens_decoder: { "0": { content: "<s>", special: true } },
};

interface Input {
  tokenizer: string;
  config: string;
}

function make(random: Random): Input {
  const whole = {
    added_tokens: added,
    normalizer: random.pick(normalizers),
    pre_tokenizer: random.pick(preTokenizers),
    post_processor: random.pick(postProcessors),
    decoder: random.pick(decoders),
    model: random.pick(models),
  };
  const spoilsConfig = random.below(5) === 0;
  const json = JSON.stringify(spoilsConfig ? whole : mutateJson(random, whole));
  return {
    tokenizer: sometimesAsText(random, json),
    config: JSON.stringify(spoilsConfig ? mutateJson(random, config) : config),
  };
}

/** The tokenizer_config.json that stands there. */
let written = "";

function feed(input: Input): void {
  writeFileSync(join(dir, "tokenizer.json"), input.tokenizer);
  if (input.config !== written) writeFileSync(join(dir, "tokenizer_config.json"), input.config);
  written = input.config;
  const tokenizer = loadTokenizer(dir);
  const text = "<s>ab 12, Ä漢😀  x</s>▁";
  const encoded = tokenizer.encode(text, { addSpecialTokens: true });
  tokenizer.decode(encoded, { skipSpecialTokens: true });
  for (const id of [0, 5, tokenizer.vocabSize - 1]) tokenizer.tokenBytes(id);
}

/**
 * One part of the campaign of a million inputs.
 *
 * @param part - 1 or 2: which inputs
 */
export function fuzzTokenizer(part: number): void {
  const inputs = amount(1000, 500_000);
  const target: FuzzTarget<Input> = {
    make,
    feed,
    isRefusal: (error) => error instanceof PreftuneError,
    show: (input) => JSON.stringify(input),
  };
  const outcome = fuzz("tokenizer.json", inputs, target, (part - 1) * inputs);
  assert.deepEqual(outcome.faults, []);
  assert.ok(outcome.accepted > outcome.inputs / 20, `only ${outcome.accepted} were valid`);
  figure(
    18,
    `mutated tokenizer.json, loaded and used, part ${part} of 2`,
    reached(outcome),
    "0 crashes, 0 above 1 s in 500,000",
    isUnharmed(outcome),
  );
}
