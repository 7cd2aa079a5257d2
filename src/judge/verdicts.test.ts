/** Tests of verdicts.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FormatError } from "../base/errors.ts";
import { readLetter, readRating, verdictReader } from "./verdicts.ts";

const ratings: [answer: string, rating: number | null][] = [
  ["Good. Rating: [[7]]", 7],
  ["[[10]]", 10],
  ["[[6.5]]", 6.5],
  ["Rating: [8]", 8],
  ["in [3] steps, so [[8]]", 8],
  ["[[4]] because [[4]]", 4],
  ["[[4]] no, [[5]]", null],
  ["[[0]]", null],
  ["[[11]]", null],
  ["[[-3]]", null],
  ["[[rating]]", null],
  ["Rating: 7", null],
  ["7/10", null],
  ["", null],
];
for (const [answer, rating] of ratings) {
  test(`rating in ${JSON.stringify(answer)}: ${rating}`, () => assert.equal(readRating(answer), rating));
}

const lettered: [answer: string, verdict: number | null][] = [
  ["so [[A]]", 1],
  ["[[B]] it is", -1],
  ["[[C]]", 0],
  ["[[A]] and again [[A]]", 1],
  ["[[A]] or [[B]]", null],
  ["[A]", null],
  ["A is better", null],
  ["[[a]]", null],
  ["[[D]]", null],
];
for (const [answer, verdict] of lettered) {
  test(`letter in ${JSON.stringify(answer)}: ${verdict}`, () => assert.equal(readLetter(answer), verdict));
}

const five: [answer: string, verdict: number | null][] = [
  ["[[A>>B]]", 2],
  ["[[A>B]]", 1],
  ["My final verdict is tie: [[A=B]]", 0],
  ["[[B>A]]", -1],
  ["[[B>>A]]", -2],
  ["[[A<<B]]", -2],
  ["[[B<A]]", 1],
  ["[A>B]", 1],
  ["[A>B] at first, but [[B>A]]", -1],
  ["[[A>B]], or rather [[A>>B]]", null],
  ["[[A>>>B]]", null],
  ["[[A]]", null],
  ["A>B", null],
];
const read = verdictReader([String.raw`\[\[([AB<>=]+)\]\]`, String.raw`\[([AB<>=]+)\]`], "file.yaml");
for (const [answer, verdict] of five) {
  test(`verdict in ${JSON.stringify(answer)}: ${verdict}`, () => assert.equal(read(answer), verdict));
}

test("a pattern that is none is refused with its file", () => {
  assert.throws(
    () => verdictReader(["["], "arena.yaml"),
    (error: unknown) =>
      error instanceof FormatError && /^arena\.yaml: expected a regular/.test(error.message),
  );
});
