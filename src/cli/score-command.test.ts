import assert from "node:assert/strict";
import { test } from "node:test";
import type { PreflightReport } from "../data/preflight.ts";
import { accuracyOf } from "../online/reward-accuracy.ts";
import { leftOutText, rewardText } from "./score-command.ts";

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

test("the accuracy of rewards stands beside that of the longer answer, each with its interval", () => {
  const row = (chosen: number, rejected: number, longer: number) => ({
    ...{ file: "a.jsonl", line: 1, "reward/chosen": chosen, "reward/rejected": rejected },
    ...{ "num_tokens/chosen": 10 + longer, "num_tokens/rejected": 10 },
  });
  // 3 of 4 right, a tie is wrong; longer in 1, shorter in 2, alike in 1
  const figures = accuracyOf([row(2, 1, 5), row(1, 0, -5), row(-1, -2, 0), row(3, 3, -1)]);
  // right where it is longer (1 of 1); where it is shorter in 1 of 2
  assert.deepEqual([figures.accuracyOfLonger, figures.accuracyOfShorter], [1, 0.5]);
  assert.deepEqual([figures.pairs, figures.accuracy, figures.lengthAccuracy], [4, 0.75, 0.375]);
  // Wilson's interval of 3 of 4
  assert.match(
    rewardText(figures),
    /in 75\.0 % of 4 pairs \(95 %: 30\.1 to 95\.4\); it is the longer one in 37\.5 %.*difference 0\.0 to 87\.5 points\nwhere it is the longer one the reward is right in 100\.0 %, where it is the shorter one in 50\.0 %\n$/,
  );
});
