import assert from "node:assert/strict";
import { test } from "node:test";
import type { PreflightReport } from "../data/preflight.ts";
import { leftOutText } from "./score-command.ts";

function counts(changes: Partial<PreflightReport["counts"]>): Pick<PreflightReport, "counts"> {
  const none = { read: 8, train: 8, evaluation: 0, dropped: {}, notDrawn: 0, stoppedAtMaxRows: false };
  return {
    counts: {
      ...none,
      truncatedRows: 0,
      truncatedTokens: 0,
      endsLost: 0,
      ...changes,
    } as PreflightReport["counts"],
  };
}

test("rows that were not scored, or cut, are told with their number and reason", () => {
  assert.equal(leftOutText(counts({})), "");
  assert.equal(
    leftOutText(counts({ dropped: { too_long: 2, empty_answer: 1, other: 0 } })),
    "3 of 8 rows were left out: 2 too_long, 1 empty_answer\n",
  );
  assert.equal(
    leftOutText(counts({ truncatedRows: 2, truncatedTokens: 31 })),
    "2 rows were cut by 31 tokens\n",
  );
});
