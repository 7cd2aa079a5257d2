import assert from "node:assert/strict";
import test from "node:test";

import fc from "fast-check";

import { joinByteTokens } from "./byte-fallback.ts";
import { makeDecoder } from "./tokenizers/decoders.ts";

const bytesOf = (text: string): string[] =>
  [...new TextEncoder().encode(text)].map(
    (byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
  );

test("byte tokens become their text between other tokens", () => {
  assert.deepEqual(joinByteTokens(["a", ...bytesOf("漢"), "b", ...bytesOf("\n")]), ["a", "漢", "b", "\n"]);
});

test("a byte order mark survives", () => {
  assert.deepEqual(joinByteTokens(bytesOf("\uFEFFx")), ["\uFEFFx"]);
});

test("a run that is not UTF-8 becomes one token with a replacement character per byte", () => {
  const tokens = ["<0xE6>", "<0xBC>", "x", "<0xFF>"];
  assert.deepEqual(joinByteTokens(tokens), ["\uFFFD", "\uFFFD", "x", "\uFFFD"]);
  // tokenizers 0.23.3: decoders.Sequence([ByteFallback(), WordPiece(prefix="x")]).decode(tokens)
  const type = "Sequence";
  const decode = makeDecoder({
    type,
    decoders: [{ type: "ByteFallback" }, { type: "WordPiece", prefix: "x" }],
  });
  assert.equal(decode(tokens).join(""), "\uFFFD \uFFFD \uFFFD");
});

test("tokens that only look like bytes are text", () => {
  assert.deepEqual(joinByteTokens(["<0xGG>", "<0x1>", "<0x123>"]), ["<0xGG>", "<0x1>", "<0x123>"]);
});

test("any text comes back from its bytes", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", minLength: 1 }), (text) => {
      assert.deepEqual(joinByteTokens(bytesOf(text)), [text]);
    }),
  );
});
