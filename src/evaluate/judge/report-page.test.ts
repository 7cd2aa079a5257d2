/** Tests of the pages of pair-report.ts and rating-report.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ratingStatistics } from "../mt-bench/mt-bench.ts";
import type { RatingReport } from "../mt-bench/rating-report.ts";
import { ratingPage } from "../mt-bench/rating-report.ts";
import type { JudgeReport } from "./judge.ts";
import type { JudgedPair } from "./judged-pair.ts";
import type { JudgedText } from "./judged-texts.ts";
import type { PairReport } from "./pair-report.ts";
import { pairPage } from "./pair-report.ts";
import { pairStatistics } from "./pair-statistics.ts";
import { facts } from "./report-html.ts";
import { judgeLines } from "./report-text.ts";

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
  firstRefusal: "status 422: max_tokens <4096> is too much",
  firstUnparsable: null,
  spent: { requests: 4, retries: 0, promptTokens: 40, completionTokens: 8, uncounted: 0, unanswered: 0 },
  cost: 0.5,
};
const style = { length: 10, headers: 0, bold: 0, lists: 0 };
const pairs: JudgedPair[] = [
  { id: "1", category: "x", turn: 1, verdicts: [1, 1], styles: [style, style] },
  { id: "2", category: "y&z", turn: 1, verdicts: [null, -1], styles: [style, style] },
];

const said = { id: "1", category: "x", turn: 1, question: "Which?", answers: ["a", "x".repeat(4500)] };
const texts: JudgedText[] = [
  {
    ...said,
    judgments: [
      { first: "A", verdict: "A>B", reason: null, text: "[[A>B]]" },
      { first: "B", verdict: "A>>B", reason: null, text: "[[B>>A]]" },
    ],
  },
  {
    ...said,
    id: "2",
    category: "y&z",
    answers: ["<img src=x onerror=alert(1)>\u001b[31mred", "b"],
    judgments: [
      { first: "A", verdict: null, reason: "unparsable", text: "no <idea>" },
      { first: "B", verdict: "B>A", reason: null, text: "[[A>B]]" },
    ],
  },
];

test("a comparison: what comes from outside is escaped, statistics and what is missing are told", () => {
  const report: PairReport = {
    benchmark: "arena-hard",
    models: ["<script>a</script>", "b"],
    questions: 2,
    unanswered: 0,
    judge,
    statistics: pairStatistics(pairs, { strongWeight: 3, bootstrap: { rounds: 20 } }),
    pairs,
    texts,
  };
  const page = pairPage(report);
  assert.ok(!page.includes("<script"));
  assert.match(page, /&#60;script&#62;a&#60;\/script&#62; against b<\/h1>/);
  assert.match(page, /<b>66\.7 %<\/b><span>Bradley–Terry win rate/);
  assert.match(page, /<b>1<\/b><span>pairs that lack a verdict/);
  assert.match(page, /wins and ties \/ 2: 100\.0 % \[2\.5 %, 100\.0 %\]/);
  assert.match(page, /y&#38;z/);
  assert.doesNotMatch(page, /NaN|undefined|https?:/);
  assert.match(page, /requests were refused, the first: status 422: max_tokens &#60;4096&#62; is too much/);
  // the pair without a verdict comes first
  assert.match(
    page,
    /Question 2, y&#38;z, turn 1: no verdict, B&#62;A<\/summary>[\s\S]*Question 1, x, turn 1: A&#62;B, A&#62;&#62;B</,
  );
  assert.match(
    page,
    /&#60;img src=x onerror=alert\(1\)&#62;·\[31mred/,
    "an answer's tags and control characters",
  );
  assert.match(page, /Judge, &#60;script&#62;a&#60;\/script&#62; shown first: no verdict could be read/);
  assert.match(page, /Judge, b shown first: B&#62;A/);
  assert.match(page, /x{4000}… \(500 more characters\)/);
});

test("ratings: a category without any has no dot", () => {
  const turn = { id: "1", turn: 1 as const, length: 5 };
  const statistics = ratingStatistics([
    { ...turn, category: "math", rating: 4 },
    { ...turn, id: "2", category: "stem", rating: null },
  ]);
  const report: RatingReport = {
    benchmark: "mt-bench",
    model: "m",
    questions: 2,
    unanswered: 3,
    judge,
    statistics,
    turns: [],
    texts: Array.from({ length: 201 }, (_, i) => ({
      id: `q${i}`,
      category: null,
      turn: 1,
      question: "What?",
      answers: [i === 7 ? " " : "That."],
      judgments: [
        i === 200
          ? { first: null, verdict: null, reason: "refused" as const, text: "status 400" }
          : { first: null, verdict: 4, reason: null, text: "Rating: [[4]]" },
      ],
    })),
  };
  const page = ratingPage(report);
  assert.match(page, /<b>4\.00<\/b><span>score, 1\.08 to 9\.85/);
  assert.equal(page.match(/<circle/g)?.length, 2, "one of maths and one of all");
  assert.match(page, /<b>1<\/b><span>turns without a rating/);
  assert.match(page, />2 questions \(3 more refused\), rated from 1 to 10 by/);
  assert.doesNotMatch(page, /NaN|undefined/);
  assert.match(
    page,
    /200 of 201, those without a verdict first\. judgments\.jsonl beside this page has all of them/,
  );
  assert.match(
    page,
    /Question q200, turn 1: no verdict<[\s\S]*Judge: refused<\/span><div class="answer">status 400</,
  );
  assert.match(page, /Question q198, turn 1: 4</);
  assert.doesNotMatch(page, /Question q199/, "left out, as the text says");
  assert.equal(page.match(/>empty</g)?.length, 1);
});

test("a cost is the least where requests were sent and not answered", () => {
  const lost = { ...judge, spent: { ...judge.spent, unanswered: 2 } };
  const costOf = (one: JudgeReport) => facts([], one).rows.find(([name]) => /^cost/.test(String(name)))?.[0];
  assert.deepEqual([costOf(judge), costOf(lost)], ["cost of this run", "cost of this run, at least"]);
  assert.match(judgeLines(judge).join("\n"), / 8 written, cost 0\.5000$/);
  assert.match(
    judgeLines(lost).join("\n"),
    / 8 written, 2 requests without an answer, cost at least 0\.5000$/,
  );
});
