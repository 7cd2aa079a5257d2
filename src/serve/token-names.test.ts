/** Names of tokens: joined they are the text, whatever the tokenizer leaves out at the beginning of one. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { piece, vocabulary, writeSentencePiece } from "../../test/support/sentencepiece.ts";
import { temporaryDirectory } from "../../test/support/tiny-models.ts";
import { withToyTokenizer } from "../../test/support/toy-tokenizer.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { TokenNames } from "./token-names.ts";

test("a SentencePiece token has its space, but not at the beginning of a text; bytes, special and unknown ones go by name", () => {
  using dir = temporaryDirectory();
  const tokenizer = loadTokenizer(writeSentencePiece(dir.path));
  const names = new TokenNames(tokenizer);
  const rows: [string, string, string][] = [
    ["▁the", " the", "the"],
    ["▁", " ", ""],
    ["▁▁", "  ", " "],
    ["the", "the", "the"],
    ["<0x41>", "A", "A"],
    ["<0xE2>", "bytes:\\xe2", "bytes:\\xe2"],
    ["<0x0A>", "\n", "\n"],
    ["<s>", "<s>", "<s>"],
  ];
  for (const [text, inside, first] of rows) {
    assert.deepEqual(
      [names.of(piece(text), false).text, names.of(piece(text), true).text],
      [inside, first],
      text,
    );
  }
  assert.deepEqual(names.of(piece("<0xE2>"), true).bytes, [0xe2]);
  assert.deepEqual(names.of(piece("▁the"), false).bytes, [...Buffer.from(" the")]);
  assert.deepEqual(names.of(vocabulary - 1, true), { text: `token_id:${vocabulary - 1}`, bytes: [] });
  for (const text of ["the cat sat", "  two", "a €", "ends "]) {
    const ids = tokenizer.encode(text, { addSpecialTokens: false });
    const joined = ids.flatMap((id, i) => names.of(id, i === 0).bytes);
    assert.equal(Buffer.from(joined).toString(), text);
  }
});

test("a Metaspace decoder, which leaves out the first space as well", () => {
  using dir = temporaryDirectory();
  const file = join(writeSentencePiece(dir.path), "tokenizer.json");
  const json = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  const metaspace = { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true };
  writeFileSync(file, JSON.stringify({ ...json, decoder: metaspace }));
  const names = new TokenNames(loadTokenizer(dir.path));
  assert.deepEqual(
    [names.of(piece("▁the"), false).text, names.of(piece("▁the"), true).text],
    [" the", "the"],
  );
  assert.deepEqual([names.of(piece("the"), false).text, names.of(piece("the"), true).text], ["the", "the"]);
});

test("a byte-level token is the same everywhere", async () => {
  await withToyTokenizer({}, (directory) => {
    const tokenizer = loadTokenizer(directory);
    const names = new TokenNames(tokenizer);
    const ids = tokenizer.encode("a all é", { addSpecialTokens: false });
    assert.deepEqual(
      ids.map((id) => names.of(id, true)),
      ids.map((id) => names.of(id, false)),
    );
    assert.deepEqual(
      ids.map((id) => names.of(id, false).text),
      ["a", " a", "ll", " ", "bytes:\\xc3", "bytes:\\xa9"],
    );
  });
});
