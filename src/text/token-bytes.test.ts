/** Tests of token-bytes.ts and of `Tokenizer.tokenBytes`. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { toyFiles, withToyTokenizer } from "../../test/support/toy-tokenizer.ts";
import { byteLevelBytes, byteSymbols } from "./token-bytes.ts";
import { loadTokenizer, type Tokenizer } from "./tokenizer.ts";

test("every byte has a sign of its own, and GPT-2's for space and newline", () => {
  const symbols = byteSymbols();
  assert.equal(new Set(symbols).size, 256);
  assert.deepEqual([symbols[32], symbols[10], symbols[97]], ["Ġ", "Ċ", "a"]);
  assert.deepEqual([...(byteLevelBytes("Ġa") ?? [])], [32, 97]);
  assert.equal(byteLevelBytes("我"), null);
});

const bytesOf = (tokenizer: Tokenizer, text: string): Buffer =>
  Buffer.concat(tokenizer.encode(text, { addSpecialTokens: false }).map((id) => tokenizer.tokenBytes(id)));

test("the bytes of a text's tokens are the text's bytes, though tokens divide characters", async () => {
  await withToyTokenizer({}, (directory) => {
    const tokenizer = loadTokenizer(directory);
    assert.deepEqual(
      [...tokenizer.tokenBytes(tokenizer.encode("é", { addSpecialTokens: false })[0] ?? -1)],
      [0xc3],
    );
    assert.equal(Buffer.from(tokenizer.tokenBytes(2)).toString(), "<|im_end|>");
    assert.equal(tokenizer.tokenBytes(100_000).length, 0);
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        assert.equal(bytesOf(tokenizer, text).toString(), text);
      }),
    );
  });
});

test("a byte-fallback token is its byte; such a token of another vocabulary is its text", () => {
  const { tokenizer, config } = toyFiles();
  const vocab = { "<0xC3>": 0, "<0xA9>": 1, "▁hi": 2 };
  const base = {
    ...tokenizer,
    added_tokens: [],
    pre_tokenizer: null,
    model: { type: "BPE", byte_fallback: true, vocab, merges: [] },
  };
  const decoder = {
    type: "Sequence",
    decoders: [
      { type: "Replace", pattern: { String: "▁" }, content: " " },
      { type: "ByteFallback" },
      { type: "Fuse" },
    ],
  };
  const directory = mkdtempSync(join(tmpdir(), "preftune-tokenizer-"));
  try {
    writeFileSync(join(directory, "tokenizer_config.json"), JSON.stringify({ ...config, eos_token: null }));
    writeFileSync(
      join(directory, "tokenizer.json"),
      JSON.stringify({ ...base, decoder, post_processor: null }),
    );
    const fallback = loadTokenizer(directory);
    assert.deepEqual([...fallback.tokenBytes(0)], [0xc3]);
    assert.equal(Buffer.from(fallback.tokenBytes(2)).toString(), " hi");
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
