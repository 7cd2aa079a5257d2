/** Long texts that are one piece for a tokenizer: the ids of the library's own model, in steps, and no time that grows with their square. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as library from "@huggingface/tokenizers";
import fc from "fast-check";
import { cpuMs } from "../../../test/support/cpu-time.ts";
import type { JsonObject } from "../tokenizer-files.ts";
import { TokenizerPipeline } from "../tokenizer-library.ts";
import { makeBpe } from "./bpe.ts";
import type { LibraryModel } from "./library.ts";
import { type NormalForm, normalized } from "./normal-forms.ts";
import { toEnd } from "./steps.ts";
import { UnsupportedPart } from "./tokenizer-parts.ts";
import { makeUnigram } from "./unigram.ts";

const { BPE } = library as unknown as { BPE: new (config: JsonObject) => LibraryModel };

/** A BPE model over a few letters whose merges come from `picks`: each joins two of the tokens there are. */
function bpeOf(picks: readonly (readonly [number, number])[]): JsonObject {
  const tokens = ["a", "b", "c", "漢", "😀"];
  const merges: [string, string][] = [];
  for (const [left, right] of picks) {
    const pair = [tokens[left % tokens.length], tokens[right % tokens.length]] as [string, string];
    const made = pair.join("");
    if (made.length > 16 || tokens.includes(made)) continue;
    tokens.push(made);
    merges.push(pair);
  }
  return { type: "BPE", vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges };
}

test("BPE gives the ids of the tokenizers library, piece by piece and in steps", () => {
  const picks = fc.array(fc.tuple(fc.nat(40), fc.nat(40)), { maxLength: 30 });
  const text = fc.string({ unit: fc.constantFrom("a", "b", "c", "漢", "😀"), maxLength: 120 });
  fc.assert(
    fc.property(picks, text, (pairs, piece) => {
      const part = bpeOf(pairs);
      const theirs = new BPE(part);
      const expected = theirs([piece]).map((token) => theirs.tokens_to_ids.get(token));
      const model = makeBpe(part);
      assert.deepEqual(model.encode(piece), expected);
      assert.deepEqual(toEnd((model.steps as NonNullable<typeof model.steps>)(piece)), expected);
    }),
    { numRuns: 300 },
  );
});

test("a long piece goes in steps that tell the fewest tokens it has, never more", () => {
  const part = bpeOf([
    [0, 0],
    [5, 5],
    [6, 6],
  ]);
  const steps = makeBpe(part).steps?.("a".repeat(40_000)) ?? assert.fail("no steps");
  const told: number[] = [];
  let step = steps.next();
  for (; step.done !== true; step = steps.next()) told.push(step.value);
  assert.equal(step.value.length, 5000);
  assert.ok(told.length > 20, `${told.length} steps`);
  assert.equal(Math.max(...told), 5000);
});

test("what a BPE model lacks is named", () => {
  const part = (merges: unknown[]): JsonObject => ({ type: "BPE", vocab: { a: 0, b: 1 }, merges });
  for (const [merges, words] of [
    [["a b"], /merge 1 of the BPE model needs the token "ab", which its vocabulary lacks/],
    [[["a", "b", "a"]], /merge 1 of the BPE model is no pair of texts/],
    [["a"], /merge 1 of the BPE model is no pair of texts/],
  ] as const) {
    assert.throws(
      () => makeBpe(part([...merges])),
      (error) => error instanceof UnsupportedPart && words.test(error.message),
    );
  }
});

test("normal forms of long runs of marks are those of the language, all marks of Unicode among them", () => {
  const marks: string[] = [];
  for (let code = 0x300; code < 0x1_f000; code++) {
    const mark = code >= 0xd800 && code < 0xe000 ? "" : String.fromCodePoint(code);
    if (/[\p{M}\uff9e\uff9f]/u.test(mark)) marks.push(mark);
  }
  assert.ok(marks.length > 2000);
  const run = fc.array(fc.constantFrom(...marks), { minLength: 32, maxLength: 100 });
  const few = fc.array(fc.constantFrom("\u0301", "\u0327", "\u0345", "\u0344", "\uff9e", "\u20dd"), {
    minLength: 32,
    maxLength: 100,
  });
  fc.assert(
    fc.property(fc.oneof(run, few), fc.constantFrom("", "é", "ｶ", "한"), (list, base) => {
      const text = `${base}${list.join("")}x`;
      for (const form of ["NFC", "NFD", "NFKC", "NFKD"] as NormalForm[])
        assert.equal(normalized(text, form), text.normalize(form));
    }),
    { numRuns: 300 },
  );
});

test("half a megabyte of line feeds, emoji, Chinese, accents or white space takes no time that grows with its square", () => {
  const size = 500_000;
  const parts = { normalizer: null, pre_tokenizer: null, decoder: null, post_processor: null };
  const plain = { ...parts, model: { ...bpeOf([[0, 0]]), unk_token: "a" } };
  const pieces: [name: string, json: JsonObject, text: string][] = [
    ["one piece of letters", plain, "a".repeat(size)],
    ["Chinese", plain, "漢".repeat(size)],
    ["emoji", plain, "😀".repeat(size / 2)],
    ["accents", { ...plain, normalizer: { type: "NFC" } }, `a${"\u0301\u0327".repeat(size / 2)}`],
    ["white space to strip", { ...plain, normalizer: { type: "Strip" } }, `a${" ".repeat(size)}a`],
    [
      "added tokens that take the space around them",
      { ...plain, added_tokens: [{ id: 6, content: "\n", lstrip: true, rstrip: true }] },
      "\n".repeat(size),
    ],
  ];
  for (const [name, json, text] of pieces) {
    const pipeline = new TokenizerPipeline(json);
    const ms = cpuMs(() => void pipeline.encode(text, false));
    assert.ok(ms < 10_000, `${name}: ${ms} ms`);
  }
  const unigram = makeUnigram({
    vocab: [
      ["a", -1],
      ["b", -2],
    ],
    unk_id: 0,
  });
  const ms = cpuMs(() => void unigram.encode("ab".repeat(size / 2)));
  assert.ok(ms < 10_000, `Unigram: ${ms} ms`);
});
