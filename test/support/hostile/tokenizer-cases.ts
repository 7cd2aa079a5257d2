/** Hostile tokenizer files. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { HostileCase } from "./hostile.ts";
import {
  type Json,
  linkInstead,
  many,
  pipeInstead,
  setJson,
  setTokenizerModel,
  writePieces,
} from "./spoil.ts";

/** Rows on which patterns of `a` backtrack. */
function writeLongRow(dir: string, text: string): void {
  const row = { prompt: text, chosen: "yes", rejected: "no" };
  writeFileSync(join(dir, "rows.jsonl"), `${JSON.stringify(row)}\n`.repeat(2));
}

const run = `${"a".repeat(64)}!`;

function withPart(name: string, part: (dir: string) => Json, expects: RegExp, text = run): HostileCase {
  const write = (dir: string): void => {
    setJson(dir, "tokenizer.json", part(dir));
    writeLongRow(dir, text);
  };
  return { name: `tokenizer.json: ${name}`, write, expects };
}

const split = (pattern: string): Json => ({
  type: "Split",
  pattern: { Regex: pattern },
  behavior: "Isolated",
  invert: false,
});
const replace = (pattern: Json, content: string): Json => ({ type: "Replace", pattern, content });
const inSequence = (parts: Json[], key: string): Json => ({ type: "Sequence", [key]: parts });
const slow = /took longer than|pattern/;
const large = /at most/;

/** The place's tokenizer.json with another text in place of one member of its model. */
function* around(dir: string, member: string, middle: Iterable<string>): Generator<string> {
  const json = JSON.parse(readFileSync(join(dir, "model", "tokenizer.json"), "utf8")) as { model: Json };
  json.model[member] = "HERE";
  const [before = "", behind = ""] = JSON.stringify(json).split('"HERE"');
  yield before;
  yield* middle;
  yield behind;
}

function nested(part: Json, key: string, depth: number): Json {
  let inner = part;
  for (let i = 0; i < depth; i++) inner = { type: "Sequence", [key]: [inner] };
  return inner;
}

/** Cases of one member of the model that has too many entries. */
function crowded(name: string, member: string, pieces: () => Iterable<string>): HostileCase {
  const write = (dir: string): void => {
    writePieces(join(dir, "model", "tokenizer.json.new"), around(dir, member, pieces()));
    const path = join(dir, "model", "tokenizer.json");
    writePieces(path, [readFileSync(`${path}.new`, "utf8")]);
  };
  return { name: `tokenizer.json: ${name}`, write, expects: large };
}

