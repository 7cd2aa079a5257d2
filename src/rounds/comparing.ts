/** The comparison at the end of a round: the trained model against the one that the round began with, on the fixed prompts. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { at } from "../base/at.ts";
import { DataError } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { type AnswerOptions, answersOf, type JudgingOptions } from "../evaluate/answers/answers.ts";
import { readQuestions } from "../evaluate/answers/questions.ts";
import { writeResults } from "../evaluate/judge/judged-texts.ts";
import { pairPage } from "../evaluate/judge/pair-report.ts";
import { evaluatePairwise } from "../evaluate/pairwise/evaluate-pairwise.ts";
import { isEvalRow, readMetrics } from "../runs/metrics.ts";
import { runPaths } from "../runs/run-directory.ts";
import { type Interval, shareInterval } from "../stats/bootstrap.ts";
import { openText } from "../text/open-text.ts";
import { inOrder, itemIdOf } from "../workbench/comparison.ts";
import { saidByPeople } from "../workbench/export-labels.ts";
import type { LabelStore } from "../workbench/label-store.ts";
import type { RoundSettings } from "../workbench/rounds/round-file.ts";
import { type AnsweredPrompt, comparisonOf, encoded, type RoundPrompt } from "./answers.ts";
import { winOf } from "./labelled.ts";
import { judgeSettings, type ScoringOptions, scoreGroups } from "./scoring.ts";
import type { NamedPlace } from "./start.ts";

/** How often the trained model was better. */
export interface Outcome extends Interval {
  /** Wins and half of the ties, as a fraction of `of`. */
  rate: number;
  of: number;
}

/** What a comparison came to. */
export interface Result {
  /** Null: nothing is known of any prompt. */
  outcome: Outcome | null;
  /** Prompts that are not in it: people skipped them, an answer has no reward, or the judge gave no verdict. */
  without: number;
}

/** What is compared. */
export interface Contest {
  settings: RoundSettings;
  /** The trained model, and the one before it. */
  models: readonly [NamedPlace, NamedPlace];
  /** The fixed prompts. */
  prompts: readonly RoundPrompt[];
  scoring: ScoringOptions;
  /** Where it is kept. */
  dir: string;
}

/** Compares by a judge behind an endpoint, as `preftune evaluate pairwise` does; results and report are in the contest's directory. */
export async function judgedContest(
  { settings, models, scoring, dir }: Contest,
  judge: string,
): Promise<Result> {
  const options: JudgingOptions = {
    ...answering({ settings, scoring, dir }),
    ...judgeSettings(settings, judge),
    ...{ answerKey: null, bootstrapRounds: 1000 },
  };
  const [a, b] = models;
  const report = await evaluatePairwise({
    ...options,
    answerers: [answererOf(a), answererOf(b)],
    names: [a.name, b.name],
    prompts: settings.eval_prompts,
    ...{ judgePrompts: null, limit: null, temperature: 0, strongWeight: 1 },
  });
  writeResults(dir, report, pairPage(report));
  const { outcomes, incomplete } = report.statistics;
  const { winRate, pairs } = outcomes;
  return { outcome: { rate: winRate.value, ...winRate.interval, of: pairs }, without: incomplete };
}

/**
 * Compares by reward functions or a reward model; the rewards of both answers are in `rewards.jsonl` of the contest's directory.
 *
 * @throws {DataError} where no prompt has a result
 */
export async function scoredContest(contest: Contest): Promise<Result> {
  await using text = await openText(contest.scoring.model, contest.scoring.text);
  const answered = await bothAnswers(contest);
  const groups = await encoded(text.encoder, answered);
  const scored = groups.filter(({ answers }) => answers.length === 2);
  const scores = await scoreGroups(scored, contest.settings, contest.scoring);
  const rewards = new Map(scored.map(({ index }, i) => [index, at(scores, i)]));
  const contests = answered.map(({ index, answers }, i) => ({
    ...{ index, answers, rewards: rewards.get(index) ?? answers.map(() => Number.NaN) },
    said: at(groups, i).answers,
  }));
  // JSON has no NaN: null
  const lines = contests.map(({ said: _, ...line }) => `${JSON.stringify(line)}\n`);
  writeFileAtomic(join(contest.dir, "rewards.jsonl"), lines.join(""));
  const result = resultOf(contests.map(wonBy));
  if (result.outcome !== null) return result;
  throw new DataError(
    `expected rewards of both answers to fixed prompts, got none of ${contests.length} prompts (${join(contest.dir, "rewards.jsonl")}). ` +
      "Run it again, or begin another round with rewards that score such answers.",
  );
}

