/** What evaluations with a judge come to: the forms of results.json, and beside them what people read. */

import type { RatedTurn, RatingFigures } from "../mt-bench/mt-bench.ts";
import type { JudgeCounts } from "./judge.ts";
import type { JudgedPair } from "./judged-pair.ts";
import type { JudgedText } from "./judged-texts.ts";
import type { PairFigures } from "./pair-figures.ts";

/** A judge's settings and the outcome of its requests. */
export interface JudgeReport extends JudgeCounts {
  model: string;
  endpoint: string;
  temperature: number;
  maxTokens: number;
  /** In the currency of the prices; null without prices or without counts of tokens. */
  cost: number | null;
}

/** Ratings of one model. */
export interface RatingReport {
  benchmark: "mt-bench";
  model: string;
  questions: number;
  judge: JudgeReport;
  figures: RatingFigures;
  turns: readonly RatedTurn[];
  /** Answers and judgments in words, in the order of the turns; not in results.json but in judgments.jsonl. */
  texts: readonly JudgedText[];
}

/** A comparison of two models. */
export interface PairReport {
  benchmark: "mt-bench" | "arena-hard" | "pairwise";
  /** A, whose wins are counted, and B. */
  models: readonly [a: string, b: string];
  questions: number;
  judge: JudgeReport;
  figures: PairFigures;
  pairs: readonly JudgedPair[];
  /** Answers and judgments in words, in the order of the pairs; not in results.json but in judgments.jsonl. */
  texts: readonly JudgedText[];
}
