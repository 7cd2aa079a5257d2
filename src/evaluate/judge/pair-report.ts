/** What comparing two models in pairs came to, for all commands that do. */

import { requireVerdicts } from "./judging.ts";
import { type PairFigureOptions, pairFigures } from "./pair-figures.ts";
import type { JudgedPairs } from "./pair-tasks.ts";
import type { JudgeReport, PairReport } from "./reports.ts";

/**
 * The report on judged pairs.
 *
 * @throws {EndpointError} when none has a verdict
 */
export function pairReport(
  benchmark: PairReport["benchmark"],
  models: PairReport["models"],
  { pairs, texts }: JudgedPairs,
  { judge, ...options }: PairFigureOptions & { judge: JudgeReport },
): PairReport {
  const verdicts = pairs.flatMap((pair) => pair.verdicts.filter((verdict) => verdict !== null)).length;
  requireVerdicts(verdicts, judge);
  const questions = new Set(pairs.map(({ id }) => id)).size;
  return { benchmark, models, questions, judge, figures: pairFigures(pairs, options), pairs, texts };
}
