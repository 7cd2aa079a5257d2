/** What commands with a judge leave: results as JSON, a report as HTML, and a table on the terminal. */
import { join } from "node:path";
import { writeFileAtomic } from "../base/files.ts";
import { judgeReportPage } from "../judge/report-page.ts";
import type { PairReport, RatingReport } from "../judge/reports.ts";
import { reportText } from "./judge-text.ts";

/** Writes the results (figures that are not known are null) and the report, then shows the figures. */
export function finishJudging(report: RatingReport | PairReport, dir: string, output?: string): void {
  const results = output ?? join(dir, "results.json");
  const page = join(dir, "report.html");
  writeFileAtomic(results, `${JSON.stringify(report, null, 2)}\n`);
  writeFileAtomic(page, judgeReportPage(report));
  process.stdout.write(`${reportText(report)}\n\n${results}\n${page}\n`);
}
