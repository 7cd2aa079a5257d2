/** Scores that join pieces as merges do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { pieceScores, spacePrefix } from "./piece-scores.ts";

const vocabulary = new Set(["▁", "t", "h", "e", "▁t", "he", "▁the", "th"]);

test("the first piece that merges make has the highest score, and each its own", () => {
  const merges: [string, string][] = [
    ["▁", "t"],
    ["h", "e"],
    ["▁t", "he"],
    ["t", "h"],
  ];
  const scores = pieceScores(vocabulary, merges, "tokenizer.json");
  assert.deepEqual(
    [...scores],
    [
      ["▁t", 0],
      ["he", -1],
      ["▁the", -2],
      ["th", -3],
    ],
  );
});

test("merges that no scores stand for are refused", () => {
  const some: [string, string][] = [
    ["▁", "t"],
    ["h", "e"],
    ["t", "h"],
  ];
  assert.throws(() => pieceScores(vocabulary, some, "tokenizer.json"), /"▁the".*not all ways/);
  const apart: [string, string][] = [
    ["a", "bc"],
    ["x", "y"],
    ["ab", "c"],
  ];
  assert.throws(() => pieceScores(new Set(["a"]), apart, "tokenizer.json"), /"abc".*stand together/);
});

test("where a space is put in front, by the forms of published files", () => {
  const replace = { type: "Replace", pattern: { String: " " }, content: "▁" };
  const prepend = { type: "Prepend", prepend: "▁" };
  const metaspace = (prepend_scheme: string) => ({
    type: "Metaspace",
    replacement: "▁",
    prepend_scheme,
    split: false,
  });
  const cut = { type: "Split", pattern: { String: " " }, behavior: "MergedWithPrevious" };
  const of = (normalizer: object | null, pre_tokenizer: object | null) =>
    spacePrefix({ normalizer, pre_tokenizer }, "tokenizer.json");
  assert.equal(of({ type: "Sequence", normalizers: [prepend, replace] }, null), "always");
  assert.equal(of(replace, cut), "never");
  assert.equal(of(null, metaspace("first")), "first");
  assert.equal(of(null, metaspace("always")), "where missing");
  assert.throws(() => of({ type: "NFKC" }, metaspace("always")), /NFKC/);
  assert.throws(() => of(null, null), /null/);
});