export const tokenizerCases: HostileCase[] = [
  withPart("a Split that backtracks", () => ({ pre_tokenizer: split("(a+)+$") }), slow),
  withPart("a Split of alternatives that backtracks", () => ({ pre_tokenizer: split("(a|a)*b") }), slow),
  withPart(
    "a Split that is slow with the square of the text",
    () => ({ pre_tokenizer: split("\\s*\\n") }),
    slow,
    " ".repeat(400_000),
  ),
  withPart(
    "a Split that backtracks, behind others",
    () => ({
      pre_tokenizer: inSequence(
        [{ type: "Digits", individual_digits: true }, split("(\\w+\\s?)+:")],
        "pretokenizers",
      ),
    }),
    slow,
  ),
  withPart("a Replace that backtracks", () => ({ normalizer: replace({ Regex: "(a*)*c" }, "") }), slow),
  withPart(
    "a pattern that repeats repeats",
    () => ({ pre_tokenizer: split("(((a{1000}){1000}){1000}){1000}") }),
    /pattern|large/i,
  ),
  withPart(
    "a pattern of 100,000 characters",
    () => ({ pre_tokenizer: split("(a|b)".repeat(20_000)) }),
    large,
  ),
  withPart(
    "a Replace that doubles the text, forty times",
    () => ({
      normalizer: inSequence(
        Array.from({ length: 40 }, () => replace({ String: "a" }, "aa")),
        "normalizers",
      ),
    }),
    /longer|at most/,
  ),
  withPart(
    "a Replace by a million characters",
    () => ({ normalizer: replace({ String: "a" }, "b".repeat(1e6)) }),
    large,
  ),
  withPart(
    "a Prepend of a million characters",
    () => ({ normalizer: { type: "Prepend", prepend: "b".repeat(1e6) } }),
    large,
  ),
  withPart(
    "a decoder that doubles the text, forty times",
    () => ({
      decoder: inSequence(
        Array.from({ length: 40 }, () => replace({ Regex: "." }, "aa")),
        "decoders",
      ),
    }),
    /longer|at most/,
  ),
  withPart(
    "a post-processor that doubles the tokens, forty times",
    () => {
      const twice = [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }];
      const part = { type: "TemplateProcessing", single: twice, pair: twice, special_tokens: {} };
      return {
        post_processor: inSequence(
          Array.from({ length: 40 }, () => part),
          "processors",
        ),
      };
    },
    /has not the sequence A once/,
  ),
  withPart("pre-tokenizers nested 100,000 deep", () => ({ pre_tokenizer: {} }), large),
  crowded("a vocabulary of 3 million", "vocab", () => many(3_000_000, (i) => `"t${i}":${i}`)),
  crowded("3 million merges", "merges", () => many(3_000_000, () => '["a","b"]', "[]")),
  {
    name: "tokenizer.json: token ids up to 2^53",
    write: (dir) => setTokenizerModel(dir, ({ vocab }) => ({ vocab: { ...(vocab as Json), far: 2 ** 53 } })),
    expects: /id/,
  },
  {
    name: "tokenizer.json: negative and fractional token ids",
    write: (dir) =>
      setTokenizerModel(dir, ({ vocab }) => ({ vocab: { ...(vocab as Json), low: -1, half: 0.5 } })),
    expects: /id/,
  },
  {
    name: "tokenizer.json: Unigram with tokens of a to 10,000 a",
    write: (dir) => {
      const vocab = [["<unk>", 0], ...Array.from({ length: 10_000 }, (_, i) => ["a".repeat(i + 1), -i])];
      setJson(dir, "tokenizer.json", {
        model: { type: "Unigram", unk_id: 0, vocab },
        added_tokens: [],
        pre_tokenizer: null,
      });
      writeLongRow(dir, "a".repeat(100_000));
    },
    expects: large,
  },
  {
    name: "tokenizer.json: an added token of 10 million characters",
    write: (dir) => {
      const token = { id: 264, content: "x".repeat(1e7), special: true };
      const path = join(dir, "model", "tokenizer.json");
      const { added_tokens: added } = JSON.parse(readFileSync(path, "utf8")) as { added_tokens: unknown[] };
      setJson(dir, "tokenizer.json", { added_tokens: [...added, token] });
    },
    expects: large,
  },
  {
    name: "tokenizer.json: a million added tokens",
    write: (dir) => {
      const added = Array.from({ length: 1e6 }, (_, i) => ({ id: 264 + i, content: `<${i}>` }));
      setJson(dir, "tokenizer.json", { added_tokens: added });
    },
    expects: large,
  },
  {
    name: "tokenizer.json: brackets nested a million deep",
    write: (dir) => writePieces(join(dir, "model", "tokenizer.json"), ["[".repeat(1e6), "]".repeat(1e6)]),
    expects: large,
  },
  {
    name: "tokenizer.json: 300 MB of empty lists",
    write: (dir) =>
      writePieces(
        join(dir, "model", "tokenizer.json"),
        many(1e8, () => "[]", "[]"),
      ),
    expects: large,
  },
  {
    name: "tokenizer.json is a named pipe",
    write: (dir) => pipeInstead(join(dir, "model", "tokenizer.json")),
    expects: /expected a file, got a named pipe/,
  },
  {
    name: "tokenizer_config.json is /dev/zero",
    write: (dir) => linkInstead(join(dir, "model", "tokenizer_config.json"), "/dev/zero"),
    expects: /expected a file, got a device/,
  },
  {
    name: "tokenizer_config.json: 100 MB of white space",
    write: (dir) =>
      writePieces(join(dir, "model", "tokenizer_config.json"), Array(100).fill(" ".repeat(1e6))),
    expects: large,
  },
  {
    name: "tokenizer_config.json: a million tokens in added_tokens_decoder",
    write: (dir) => {
      const tokens = Array.from({ length: 1e6 }, (_, i) => [String(300 + i), { content: `<${i}>` }]);
      setJson(dir, "tokenizer_config.json", { added_tokens_decoder: Object.fromEntries(tokens) });
    },
    expects: large,
  },
];

// Nesting beyond what a stack holds cannot be made with JSON.stringify.
const deep = tokenizerCases.find(({ name }) => name.includes("100,000 deep")) as HostileCase;
deep.write = (dir) => {
  const inner = JSON.stringify(nested({ type: "ByteLevel" }, "pretokenizers", 1));
  const [head = "", tail = ""] = inner.split('{"type":"ByteLevel"}');
  const text = readFileSync(join(dir, "model", "tokenizer.json"), "utf8");
  const at = text.indexOf('"pre_tokenizer":') + '"pre_tokenizer":'.length;
  writePieces(join(dir, "model", "tokenizer.json"), [
    text.slice(0, at),
    head.repeat(1e5),
    "null",
    tail.repeat(1e5),
    text.slice(text.indexOf(',"post_processor"')),
  ]);
};
