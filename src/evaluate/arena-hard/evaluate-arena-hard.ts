/** `preftune evaluate arena-hard`: how often a model's answers win against a baseline's. */
import { at } from "../../base/at.ts";
import type { HubOptions } from "../../hub/hub.ts";
import { type JudgingOptions, namedAnswers, twoNames } from "../answers/answers.ts";
import { benchFile, openBench } from "../answers/bench-files.ts";
import { readQuestions } from "../answers/questions.ts";
import { openJudging } from "../judge/judging.ts";
import { type PairReport, pairReport } from "../judge/pair-report.ts";
import { judgePairs, pairTasks } from "../judge/pair-tasks.ts";
import { verdictReader } from "../judge/verdicts.ts";
import { readArenaPrompt } from "./arena-prompt.ts";

/** What is evaluated. Files that are null are looked for in `bench`, see `openBench`, by their published names. */
export interface ArenaHardOptions extends JudgingOptions {
  /** The model under test; see `parseAnswerer`. */
  answerer: string;
  /** Against whom; null: the answers of the published baseline in `bench`. */
  baseline: string | null;
  bench: string | null;
  hub?: HubOptions;
  questions: string | null;
  judgeConfig: string | null;
  judgeSettings: string | null;
  limit: number | null;
  /** How often a verdict "significantly better" counts. */
  strongWeight: number;
}

/** Arena-Hard's questions are answered at this temperature. */
const temperature = 0;

/**
 * Arena-Hard of a model.
 *
 * @throws {EndpointError} if the judge gives no answers; judgments and answers so far are kept
 */
export async function evaluateArenaHard(options: ArenaHardOptions): Promise<PairReport> {
  const { limit, strongWeight, concurrency, bootstrapRounds } = options;
  const bench = options.bench === null ? null : await openBench(options.bench, options.hub);
  const configPath = await benchFile(
    options.judgeConfig,
    bench,
    ["arena-hard-v0.1.yaml"],
    "--judge-config FILE",
  );
  const settingsPath = options.judgeSettings ?? (await bench?.find(["judge_settings.json"])) ?? null;
  const prompt = readArenaPrompt(configPath, settingsPath);
  const names = ["question_v0.1.jsonl", "question.jsonl"];
  const asked = await readQuestions(await benchFile(options.questions, bench, names, "--questions FILE"), {
    limit,
  });
  const baselineNames = ["answers_v0.1_gpt-4-0314.jsonl", "model_answer/gpt-4-0314.jsonl"];
  const baseline = await benchFile(options.baseline, bench, baselineNames, "--baseline ANSWERS");
  using judging = openJudging(options, prompt);
  const answered = await namedAnswers([options.answerer, baseline], asked, () => temperature, options);
  const { questions, unanswered } = answered;
  const [own, baselineAnswers] = [at(answered.answers, 0), at(answered.answers, 1)];
  const { judge, onJudged, report } = judging;
  const judged = await judgePairs(pairTasks(questions, own.answers, baselineAnswers.answers, prompt), {
    judge,
    read: verdictReader(prompt.patterns, prompt.where),
    concurrency,
    onJudged,
  });
  return pairReport("arena-hard", twoNames(own, baselineAnswers), judged, {
    judge: report(),
    unanswered,
    strongWeight,
    bootstrap: { rounds: bootstrapRounds },
  });
}