/** Two answers to a prompt with their rewards, NaN where there is none. */
export interface ScoredAnswers {
  answers: readonly string[];
  rewards: readonly number[];
  /** Those of the answers that are not empty. */
  said: readonly string[];
}

/** What the first answer won: an empty one loses to one that is not, whatever its reward, else the greater reward wins; null: unknown. */
export function wonBy({ answers, rewards, said }: ScoredAnswers): number | null {
  const [own, before] = answers.every((answer) => said.includes(answer))
    ? rewards
    : answers.map((answer) => Number(said.includes(answer)));
  const won = (Math.sign((own ?? Number.NaN) - (before ?? Number.NaN)) + 1) / 2;
  return Number.isNaN(won) ? null : won;
}

/**
 * Compares by what people say, who do not know which is which. Equal answers are ties that nobody is asked about.
 *
 * @returns the result, or the number of pairs that wait for a judgment
 */
export async function peoplesContest(
  contest: Contest,
  store: LabelStore,
): Promise<Result | { open: number }> {
  const names = [contest.models[0].name, contest.models[1].name] as const;
  const groups = await bothAnswers(contest);
  const asked = groups.filter(({ answers }) => answers[0] !== answers[1]);
  const comparisons = asked.map((group) =>
    comparisonOf(group, [at(group.answers, 0), at(group.answers, 1)], names),
  );
  store.add(comparisons);
  const said = saidByPeople(store);
  const open = comparisons.filter((one) => (said.get(itemIdOf(one)) ?? null) === null).length;
  if (open > 0) return { open };
  const wins = comparisons.map((comparison) => {
    const won = winOf(said.get(itemIdOf(comparison)) ?? null);
    if (won === null) return null;
    return inOrder(comparison).answers[0] === comparison.answers[0] ? won : 1 - won;
  });
  const ties = new Array<number>(groups.length - asked.length).fill(0.5);
  return resultOf([...wins, ...ties]);
}

/** @param wins - of each prompt, null where nothing is known */
function resultOf(wins: readonly (number | null)[]): Result {
  const known = wins.filter((won) => won !== null);
  const [of, without] = [known.length, wins.length - known.length];
  if (of === 0) return { outcome: null, without };
  const won = known.reduce((sum, one) => sum + one, 0);
  return { outcome: { rate: won / of, of, ...shareInterval(won, of) }, without };
}

/** The answers of both models to the fixed prompts, the trained one's first. */
async function bothAnswers({ settings, models, prompts, scoring, dir }: Contest): Promise<AnsweredPrompt[]> {
  const questions = await readQuestions(settings.eval_prompts);
  const options: AnswerOptions = {
    ...answering({ settings, scoring, dir }),
    concurrency: settings.concurrency,
    openEndpoint: () => {
      throw new Error("both models are on this disk");
    },
  };
  const [own, before] = models;
  const ofOwn = await answersOf({ kind: "model", ...own }, questions, () => 0, options);
  const ofBefore = await answersOf({ kind: "model", ...before }, questions, () => 0, options);
  return questions.map(({ id }, i) => ({
    ...{ index: i, ...at(prompts, i) },
    answers: [ofOwn, ofBefore].map(({ answers }) => answers.get(id)?.[0] ?? ""),
  }));
}

function answererOf({ model, adapter }: NamedPlace): string {
  return adapter === null ? model : `${model}+${adapter}`;
}

/** How answers are made. */
function answering({ settings, scoring, dir }: Pick<Contest, "settings" | "scoring" | "dir">) {
  return {
    ...scoring.environment,
    ...{ maxNewTokens: settings.max_completion_length, seed: settings.seed },
    ...scoring.text,
    ...{ dir, onPhase: scoring.onPhase },
  };
}

/** How held-out answers moved since the run's start, nats per token, by its last evaluation; null: it had no held-out pairs. */
export function displacementOf(run: string): { chosen: number; rejected: number } | null {
  const { metrics } = runPaths(run);
  const last = existsSync(metrics) ? readMetrics(metrics).findLast(isEvalRow) : undefined;
  const chosen = last?.["eval_logps/chosen_delta_init"];
  const rejected = last?.["eval_logps/rejected_delta_init"];
  return typeof chosen === "number" && typeof rejected === "number" ? { chosen, rejected } : null;
}
