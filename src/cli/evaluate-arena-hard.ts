/** `preftune evaluate arena-hard`. */
import { Command } from "commander";
import { ANSWERER_FORMS } from "../judge/answerer.ts";
import { directoryOf, type JudgeWords, judgingOf, withJudgeOptions } from "./judge-options.ts";
import { finishJudging } from "./judge-output.ts";
import { wholeNumber } from "./options.ts";
import { Phases } from "./phases.ts";

interface Words extends JudgeWords {
  baseline?: string;
  bench?: string;
  questions?: string;
  judgeConfig?: string;
  judgeSettings?: string;
  limit?: number;
  strongWeight: number;
}

/** The command `arena-hard`, to be added to `evaluate`. */
export function arenaHardCommand(): Command {
  const command = new Command("arena-hard")
    .description("Arena-Hard: how often answers win against a baseline's, in both orders")
    .argument("<answers>", `who answers: ${ANSWERER_FORMS}`)
    .option("--baseline <answers>", "against whom; default: gpt-4-0314's published answers in --bench")
    .option("--bench <dir>", "Arena-Hard's files by their published names: directory or hub data set")
    .option("--questions <file>", "questions: file or hub data set")
    .option("--judge-config <file>", "the judge's prompt and patterns: YAML as published")
    .option("--judge-settings <file>", "the judge's system prompt: judge_settings.json as published")
    .option("--limit <count>", "only the first questions", wholeNumber(1))
    .option("--strong-weight <count>", "how often a verdict A>>B or B>>A counts", wholeNumber(1), 3);
  return withJudgeOptions(command, 4096).exitOverride().action(run);
}

async function run(answerer: string, words: Words): Promise<void> {
  const { evaluateArenaHard } = await import("../recipes/evaluate-arena-hard.ts");
  const dir = directoryOf(words, "arena-hard", [answerer]);
  const phases = new Phases();
  const report = await evaluateArenaHard({
    ...judgingOf(words, dir, phases),
    answerer,
    baseline: words.baseline ?? null,
    bench: words.bench ?? null,
    questions: words.questions ?? null,
    judgeConfig: words.judgeConfig ?? null,
    judgeSettings: words.judgeSettings ?? null,
    limit: words.limit ?? null,
    strongWeight: words.strongWeight,
  });
  phases.done();
  finishJudging(report, dir);
}
