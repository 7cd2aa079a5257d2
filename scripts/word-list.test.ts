import assert from "node:assert/strict";
import { test } from "node:test";
import { proseOf, refusedWords } from "./word-list.ts";

test("private words are found with their line and a replacement", () => {
  assert.deepEqual(refusedWords("A fine line.\nMend the row; it is told, and training goes on."), [
    { line: 2, word: "Mend", instead: "fix, correct" },
    { line: 2, word: "told", instead: "reported, logged, warned, unless set otherwise" },
    { line: 2, word: "goes on", instead: "continue, resume, proceed" },
  ]);
});

test("the same letters with a plain meaning pass", () => {
  const plain =
    "a whole number; Images, sound; amend; recommend; the right way; a house of cards; it stands; on its own";
  assert.deepEqual(refusedWords(plain), []);
});

test("code and recorded results are not prose", () => {
  const page = "```sh\nmend\n```\n`told` of x\n<!-- figures -->\n| goes on |\n<!-- end -->\nanew";
  assert.deepEqual(refusedWords(proseOf(page)), [
    { line: 8, word: "anew", instead: "again, reset, from scratch" },
  ]);
});
