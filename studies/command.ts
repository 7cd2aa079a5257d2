/** `preftune study`. */

import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Argument, type Command, Option } from "commander";
import type { PhaseListener } from "preftune";
import {
  collect,
  type GridPart,
  type JudgeEndpointWords,
  judgeOf,
  Phases,
  pairsOf,
  type StoppedOptions,
  showOutcome,
  stoppable,
  wholeNumber,
  withJudge,
  withStoppedStatus,
} from "preftune/cli";
import { STUDY_NAMES, type StudyName } from "./names.ts";
import type { Budget } from "./setup.ts";

interface Words extends StoppedOptions, Omit<JudgeEndpointWords, "judge"> {
  config?: string;
  model?: string;
  data?: string;
  evalData?: string;
  otherData?: string;
  otherEvalData?: string;
  seeds?: number;
  budget: Budget;
  output?: string;
  jobs?: number;
  reuse: string[];
  judge?: JudgeEndpointWords["judge"];
}

/** Adds the command to `preftune`. */
export function addStudyCommand(preftune: Command): void {
  const command = preftune
    .command("study")
    .description(
      "put a claim of the SLIME paper to the test: a grid of runs, tables with intervals, a report",
    )
    .addArgument(new Argument("<name>", "which one").choices(STUDY_NAMES))
    .argument("[overrides...]", "--key value pairs of the configuration, for all runs")
    .option("--config <file>", "configuration that all runs start from; default: the quick start's own")
    .option("--model <dir>", "model to train, with LoRA; default: the quick start's, made first")
    .option("--data <file>", "preference rows to train on")
    .option("--eval-data <file>", "preference rows to measure on")
    .option("--other-data <file>", "transfer: the second preference set")
    .option("--other-eval-data <file>", "transfer: its rows to measure on")
    .option("--seeds <count>", "training seeds; default: the study's own number", wholeNumber(1))
    .addOption(
      new Option("--budget <size>", "quick: minutes on two cores with the quick start's model")
        .choices(["quick", "full"])
        .default("quick"),
    )
    .option(
      "--output <dir>",
      "folder for all of it; the same again goes on where it was cut off (default: runs/study-NAME)",
    )
    .option(
      "--jobs <count>",
      "runs at a time; default: one a core on the quick start's model, else one",
      wholeNumber(1),
    )
    .option(
      "--reuse <dir>",
      "folder of another study whose finished runs are taken where they ran the same; may be given several times",
      collect,
      [],
    )
    .allowUnknownOption();
  const judge = new Option(
    "--judge <url#model>",
    "OpenAI-style endpoint, and its model, that judges the sampled answers of studies that have them",
  );
  withStoppedStatus(withJudge(command, judge)).action(run);
}

async function run(name: StudyName, overrides: string[], words: Words): Promise<void> {
  const { judge } = words;
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
      output: words.output ?? join("runs", `study-${name}`),
      seeds: words.seeds ?? null,
      budget: words.budget,
      config: words.config ?? null,
      model: words.model ?? null,
      data: words.data ?? null,
      evalData: words.evalData ?? null,
      otherData: words.otherData ?? null,
      otherEvalData: words.otherEvalData ?? null,
      reuse: words.reuse,
      judge: judge === undefined ? null : { ...judgeOf({ ...words, judge }), onPhase },
      overrides: pairsOf(overrides),
      jobs: words.jobs ?? null,
      cores: availableParallelism(),
      command: `preftune ${process.argv.slice(2).join(" ")}`,
      out: process.stdout,
      signal,
    });
    phases.done();
    showOutcome(outcome);
  };
  await stoppable(work, { part: () => part, stoppedStatus: words.stoppedStatus });
}
