/** `preftune evaluate pairwise`. */
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
import { atLeastZero, wholeNumber } from "./options.ts";

interface CliOptions extends JudgeCliOptions {
  prompts: string;
  judgePrompts?: string;
  limit?: number;
  temperature: number;
  strongWeight: number;
}

/** The command `pairwise`, to be added to `evaluate`. */
export function pairwiseCommand(): Command {
  const command = new Command("pairwise")
    .description("win rate of one model against another on any prompts, judged in both orders")
    .argument("<a>", `the model whose wins are counted: ${ANSWERER_FORMS}`)
    .argument("<b>", "the model compared with: the same forms")
    .requiredOption("--prompts <file>", "rows with prompt, messages or turns: file or hub data set")
    .option(
      "--judge-prompts <file>",
      "MT-Bench's judge_prompts.jsonl or Arena-Hard's YAML; default: preftune's own",
    )
    .option("--limit <count>", "only the first prompts", wholeNumber(1))
    .option("--temperature <number>", "sampling temperature of the models under test", atLeastZero, 0)
    .option("--strong-weight <count>", "weight of a verdict A>>B or B>>A", wholeNumber(1), 1);
  return withJudgeOptions(command).action(run);
}

async function run(a: string, b: string, cli: CliOptions): Promise<void> {
  const { evaluatePairwise } = await import("../evaluate/pairwise/evaluate-pairwise.ts");
  const dir = directoryOf(cli, "pairwise", [a, b]);
  const phases = new Phases();
  const report = await evaluatePairwise({
    ...judgingOf(cli, dir, phases),
    answerers: [a, b],
    prompts: cli.prompts,
    judgePrompts: cli.judgePrompts ?? null,
    limit: cli.limit ?? null,
    temperature: cli.temperature,
    strongWeight: cli.strongWeight,
  });
  phases.done();
  await finishPairs(report, [a, b], dir);
}
