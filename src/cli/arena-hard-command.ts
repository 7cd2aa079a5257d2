/** `preftune evaluate arena-hard`. */
import { Command } from "commander";
import { ANSWERER_FORMS } from "../evaluate/answers/answerer.ts";
import { Phases } from "../terminal/phases.ts";
import {
  directoryOf,
  finishPairs,
  type JudgeCliOptions,
  judgingOf,
  withJudgeOptions,
} from "./judge-options.ts";
import { wholeNumber } from "./options.ts";

interface CliOptions extends JudgeCliOptions {
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
    .description("Arena-Hard: win rate against a baseline, judged in both orders")
    .argument("<answers>", `the model under test: ${ANSWERER_FORMS}`)
    .option("--baseline <answers>", "the baseline; default: gpt-4-0314's published answers in --bench")
    .option("--bench <dir>", "Arena-Hard's files by their published names: directory or hub data set")
    .option("--questions <file>", "questions: file or hub data set")
    .option("--judge-config <file>", "the judge's prompt and patterns: YAML as published")
    .option("--judge-settings <file>", "the judge's system prompt: Arena-Hard's JUDGE_SETTINGS as JSON")
    .option("--limit <count>", "only the first questions", wholeNumber(1))
    .option("--strong-weight <count>", "weight of a verdict A>>B or B>>A", wholeNumber(1), 3);
  return withJudgeOptions(command, 4096).action(run);
}

async function run(answerer: string, cli: CliOptions): Promise<void> {
  const { evaluateArenaHard } = await import("../evaluate/arena-hard/evaluate-arena-hard.ts");
  const answerers = [answerer, ...(cli.baseline === undefined ? [] : [cli.baseline])];
  const dir = directoryOf(cli, "arena-hard", [answerer], answerers);
  const phases = new Phases();
  const report = await evaluateArenaHard({
    ...judgingOf(cli, dir, phases),
    answerer,
    baseline: cli.baseline ?? null,
    bench: cli.bench ?? null,
    questions: cli.questions ?? null,
    judgeConfig: cli.judgeConfig ?? null,
    judgeSettings: cli.judgeSettings ?? null,
    limit: cli.limit ?? null,
    strongWeight: cli.strongWeight,
  });
  phases.done();
  await finishPairs(report, answerers, dir);
}
