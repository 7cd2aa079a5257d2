/**
 * A judge's view of a study: the answers that each run's watch sampled, against those of the condition it is compared
 * with, prompt by prompt and seed by seed.
 */

import { basename } from "node:path";
import { EndpointError, type PhaseListener } from "preftune";
import {
  type JudgeSettings,
  judgePairs,
  OWN_PAIR_PROMPT,
  openJudging,
  outcomeOf,
  type PairTask,
  pairTasks,
  type Question,
  verdictReader,
  writeJudgments,
} from "preftune/judge";
import {
  type ConditionPair,
  countText,
  type Estimate,
  exportedSamples,
  intervalText,
  type MeasuredRun,
  meanInterval,
  type PairTable,
  type ReportSection,
  type ResultRow,
  twinsOf,
} from "preftune/sweep";

/** Who judges a study's answers. */
export interface StudyJudge extends JudgeSettings {
  onPhase?: PhaseListener;
}

/** How a condition came out: a value for each seed and prompt. */
interface JudgedComparison extends ConditionPair {
  /** 1 won in both orders, 0 lost in both, 0.5 otherwise; NaN without both verdicts. */
  wins: PairTable;
}

const title = "What a judge prefers";

/**
 * Asks `judge` and says how often each condition wins. Judgments are kept in the study's folder and not asked for again.
 * A judge that gives no answers costs the study nothing but this section, which then says so.
 *
 * @param dir - the study's folder
 * @param judge - null for none: then there is no section
 */
export async function judgedSections(
  contests: readonly ConditionPair[],
  dir: string,
  judge: StudyJudge | null,
): Promise<ReportSection[]> {
  if (judge === null) return [];
  try {
    return [await judged(contests, dir, judge)];
  } catch (error) {
    if (!(error instanceof EndpointError)) throw error;
    const sentence = `No win rates: ${error.message} The judgments so far are kept; the same command asks for the others again.`;
    return [{ title, sentences: [sentence] }];
  }
}

/** Two runs of one seed, and what the judge is asked of them. */
interface Match {
  contest: number;
  tasks: PairTask[];
  /** By prompt: whether the two answers are the same, which needs no judge. */
  isSame: boolean[];
}

async function judged(
  contests: readonly ConditionPair[],
  dir: string,
  settings: StudyJudge,
): Promise<ReportSection> {
  const all = contests.flatMap((contest, i) =>
    twinsOf(contest).map(({ run, twin }) => ({
      ...matchOf(firstAnswers(run), firstAnswers(twin), i),
      runs: `${run.trial.id} against ${twin.trial.id}`,
    })),
  );
  // of a model that was exported from another step or scale than any evaluation's there are no answers
  const matches = all.filter(({ tasks }) => tasks.length > 0);
  const lost = all.length - matches.length;
  const lack =
    lost === 0 ? "" : ` ${lost} of ${all.length} comparisons have no answers of both exported models.`;
  const asked = matches.flatMap(({ tasks, isSame }) => tasks.filter((_, i) => isSame[i] === false));
  using judging = openJudging({ ...settings, dir }, OWN_PAIR_PROMPT);
  const { pairs, texts } = await judgePairs(asked, {
    judge: judging.judge,
    read: verdictReader(OWN_PAIR_PROMPT.patterns, OWN_PAIR_PROMPT.where),
    concurrency: settings.concurrency,
    onJudged: judging.onJudged,
  });
  const between = matches.flatMap(({ tasks, isSame, runs }) =>
    tasks.flatMap(({ id }, i) => (isSame[i] === false ? [`${runs}, prompt ${id}`] : [])),
  );
  const readable = writeJudgments(
    dir,
    texts.map((text, i) => ({ ...text, id: between[i] ?? text.id })),
  );
  let next = 0;
  const rows = matches.map(({ isSame }) =>
    Float64Array.from(isSame, (same) => {
      if (same) return 0.5;
      const pair = pairs[next++];
      return (pair === undefined ? null : outcomeOf(pair)) ?? Number.NaN;
    }),
  );
  const judgedComparisons = contests.map((contest, i) => ({
    ...contest,
    wins: rows.filter((_, m) => matches[m]?.contest === i),
  }));
  const { model, unparsable, refused, judgments, firstRefusal } = judging.report();
  const without =
    unparsable + refused === 0
      ? ""
      : ` ${unparsable + refused} of ${judgments} judgments have no verdict and count nowhere.` +
        (firstRefusal === null ? "" : ` The first refusal: ${firstRefusal}`);
  return sectionOf(
    judgedComparisons,
    `Judge: ${model}.${without}${lack} Answers and judgments can be read in ${basename(readable)}.`,
  );
}

function matchOf(
  own: ReadonlyMap<string, string>,
  base: ReadonlyMap<string, string>,
  contest: number,
): Match {
  const prompts = [...own.keys()].filter((prompt) => base.has(prompt));
  const questions = prompts.map(
    (prompt, i): Question => ({
      id: String(i),
      isNamed: false,
      where: "watched prompt",
      category: null,
      messages: [{ role: "user", content: prompt }],
      followUps: [],
      temperature: null,
    }),
  );
  const answers = (of: ReadonlyMap<string, string>): Map<string, string[]> =>
    new Map(prompts.map((prompt, i) => [String(i), [of.get(prompt) as string]]));
  return {
    contest,
    tasks: pairTasks(questions, answers(own), answers(base), OWN_PAIR_PROMPT),
    isSame: prompts.map((prompt) => own.get(prompt) === base.get(prompt)),
  };
}

/** The first answer of the exported model to each prompt. */
function firstAnswers(run: MeasuredRun): Map<string, string> {
  return new Map(
    exportedSamples(run).flatMap(({ prompt, answers: [first] }) => (first ? [[prompt, first.text]] : [])),
  );
}

function sectionOf(judgedComparisons: readonly JudgedComparison[], sentence: string): ReportSection {
  const rows = judgedComparisons.map(({ condition, base, wins }) => ({
    name: condition.name,
    base: base.name,
    interval: meanInterval(wins, { isShare: true }),
    open: wins.reduce((sum, row) => sum + row.filter(Number.isNaN).length, 0),
  }));
  const text = (interval: Estimate): string =>
    Number.isNaN(interval.value) ? "–" : intervalText(interval, "share");
  return {
    title,
    note:
      "The first sampled answer to each watched prompt, judged in both orders against the answer of the other condition with the same seed. A win in both " +
      "orders counts 1, a loss in both 0, anything else 0.5, as two answers that are the same do. Intervals are over seeds and prompts; above 0.5 is better than the other.",
    tables: [
      {
        columns: ["", "against", "win rate", "without a verdict", "seeds × prompts"],
        rows: rows.map(({ name, base, interval, open }) => [
          name,
          base,
          text(interval),
          String(open),
          countText(interval),
        ]),
      },
    ],
    intervals: [{ title: "Win rate", unit: "share", rows }],
    sentences: [
      sentence,
      ...rows.map(({ name, base, interval }) => `${name} against ${base}: win rate ${text(interval)}.`),
    ],
    rows: rows.map(
      ({ name, base, interval }): ResultRow => ({
        condition: name,
        minus: base,
        metric: "win_rate",
        unit: "share",
        interval,
      }),
    ),
  };
}
