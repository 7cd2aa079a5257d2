/** What commands with a judge leave: results and judgments as JSON, a report as HTML, and a table on the terminal. */
import { join } from "node:path";
import { writeFileAtomic } from "../base/files.ts";
import { writeJudgments } from "../evaluate/judge/judged-texts.ts";
import { judgeReportPage } from "../evaluate/judge/report-page.ts";
import type { PairReport, RatingReport } from "../evaluate/judge/reports.ts";
import { reportText } from "./judge-text.ts";
import { finishFirst } from "./leave.ts";

/**
 * Writes the results (figures that are not known are null), answers and judgments to be read (a JSON line a question and
 * turn), and the report, then shows the figures.
 */
export function finishJudging(report: RatingReport | PairReport, dir: string): void {
  const results = join(dir, "results.json");
  const page = join(dir, "report.html");
  const { texts, ...figures } = report;
  finishFirst();
  writeFileAtomic(results, `${JSON.stringify(figures, null, 2)}\n`);
  const readable = writeJudgments(dir, texts);
  writeFileAtomic(page, judgeReportPage(report));
  process.stdout.write(`${reportText(report)}\n\n${results}\n${readable}\n${page}\n`);
}
