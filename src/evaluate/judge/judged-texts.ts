/** Questions with their answers and what the judge wrote about them, to be read: judgments.jsonl and the report. */
import { join } from "node:path";
import { writeFileAtomic } from "../../base/files.ts";
import type { Judgment, NoVerdict } from "./judge.ts";
import type { PairVerdict } from "./verdicts.ts";

/** A question with its answers, as text. */
export interface JudgedMaterial {
  id: string;
  category: string | null;
  /** Turn of the conversation, from 1. */
  turn: number;
  question: string;
  /** The answer that is rated, or A's and B's. */
  answers: readonly string[];
}

/** A judgment as text. */
export interface JudgmentText {
  /** Whose answer was shown first; null where only one was. */
  first: "A" | "B" | null;
  /** A rating, or who is better: "A>>B" to "B>>A" with A the first model, whatever the order; null without a verdict. */
  verdict: number | string | null;
  /** Why there is no verdict. */
  reason: NoVerdict | null;
  /** What the judge wrote; of a refused request, what the endpoint said. */
  text: string;
}

/** Material with its judgments. */
export interface JudgedText extends JudgedMaterial {
  judgments: readonly JudgmentText[];
}

/** Writes `dir/judgments.jsonl`, a line for each question and turn, and gives its path. */
export function writeJudgments(dir: string, texts: readonly JudgedText[]): string {
  const path = join(dir, "judgments.jsonl");
  writeFileAtomic(path, texts.map((text) => `${JSON.stringify(text)}\n`).join(""));
  return path;
}

/**
 * Writes what judging came to: `results.json` (statistics that are not known are null), answers and judgments to be read (a JSON line
 * a question and turn), and `page` as `report.html`. Gives their paths.
 */
export function writeResults(
  dir: string,
  { texts, ...results }: { texts: readonly JudgedText[] },
  page: string,
): string[] {
  const path = join(dir, "results.json");
  const report = join(dir, "report.html");
  writeFileAtomic(path, `${JSON.stringify(results, null, 2)}\n`);
  const readable = writeJudgments(dir, texts);
  writeFileAtomic(report, page);
  return [path, readable, report];
}

const labels: Readonly<Record<PairVerdict, string>> = {
  [2]: "A>>B",
  [1]: "A>B",
  [0]: "A=B",
  [-1]: "B>A",
  [-2]: "B>>A",
};

/** A rating to be read. */
export function ratingText({ verdict, reason, text }: Judgment<number>): JudgmentText {
  return { first: null, verdict, reason, text };
}

/** A verdict on a pair to be read, seen from A. */
export function pairText(first: "A" | "B", { verdict, reason, text }: Judgment<PairVerdict>): JudgmentText {
  return { first, verdict: verdict === null ? null : labels[verdict], reason, text };
}

/** The material alone, without what else a task has. */
export function materialOf({ id, category, turn, question, answers }: JudgedMaterial): JudgedMaterial {
  return { id, category, turn, question, answers };
}
