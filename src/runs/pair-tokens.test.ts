/** The file of pairs' tokens: sealed, and taken back to what it was at the checkpoint that a run resumes from. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { cutPairTokens, type PairTokens, readPairTokens, writePairTokens } from "./pair-tokens.ts";

const answer = { texts: ["a", " b"], before: [-1, Number.NEGATIVE_INFINITY], now: [-0.5, Number.NaN] };
const at = (step: number): PairTokens => ({
  start: 0,
  step,
  pairs: { "rows.jsonl:1": { chosen: answer, rejected: answer } },
});

let dir = "";
let path = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "preftune-pair-tokens-"));
  path = join(dir, "pair-tokens.json");
});
afterEach(() => rmSync(dir, { recursive: true }));

test("what is written is read; a file with a flipped bit, or none, is not", () => {
  assert.equal(readPairTokens(path), null);
  writePairTokens(path, at(4));
  assert.deepEqual(readPairTokens(path), at(4));
  writeFileSync(path, readFileSync(path, "utf8").replace("-0.5", "-0.7"));
  assert.equal(readPairTokens(path), null);
});

test("a file after the step of the checkpoint is put back from its copy, or removed; an earlier one stays", () => {
  cutPairTokens(path, 4, null);
  assert.equal(existsSync(path), false);
  writePairTokens(path, at(4));
  const copy = readFileSync(path, "utf8");
  cutPairTokens(path, 4, null);
  assert.equal(readFileSync(path, "utf8"), copy);
  writePairTokens(path, at(6));
  cutPairTokens(path, 4, copy);
  assert.deepEqual(readPairTokens(path), at(4));
  writePairTokens(path, at(6));
  cutPairTokens(path, 4, null);
  assert.equal(existsSync(path), false);
});
