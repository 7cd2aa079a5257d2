/** `preftune study`. */

import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Argument, type Command, InvalidArgumentError, Option } from "commander";
import { ConfigError, type PhaseListener } from "preftune";
import {
  collect,
  type GridPart,
  type JudgeEndpointOptions,
  judgeOf,
  Phases,
  pairsOf,
  recordedCommand,
  type StoppedOptions,
  showOutcome,
  stoppable,
  wholeNumber,
  withJudge,
  withStoppedStatus,
} from "preftune/cli";
import { STUDY_NAMES, type StudyName } from "./names.ts";
import type { Budget } from "./setup.ts";
import type { StudyOptions } from "./study.ts";

interface CliOptions extends StoppedOptions, Omit<JudgeEndpointOptions, "judge"> {
  config?: string;
  model?: string;
  data?: string;
  evalData?: string;
  otherData?: string;
  otherEvalData?: string;
  rewardModel?: string;
  seeds?: number;
  budget: Budget;
  output?: string;
  jobs?: number;
  reuse: string[];
  learningRates?: number[];
  method: string[];
  ownAnswers?: string | true;
  judge?: JudgeEndpointOptions["judge"];
}

/** Adds the command to `preftune`. */
export function addStudyCommand(preftune: Command): void {
  const command = preftune
    .command("study")
    .description("test a claim of the SLIME paper: a grid of runs, tables with intervals, a report")
    .addArgument(new Argument("<name>", "the study").choices(STUDY_NAMES))
    .argument("[overrides...]", "--key value pairs of the configuration, for all runs")
    .option("--config <file>", "base configuration of all runs; default: the quick start's")
    .option("--model <dir>", "model to train, with LoRA; default: the quick start's, made first")
    .option("--data <file>", "training rows")
    .option("--eval-data <file>", "evaluation rows")
    .option("--other-data <file>", "transfer: the second preference set")
    .option("--other-eval-data <file>", "transfer: its evaluation rows")
    .option("--reward-model <dir>", "online, with --model: a reward model to train against as well")
    .option(
      "--method <name>",
      "run this of the study's methods alone, with what it is compared with; may be given several times",
      collect,
      [],
    )
    .option(
      "--own-answers [file#name]",
      "frontier, geometry: train on pairs of the model's own answers, the best and the worst of 8 by a reward function; on generated data by default the right answer",
    )
    .option("--seeds <count>", "number of training seeds; default: the study's", wholeNumber(1))
    .option(
      "--learning-rates <list>",
      "frontier, geometry, long: learning rates of every method, three or more for frontier, such as 5e-4,1e-3,2e-3",
      rateList,
    )
    .addOption(
      new Option("--budget <size>", "quick: minutes on two cores with the quick start's model")
        .choices(["quick", "full"])
        .default("quick"),
    )
    .option(
      "--output <dir>",
      "directory of the study; the same command resumes it (default: runs/study-NAME)",
    )
    .option(
      "--jobs <count>",
      "runs at a time; default: one per core on the quick start's model, else one",
      wholeNumber(1),
    )
    .option(
      "--reuse <dir>",
      "directory of another study whose finished runs are reused where they are the same; may be given several times",
      collect,
      [],
    )
    .allowUnknownOption();
  const judge = new Option(
    "--judge <url#model>",
    "OpenAI-style endpoint, and its model, to judge the samples of studies that have them",
  );
  withStoppedStatus(withJudge(command, judge)).action(run);
}

/** @throws {InvalidArgumentError} if one is no positive number */
function rateList(text: string): number[] {
  const rates = text.split(",").map(Number);
  if (rates.every((rate) => rate > 0 && Number.isFinite(rate))) return rates;
  throw new InvalidArgumentError(`expected positive numbers with commas between them, got "${text}"`);
}

function ownAnswersOf({ ownAnswers }: CliOptions): StudyOptions["ownAnswers"] {
  if (ownAnswers === undefined) return null;
  return { reward: ownAnswers === true ? null : ownAnswers };
}

async function run(name: StudyName, overrides: string[], cli: CliOptions): Promise<void> {
  const { judge, learningRates = null } = cli;
  if (name === "frontier" && learningRates !== null && learningRates.length < 3) {
    throw new ConfigError(
      `--learning-rates: expected three or more, got ${learningRates.length}: with fewer a method may lack the rate that suits it.`,
    );
  }
  const phases = new Phases();
  let part: GridPart = "runs";
  const onPhase: PhaseListener = (...phase) => {
    part = "judging";
    phases.listen(...phase);
  };
  const { study } = await import("./study.ts");
  const work = async (signal: AbortSignal): Promise<void> => {
    const outcome = await study({
      name,
      output: cli.output ?? join("runs", `study-${name}`),
      seeds: cli.seeds ?? null,
      budget: cli.budget,
      config: cli.config ?? null,
      model: cli.model ?? null,
      data: cli.data ?? null,
      evalData: cli.evalData ?? null,
      otherData: cli.otherData ?? null,
      otherEvalData: cli.otherEvalData ?? null,
      rewardModel: cli.rewardModel ?? null,
      reuse: cli.reuse,
      methods: cli.method,
      ownAnswers: ownAnswersOf(cli),
      learningRates,
      judge: judge === undefined ? null : { ...judgeOf({ ...cli, judge }), onPhase },
      overrides: pairsOf(overrides),
      jobs: cli.jobs ?? null,
      cores: availableParallelism(),
      command: recordedCommand(),
      out: process.stdout,
      signal,
    });
    phases.done();
    showOutcome(outcome);
  };
  await stoppable(work, { part: () => part, stoppedStatus: cli.stoppedStatus });
}
