/** Tests of report-page.ts and report-intervals.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { JudgedPair } from "./judged-pair.ts";
import { ratingFigures } from "./mt-bench.ts";
import { pairFigures } from "./pair-figures.ts";
import { judgeReportPage } from "./report-page.ts";
import type { JudgeReport, PairReport, RatingReport } from "./reports.ts";

const judge: JudgeReport = {
  model: "<judge>",
  endpoint: "http://127.0.0.1/v1",
  temperature: 0,
  maxTokens: 10,
  judgments: 4,
  cached: 0,
  unparsable: 1,
  refused: 0,
  cut: 0,
  askedAgain: 0,
  spent: { requests: 4, retries: 0, promptTokens: 40, completionTokens: 8, uncounted: 0 },
  cost: 0.5,
};
const style = { length: 10, headers: 0, bold: 0, lists: 0 };
const pairs: JudgedPair[] = [
  { id: "1", category: "x", turn: 1, verdicts: [1, 1], styles: [style, style] },
  { id: "2", category: "y&z", turn: 1, verdicts: [null, -1], styles: [style, style] },
];

test("a comparison: what comes from outside is escaped, figures and what is missing are told", () => {
  const report: PairReport = {
    benchmark: "arena-hard",
    models: ["<script>a</script>", "b"],
    questions: 2,
    judge,
    figures: pairFigures(pairs, { strongWeight: 3, bootstrap: { rounds: 20 } }),
    pairs,
  };
  const page = judgeReportPage(report);
  assert.ok(!page.includes("<script"));
  assert.match(page, /&#60;script&#62;a&#60;\/script&#62; against b<\/h1>/);
  assert.match(page, /<b>66\.7 %<\/b><span>Bradley–Terry win rate/);
  assert.match(page, /<b>1<\/b><span>pairs that lack a verdict/);
  assert.match(page, /wins and ties \/ 2: 100\.0 % \[100\.0 %, 100\.0 %\]/);
  assert.match(page, /y&#38;z/);
  assert.doesNotMatch(page, /NaN|undefined|https?:/);
});

test("ratings: a category without any has no dot", () => {
  const turn = { id: "1", turn: 1 as const, length: 5 };
  const figures = ratingFigures([
    { ...turn, category: "math", rating: 4 },
    { ...turn, id: "2", category: "stem", rating: null },
  ]);
  const report: RatingReport = {
    benchmark: "mt-bench",
    model: "m",
    questions: 2,
    judge,
    figures,
    turns: [],
  };
  const page = judgeReportPage(report);
  assert.match(page, /<b>4\.00<\/b><span>score, 4\.00 to 4\.00/);
  assert.equal(page.match(/<circle/g)?.length, 2, "one of maths and one of all");
  assert.match(page, /<b>1<\/b><span>turns without a rating/);
  assert.doesNotMatch(page, /NaN|undefined/);
});
