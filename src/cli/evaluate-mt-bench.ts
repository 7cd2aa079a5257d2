/** `preftune evaluate mt-bench`. */
import { Command } from "commander";
import { ANSWERER_FORMS } from "../judge/answerer.ts";
import { directoryOf, type JudgeWords, judgingOf, withJudgeOptions } from "./judge-options.ts";
import { finishJudging } from "./judge-output.ts";
import { wholeNumber } from "./options.ts";
import { Phases } from "./phases.ts";

interface Words extends JudgeWords {
  against?: string;
  bench?: string;
  questions?: string;
  references?: string;
  judgePrompts?: string;
  limit?: number;
  categories?: string;
}

/** The command `mt-bench`, to be added to `evaluate`. */
export function mtBenchCommand(): Command {
  const command = new Command("mt-bench")
    .description("MT-Bench: answers to two turns, rated by a judge or compared with another model's")
    .argument("<answers>", `who answers: ${ANSWERER_FORMS}`)
    .option("--against <answers>", "compare in pairs with this one; default: rate from 1 to 10")
    .option("--bench <dir>", "MT-Bench's files by their published names: directory or hub data set")
    .option("--questions <file>", "questions: file or hub data set")
    .option("--references <file>", "reference answers for maths, reasoning and coding")
    .option("--judge-prompts <file>", "prompts for the judge")
    .option("--limit <count>", "only the first questions", wholeNumber(1))
    .option("--categories <names>", "only these, e.g. math,coding");
  return withJudgeOptions(command).exitOverride().action(run);
}

async function run(answerer: string, words: Words): Promise<void> {
  const { evaluateMtBench } = await import("../recipes/evaluate-mt-bench.ts");
  const dir = directoryOf(words, "mt-bench", [
    answerer,
    ...(words.against === undefined ? [] : [words.against]),
  ]);
  const phases = new Phases();
  const report = await evaluateMtBench({
    ...judgingOf(words, dir, phases),
    answerer,
    against: words.against ?? null,
    bench: words.bench ?? null,
    questions: words.questions ?? null,
    references: words.references ?? null,
    judgePrompts: words.judgePrompts ?? null,
    limit: words.limit ?? null,
    categories: words.categories?.split(",").map((name) => name.trim()) ?? null,
  });
  phases.done();
  finishJudging(report, dir);
}
