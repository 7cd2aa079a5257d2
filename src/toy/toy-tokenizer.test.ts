import assert from "node:assert/strict";
import { test } from "node:test";
import { temporaryDirectory } from "../../test/support/tiny-models.ts";
import { knownTemplate, templateHash } from "../text/known-templates.ts";
import { loadTokenizer, type Tokenizer } from "../text/tokenizer.ts";
import { learnBytePairs } from "./byte-pairs.ts";
import { endOfTextId, endOfTurnId, makeTokenizer, writeTokenizer } from "./toy-tokenizer.ts";

test("the most frequent pair is merged first, and ties go to the one that sorts first", () => {
  // words: aab (twice), " aab" (once; Ġ stands for the space): aa and ab come 3 times each
  const { merges, symbols } = learnBytePairs("aab\n aab\naab", 10);
  assert.deepEqual(merges, [
    ["a", "a"],
    ["aa", "b"],
  ]);
  assert.equal(symbols.length, 258);
  assert.equal(symbols.at(-1), "aab");
  assert.equal(new Set(symbols).size, 258);
});

test("a pair that overlaps itself is merged from the left, and the limit holds", () => {
  assert.deepEqual(learnBytePairs("aaaaa aaaaa", 2).merges, [
    ["a", "a"],
    ["aa", "a"],
  ]);
  assert.deepEqual(learnBytePairs("abc abc", 0).merges, []);
  assert.deepEqual(learnBytePairs("abcdef", 5).merges, []);
});

function withTokenizer(text: string, body: (tokenizer: Tokenizer, vocabSize: number) => void): void {
  using dir = temporaryDirectory();
  const { files, vocabSize } = makeTokenizer(text);
  writeTokenizer(dir.path, files);
  body(loadTokenizer(dir.path), vocabSize);
}

const text =
  "user\nOrder Mira and Dorn from small to large.\nassistant\n1. Dorn\n2. Mira\nEnd of list.\n".repeat(3);

test("words of the text are single tokens, and any text comes back", () => {
  withTokenizer(text, (tokenizer, vocabSize) => {
    assert.equal(tokenizer.vocabSize, vocabSize);
    const encode = (some: string): number[] => tokenizer.encode(some, { addSpecialTokens: false });
    assert.equal(encode("Order Mira and Dorn").length, 4);
    assert.equal(encode("1. Dorn\n").length, 4);
    for (const some of ["Dorn  Mira\n\n", "grüße 日本 🙂", "it's 12,5 %", ""]) {
      assert.equal(tokenizer.decode(encode(some), { skipSpecialTokens: false }), some);
    }
  });
});

test("the chat template is a known one, and its control tokens are what config and generation stop at", () => {
  withTokenizer(text, (tokenizer) => {
    assert.equal(knownTemplate(templateHash(tokenizer.chatTemplates.default ?? "")), "chatml");
    assert.equal(tokenizer.tokenId("<|im_end|>"), endOfTurnId);
    assert.equal(tokenizer.eosTokenId, endOfTurnId);
    assert.equal(tokenizer.padTokenId, endOfTextId);
    assert.equal(tokenizer.bosTokenId, null);
    assert.deepEqual(tokenizer.encode("<|im_end|>", { addSpecialTokens: true }), [endOfTurnId]);
  });
});
