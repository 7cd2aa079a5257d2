/** `preftune evaluate pairwise`. */
import { Command } from "commander";
import { ANSWERER_FORMS } from "../judge/answerer.ts";
import { atLeastZero, directoryOf, type JudgeWords, judgingOf, withJudgeOptions } from "./judge-options.ts";
import { finishJudging } from "./judge-output.ts";
import { wholeNumber } from "./options.ts";
import { Phases } from "./phases.ts";

interface Words extends JudgeWords {
  prompts: string;
  judgePrompts?: string;
  limit?: number;
  temperature: number;
  strongWeight: number;
}

/** The command `pairwise`, to be added to `evaluate`. */
export function pairwiseCommand(): Command {
  const command = new Command("pairwise")
    .description("which of two models answers better, on any prompts, judged in both orders")
    .argument("<a>", `whose wins are counted: ${ANSWERER_FORMS}`)
    .argument("<b>", "against whom: the same")
    .requiredOption("--prompts <file>", "rows with prompt, messages or turns: file or hub data set")
    .option(
      "--judge-prompts <file>",
      "MT-Bench's judge_prompts.jsonl or Arena-Hard's YAML; default: preftune's own",
    )
    .option("--limit <count>", "only the first prompts", wholeNumber(1))
    .option("--temperature <number>", "of answers that are made", atLeastZero, 0)
    .option("--strong-weight <count>", "how often a verdict A>>B or B>>A counts", wholeNumber(1), 1);
  return withJudgeOptions(command).exitOverride().action(run);
}

async function run(a: string, b: string, words: Words): Promise<void> {
  const { evaluatePairwise } = await import("../recipes/evaluate-pairwise.ts");
  const dir = directoryOf(words, "pairwise", [a, b]);
  const phases = new Phases();
  const report = await evaluatePairwise({
    ...judgingOf(words, dir, phases),
    answerers: [a, b],
    prompts: words.prompts,
    judgePrompts: words.judgePrompts ?? null,
    limit: words.limit ?? null,
    temperature: words.temperature,
    strongWeight: words.strongWeight,
  });
  phases.done();
  finishJudging(report, dir);
}
