/** Tests of verdicts.ts. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { FormatError } from "../../base/errors.ts";
import { readLetter, readRating, verdictReader } from "./verdicts.ts";

const ratings: [answer: string, rating: number | null][] = [
  ["Good. Rating: [[7]]", 7],
  ["[[10]]", 10],
  ["[[6.5]]", 6.5],
  ["Rating: [8]", 8],
  ["**Rating: [8]**", 8],
  ["My rating is [8], no more.", 8],
  ["**Rating**: [8]", 8],
  ["Rating: **[8]**", 8],
  ["Score = [3]. Rating: [3.0]", 3],
  ["Rating: [3], or rating: [4]", null],
  ["[8]", 8],
  [" [8]\n", 8],
  ["in [3] steps, so [[8]]", 8],
  ["[[4]] because [[4]]", 4],
  ["[[8]], in other words [[8.0]]", 8],
  ["[[8.]] and [[08]]", 8],
  ["[[8]] and [[8.5]]", null],
  ["[[4]] no, [[5]]", null],
  // out of range, beside others or alone
  ["[[0]]", null],
  ["[[11]]", null],
  ["[[-3]]", null],
  ["[[-3]] or [[3]]", null],
  ["[[11]] or [[10]]", null],
  // footnotes, references, lists
  ["As source [1] says, the answer is fair. I would give it seven out of ten.", null],
  ["Fair.\n\n[1] Wikipedia\n[2] a book", null],
  ["The answer cites [3].", null],
  ["Rating: good [1]", null],
  ["x[0] and x[1]", null],
  ["[1][2]", null],
  ["see 【1】", null],
  // other ways of writing the asked form
  ["**[[7]]**", 7],
  ["[[**7**]]", 7],
  ["[[ 7 ]]", 7],
  ["[ [7] ]", 7],
  ["`[[7]]`", 7],
  [String.raw`\[\[7\]\]`, 7],
  ["［［7］］", 7],
  ["【【7】】", 7],
  ["[[７]]", 7],
  ["Rating: [[7/10]]", 7],
  ["Rating: [[7/5]]", null],
  ["[[7-8]]", null],
  ["[[7,5]]", null],
  ["[[rating]]", null],
  ['in the form "[[rating]]": [[7]]', 7],
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
  ["[[a]]", 1],
  ["[[a]] and [[A]]", 1],
  ["**[[ B ]]**", -1],
  [String.raw`\[\[C\]\]`, 0],
  ["<think>[[A]]</think>[[B]]", -1],
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
  ["[[A>B]], that is [[B<A]]", 1],
  ["[[a>b]] and [[A>B]]", 1],
  ["[[a>>b]]", 2],
  ["[[A > B]]", 1],
  ["[[A&gt;&gt;B]]", 2],
  [String.raw`\[\[A\>B\]\]`, 1],
  ["[[A＞B]]", 1],
  ["[[A=B]] and [[B=A]]", 0],
  ["[[A>B]] and [[B>A]]", null],
  ["[[A>B]] and [[A>>>B]]", null],
  ["[[A>>>B]]", null],
  ["[[A]]", null],
  ["A>B", null],
];
const read = verdictReader([String.raw`\[\[([AB<>=]+)\]\]`, String.raw`\[([AB<>=]+)\]`], "file.yaml");
for (const [answer, verdict] of five) {
  test(`verdict in ${JSON.stringify(answer)}: ${verdict}`, () => assert.equal(read(answer), verdict));
}

/** How the table of docs/judges.md names verdicts. */
const named: Readonly<
  Record<string, { read: (answer: string) => number | null; meaning: (word: string) => number }>
> = {
  "a rating": { read: readRating, meaning: Number },
  "A, B or C": { read: readLetter, meaning: (word) => readLetter(`[[${word}]]`) ?? Number.NaN },
  "five verdicts": { read, meaning: (word) => read(`[[${word}]]`) ?? Number.NaN },
};

test("the examples of docs/judges.md", () => {
  const page = readFileSync(join(import.meta.dirname, "../../../docs/judges.md"), "utf8");
  const part = /<!-- examples: verdicts -->([\s\S]*?)<!-- end -->/.exec(page)?.[1] ?? "";
  const rows = [...part.matchAll(/^\| (.+?) \| `(.+?)` \| (\S+) \|$/gm)];
  assert.equal(rows.length, 17);
  for (const [row, asked = "", answer = "", verdict = ""] of rows) {
    const { read: reader, meaning } = named[asked] ?? assert.fail(row);
    assert.equal(reader(answer), verdict === "none" ? null : meaning(verdict), row);
  }
});

test("a pattern that is none is refused with its file", () => {
  assert.throws(
    () => verdictReader(["["], "arena.yaml"),
    (error: unknown) =>
      error instanceof FormatError && /^arena\.yaml: expected a regular/.test(error.message),
  );
});

const thoughts: [answer: string, rating: number | null][] = [
  ["<think>[[3]] at first</think>Rating: [[8]]", 8],
  ["<think>[[3]] at first, then [[8]]", null],
  ["[[8]]\n<think>is [[3]] better", 8],
  ["the template opened it: [[3]]</think>[[8]]", 8],
  ["[[3]]</think>", null],
  ["<think>a <think>[[2]]</think> [[3]]</think>[[8]]", 8],
  ["<think>a <think>[[2]]</think> [[3]]", null],
  ["<think>[[1]]</think> [[8]] <think>[[2]]</think>", 8],
  ["<thinking>[[3]]</thinking>[[8]]", 8],
  ['<reasoning effort="high">[[3]]</reasoning>[[8]]', 8],
  ["<Thought>[[3]]</Thought>[[8]]", 8],
  ["< think >[[3]]</ think >[[8]]", 8],
  ["[THINK][[3]][/THINK][[8]]", 8],
  ["◁think▷[[3]]◁/think▷[[8]]", 8],
  [
    "<|channel|>analysis<|message|>[[3]]<|end|><|start|>assistant<|channel|>final<|message|>[[8]]<|return|>",
    8,
  ],
  ["<|channel|>analysis<|message|>[[3]]", null],
  ["<thinker>[[8]]</thinker>", 8],
  ["<seed:think>[[3]]</seed:think>[[8]]", 8],
  ["<|begin_of_thought|>[[3]]<|end_of_thought|>[[8]]", 8],
  ["<think/>[[8]]", 8],
  ["It leaves a `<think>` tag in its answer. [[3]]", 3],
  ["`<think>` aside: <think>[[3]]", null],
];
for (const [answer, rating] of thoughts) {
  test(`thoughts in ${JSON.stringify(answer)}: ${rating}`, () => assert.equal(readRating(answer), rating));
}
