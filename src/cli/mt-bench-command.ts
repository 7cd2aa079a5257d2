/** `preftune evaluate mt-bench`. */
import { Command } from "commander";
import { ANSWERER_FORMS } from "../evaluate/answers/answerer.ts";
import { Phases } from "../terminal/phases.ts";
import {
  directoryOf,
  finishJudging,
  finishPairs,
  type JudgeCliOptions,
  judgingOf,
  withJudgeOptions,
} from "./judge-options.ts";
import { wholeNumber } from "./options.ts";

interface CliOptions extends JudgeCliOptions {
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
    .description("MT-Bench: two turns, rated by a judge or compared with another model")
    .argument("<answers>", `the model under test: ${ANSWERER_FORMS}`)
    .option("--against <answers>", "compare pairwise with this model; default: ratings from 1 to 10")
    .option("--bench <dir>", "MT-Bench's files by their published names: directory or hub data set")
    .option("--questions <file>", "questions: file or hub data set")
    .option("--references <file>", "reference answers for maths, reasoning and coding")
    .option("--judge-prompts <file>", "prompts for the judge")
    .option("--limit <count>", "only the first questions", wholeNumber(1))
    .option("--categories <names>", "only these categories, e.g. math,coding");
  return withJudgeOptions(command).action(run);
}

async function run(answerer: string, cli: CliOptions): Promise<void> {
  const { evaluateMtBench } = await import("../evaluate/mt-bench/evaluate-mt-bench.ts");
  const answerers = [answerer, ...(cli.against === undefined ? [] : [cli.against])];
  const dir = directoryOf(cli, "mt-bench", answerers);
  const phases = new Phases();
  const report = await evaluateMtBench({
    ...judgingOf(cli, dir, phases),
    answerer,
    against: cli.against ?? null,
    bench: cli.bench ?? null,
    questions: cli.questions ?? null,
    references: cli.references ?? null,
    judgePrompts: cli.judgePrompts ?? null,
    limit: cli.limit ?? null,
    categories: cli.categories?.split(",").map((name) => name.trim()) ?? null,
  });
  phases.done();
  if ("model" in report) {
    const { ratingPage, ratingReportText } = await import("../evaluate/mt-bench/rating-report.ts");
    finishJudging({ ...report, answerers }, dir, ratingPage(report), ratingReportText(report));
  } else {
    await finishPairs(report, answerers, dir);
  }
}
