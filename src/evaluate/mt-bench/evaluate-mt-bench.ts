/** `preftune evaluate mt-bench`: ratings of a model's answers, or a comparison with another's. */
import { at } from "../../base/at.ts";
import type { HubOptions } from "../../hub/hub.ts";
import { type Answers, matchAnswers, readAnswerFile } from "../answers/answer-rows.ts";
import { type JudgingOptions, namedAnswers, twoNames } from "../answers/answers.ts";
import { type Bench, benchFile, openBench } from "../answers/bench-files.ts";
import { type Question, readQuestions } from "../answers/questions.ts";
import { forEachAtOnce } from "../endpoint/at-once.ts";
import { type JudgedText, materialOf, ratingText } from "../judge/judged-texts.ts";
import { type Judging, openJudging, requireVerdicts } from "../judge/judging.ts";
import { type PairReport, pairReport } from "../judge/pair-report.ts";
import { judgePairs } from "../judge/pair-tasks.ts";
import { readLetter, readRating } from "../judge/verdicts.ts";
import {
  type MtBenchMaterial,
  mtBenchPairTasks,
  mtBenchTemperature,
  needsReference,
  type RatedTurn,
  ratingStatistics,
  ratingTasks,
} from "./mt-bench.ts";
import { readJudgePrompts } from "./mt-bench-prompts.ts";
import type { RatingReport } from "./rating-report.ts";

/** What is evaluated. Files that are null are looked for in `bench`, see `openBench`, by their published names. */
export interface MtBenchOptions extends JudgingOptions {
  /** The model under test; see `parseAnswerer`. */
  answerer: string;
  /** With whom it is compared in pairs; null: it is rated alone. */
  against: string | null;
  bench: string | null;
  hub?: HubOptions;
  questions: string | null;
  references: string | null;
  judgePrompts: string | null;
  limit: number | null;
  categories: readonly string[] | null;
}

/**
 * MT-Bench of a model.
 *
 * @throws {EndpointError} if the judge gives no answers; judgments and answers so far are kept
 */
export async function evaluateMtBench(options: MtBenchOptions): Promise<RatingReport | PairReport> {
  const read = await readMaterial(options);
  using judging = openJudging(options);
  const answerers = [options.answerer, ...(options.against === null ? [] : [options.against])];
  const answered = await namedAnswers(answerers, read.questions, mtBenchTemperature, options);
  const { answers, questions, unanswered } = answered;
  const material = { ...read, questions };
  const own = at(answers, 0);
  const opponent = answers[1];
  if (opponent === undefined) {
    return { ...(await rate({ material, judging, options }, own.name, own.answers)), unanswered };
  }
  const tasks = mtBenchPairTasks(material, own.answers, opponent.answers);
  const { judge, onJudged, report } = judging;
  const { concurrency, bootstrapRounds } = options;
  const judged = await judgePairs(tasks, { judge, read: readLetter, concurrency, onJudged });
  return pairReport("mt-bench", twoNames(own, opponent), judged, {
    judge: report(),
    unanswered,
    strongWeight: 1,
    bootstrap: { rounds: bootstrapRounds },
  });
}

async function rate(
  { material, judging, options }: { material: MtBenchMaterial; judging: Judging; options: MtBenchOptions },
  model: string,
  answers: Answers,
): Promise<Omit<RatingReport, "unanswered">> {
  const tasks = ratingTasks(material, answers);
  const turns: RatedTurn[] = tasks.map(({ id, category, turn, length }) => {
    return { id, category, turn, length, rating: null };
  });
  const texts: JudgedText[] = tasks.map((task) => ({ ...materialOf(task), judgments: [] }));
  let done = 0;
  await forEachAtOnce(tasks, options.concurrency, async ({ messages }, i) => {
    const judgment = await judging.judge.verdict(messages, readRating);
    at(turns, i).rating = judgment.verdict;
    at(texts, i).judgments = [ratingText(judgment)];
    judging.onJudged(++done, tasks.length);
  });
  const statistics = ratingStatistics(turns, { rounds: options.bootstrapRounds });
  const judge = judging.report();
  requireVerdicts(statistics.overall.ratings, judge);
  const questions = material.questions.length;
  return { benchmark: "mt-bench", model, questions, judge, statistics, turns, texts };
}

async function readMaterial(options: MtBenchOptions): Promise<MtBenchMaterial> {
  const { limit, categories } = options;
  const bench = options.bench === null ? null : await openBench(options.bench, options.hub);
  const promptPath = await benchFile(
    options.judgePrompts,
    bench,
    ["judge_prompts.jsonl"],
    "--judge-prompts FILE",
  );
  const questionPath = await benchFile(options.questions, bench, ["question.jsonl"], "--questions FILE");
  const questions = await readQuestions(questionPath, { limit, categories });
  const prompts = await readJudgePrompts(promptPath);
  return {
    questions,
    prompts,
    promptPath,
    references: await readReferences(options.references, bench, questions),
  };
}

async function readReferences(
  given: string | null,
  bench: Bench | null,
  questions: readonly Question[],
): Promise<Answers> {
  const graded = questions.filter(needsReference);
  if (graded.length === 0) return new Map();
  const names = ["reference_answer_gpt-4.jsonl", "reference_answer/gpt-4.jsonl"];
  const path = await benchFile(given, bench, names, "--references FILE");
  // a question without its reference cannot be graded
  return matchAnswers({ ...(await readAnswerFile(path)), refused: new Map() }, graded, path);
}
