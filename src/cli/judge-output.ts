/** What commands with a judge leave: results as JSON, and a table on the terminal. */
import type { RatingReport } from "../recipes/evaluate-mt-bench.ts";
import { writeResults } from "../recipes/judging.ts";
import type { PairReport } from "../recipes/pair-report.ts";
import { reportText } from "./judge-text.ts";

/** Writes the results, then shows them. */
export function finishJudging(report: RatingReport | PairReport, path: string): void {
  writeResults(path, report);
  process.stdout.write(`${reportText(report)}\n\n${path}\n`);
}
