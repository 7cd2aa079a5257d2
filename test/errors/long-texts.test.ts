/**
 * Texts of models, judges and users on which a regular expression could try every way to divide the same characters between two of
 * its parts: what reads 100 KB of them takes no time that grows with the square.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNumbers } from "../../src/base/json-numbers.ts";
import { withinComputedTime } from "../../src/base/time-limit.ts";
import { valueFromText } from "../../src/config/schema-text.ts";
import { feedbackRow } from "../../src/data/feedback-forms.ts";
import { parsePythonLiteral } from "../../src/data/python-literal.ts";
import { selfBleu } from "../../src/evaluate/diversity/bleu.ts";
import { formOf } from "../../src/evaluate/diversity/markdown-form.ts";
import { styleOf } from "../../src/evaluate/judge/style.ts";
import { readLetter, readRating, verdictReader } from "../../src/evaluate/judge/verdicts.ts";
import { wordsAgainst } from "../../src/report/word-diff.ts";
import { numberInText } from "../../src/text/json-number.ts";
import { pastedRows } from "../../src/workbench/pasted-rows.ts";
import { parseRound } from "../../src/workbench/rounds/round-file.ts";
import { hostilePieces, hostileReplies } from "../support/hostile/long-texts.ts";

/** A pass takes some 10 ms; one that grows with the square takes five seconds and more. */
const limitMs = 2000;
const size = 100_000;

/** Fails when it computes for too long; what it throws is the answer to a text that is wrong. */
function endsSoon(what: string, read: () => unknown): void {
  let hasEnded = false;
  try {
    withinComputedTime(limitMs, () => {
      try {
        read();
      } catch {
        // refused: an answer too
      }
      hasEnded = true;
    });
  } catch (error) {
    assert.fail(`${what}: ${(error as Error).message}`);
  }
  assert.ok(hasEnded, what);
}

const readVerdict = verdictReader([String.raw`\[\[([AB<>=]+)\]\]`, String.raw`\[([AB<>=]+)\]`], "file.yaml");

/** What reads whatever a model or a judge may write. */
const readers: Readonly<Record<string, (text: string) => unknown>> = {
  "a rating": readRating,
  "a letter": readLetter,
  "a verdict": readVerdict,
  style: (text) => styleOf([text]),
  form: (text) => formOf(text, false),
  "self-BLEU": (text) => selfBleu([text, "a b"]),
  "words against others": (text) => wordsAgainst(text, "a b"),
};

for (const [what, read] of Object.entries(readers)) {
  test(`${what} of 100 KB of anything`, () => {
    for (const piece of hostilePieces) {
      const text = piece.repeat(size / piece.length);
      endsSoon(JSON.stringify(piece), () => read(text));
      endsSoon(`a, ${JSON.stringify(piece)}, b`, () => read(`a${text}b`));
    }
    for (const [name, reply] of Object.entries(hostileReplies(size))) endsSoon(name, () => read(reply));
  });
}

/** A chat of Open WebUI with one message before the marked answer. */
function chat(content: string): Record<string, unknown> {
  const messages = {
    a: { id: "a", parentId: null, role: "user", content },
    b: { id: "b", parentId: "a", role: "assistant", content: "Blue." },
  };
  return {
    ...{ type: "rating", data: { rating: 1 }, meta: { message_id: "b" } },
    snapshot: { chat: { chat: { history: { messages } } } },
  };
}

const ones = "1".repeat(size);
const places: [what: string, read: () => unknown][] = [
  ["a number in Python's notation", () => parsePythonLiteral(`[${ones}x]`)],
  ["a number in a cell", () => numberInText(`${ones}x`)],
  ["a number on the command line", () => valueFromText({ type: "number" }, `${ones}x`)],
  ["a pasted table with empty lines", () => pastedRows(`a,b\n1,2${"\n".repeat(size)}x`)],
  ["a pasted table with empty lines at its end", () => pastedRows(`a,b\n1,2${" \n".repeat(size)}`)],
  ["the judge of a round", () => parseRound(`judge: "${"#".repeat(size)} x"\n`, "round.yaml")],
  [
    "blocks of Open WebUI that do not end",
    () =>
      feedbackRow({
        origin: { file: "x.jsonl", line: 1 },
        value: chat('<details type="reasoning"'.repeat(size / 2)),
      }),
  ],
  ["numbers with a text that does not end", () => parseNumbers(`NaN "${String.raw`\"`.repeat(size)}`)],
];
for (const [what, read] of places) test(`${what}, 100 KB of it`, () => endsSoon(what, read));

test("expressions of the user that do not end on a reply are refused with their file and what to write instead", () => {
  const read = verdictReader([String.raw`([AB]+)+\]`], "arena.yaml");
  assert.throws(
    () => read("a".repeat(60)),
    /^FormatError: arena\.yaml: expected regular expressions that read an answer of 60 characters within 1 s of processor time, got '\(\[AB\]\+\)\+\\\]'\. Use ones in which no part/,
  );
  assert.equal(read("[[A]]"), null);
});
