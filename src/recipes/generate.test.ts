/** The day that templates take as today, on ranks whose clocks differ and from an unfinished output. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../../test/support/tiny-models.ts";
import type { Together } from "../base/ranks.ts";
import { dayOf } from "./generate.ts";

/** Rank 1 of two, of which rank 0 gives `firsts`, in their order. */
function secondRank(firsts: readonly unknown[]): Together {
  const left = [...firsts];
  return { rank: 1, size: 2, gather: <T>(value: T) => [left.shift() as T, value] };
}

test("without an unfinished output all ranks take rank 0's day, whatever their clocks say", () => {
  using dir = temporaryDirectory();
  const ranks = secondRank([null, { value: "1999-12-31" }]);
  assert.equal(dayOf(join(dir.path, "answers.jsonl"), ranks), "1999-12-31");
});

test("an unfinished output keeps the day on which it began, that of another rank too", () => {
  using dir = temporaryDirectory();
  const output = join(dir.path, "answers.jsonl");
  assert.equal(dayOf(output, secondRank(["2001-02-03"])), "2001-02-03");
  writeFileSync(`${output}.partial`, `${JSON.stringify({ day: "2000-01-02" })}\n`);
  assert.equal(dayOf(output, secondRank([null])), "2000-01-02");
});
