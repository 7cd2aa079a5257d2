/** `preftune evaluate pairwise`: two models or files of answers, on any prompts. */
import { dirname, extname, join } from "node:path";
import { at } from "../../base/at.ts";
import { type JudgingOptions, type NamedAnswers, namedAnswers, twoNames } from "../answers/answers.ts";
import { type Question, readQuestions } from "../answers/questions.ts";
import { readArenaPrompt } from "../arena-hard/arena-prompt.ts";
import type { PairPrompt } from "../judge/judge-prompts.ts";
import { openJudging } from "../judge/judging.ts";
import { type PairReport, pairReport } from "../judge/pair-report.ts";
import { judgePairs, OWN_PAIR_PROMPT, type PairTask, pairTasks } from "../judge/pair-tasks.ts";
import { type PairVerdict, readLetter, verdictReader } from "../judge/verdicts.ts";
import { mtBenchPairTasks } from "../mt-bench/mt-bench.ts";
import { readJudgePrompts } from "../mt-bench/mt-bench-prompts.ts";

/** What is compared. */
export interface PairwiseOptions extends JudgingOptions {
  /** The model under test; see `parseAnswerer`. */
  answerers: readonly [a: string, b: string];
  /** What they are called; left out: by their paths. */
  names?: readonly [a: string, b: string];
  /** File of prompts; see `readQuestions`. */
  prompts: string;
  /**
   * Prompts for the judge: MT-Bench's file (`.jsonl`), of which `pair-v2` and `pair-v2-multi-turn` serve; Arena-Hard's
   * (`.yaml`, with judge_settings.json beside it); null: preftune's own.
   */
  judgePrompts: string | null;
  limit: number | null;
  /** Temperature of the answers where a prompt names none. */
  temperature: number;
  strongWeight: number;
}

/** How pairs are put before the judge. */
interface Format {
  tasks: (questions: readonly Question[], a: NamedAnswers, b: NamedAnswers) => PairTask[];
  read: (answer: string) => PairVerdict | null;
  /** How the judge is asked; absent: as MT-Bench does. */
  settings?: PairPrompt;
}

/**
 * Compares two models.
 *
 * @throws {EndpointError} if the judge gives no answers; judgments and answers so far are kept
 */
export async function evaluatePairwise(options: PairwiseOptions): Promise<PairReport> {
  const { answerers, limit, concurrency, strongWeight, bootstrapRounds } = options;
  const { tasks, read, settings } = await formatOf(options.judgePrompts);
  const asked = await readQuestions(options.prompts, { limit });
  const temperatureOf = ({ temperature }: Question): number => temperature ?? options.temperature;
  using judging = openJudging(options, settings);
  const { answers, questions, unanswered } = await namedAnswers(answerers, asked, temperatureOf, options);
  const [a, b] = [at(answers, 0), at(answers, 1)];
  const { judge, onJudged, report } = judging;
  const judged = await judgePairs(tasks(questions, a, b), { judge, read, concurrency, onJudged });
  return pairReport("pairwise", options.names ?? twoNames(a, b), judged, {
    judge: report(),
    unanswered,
    strongWeight,
    bootstrap: { rounds: bootstrapRounds },
  });
}

async function formatOf(path: string | null): Promise<Format> {
  if (path === null) return fiveVerdicts(OWN_PAIR_PROMPT);
  if ([".yaml", ".yml"].includes(extname(path))) {
    return fiveVerdicts(readArenaPrompt(path, join(dirname(path), "judge_settings.json")));
  }
  const prompts = await readJudgePrompts(path);
  return {
    read: readLetter,
    tasks: (questions, a, b) =>
      mtBenchPairTasks({ questions, prompts, promptPath: path, references: null }, a.answers, b.answers),
  };
}

function fiveVerdicts(prompt: PairPrompt): Format {
  return {
    settings: prompt,
    read: verdictReader(prompt.patterns, prompt.where),
    tasks: (questions, a, b) => pairTasks(questions, a.answers, b.answers, prompt),
  };
}
