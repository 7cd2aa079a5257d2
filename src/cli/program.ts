/** All commands and their options. */
import { Command } from "commander";
import { codeVersion } from "../base/version.ts";
import { labelsOf, methodNames, wordList } from "../methods/index.ts";
import { addDataCommands } from "./data-command.ts";
import { addEvaluateCommands } from "./evaluate-command.ts";
import { addGenerateCommand } from "./generate-command.ts";
import { addMergeCommand } from "./merge-command.ts";
import { refuseOtherNames } from "./options.ts";
import { addPlanCommand } from "./plan-command.ts";
import { showReading } from "./reading.ts";
import { addScoreCommand } from "./score-command.ts";
import { addServeCommand } from "./serve-command.ts";
import { addStudyCommand } from "./studies-command.ts";
import { addSweepCommand } from "./sweep-command.ts";
import { addTrainCommand } from "./train-command.ts";

/** The command line, not yet parsed. */
export function program(): Command {
  const preftune = new Command("preftune")
    .description(
      `Preference optimisation of language models: ${wordList(labelsOf(methodNames))} on libtorch.`,
    )
    .version(codeVersion())
    .showSuggestionAfterError()
    .configureHelp({ sortSubcommands: false })
    .addHelpText(
      "after",
      "\nAlso: preftune doctor (what is installed and missing), preftune setup (installs it).",
    );
  showReading();
  addTrainCommand(preftune);
  addGenerateCommand(preftune);
  addScoreCommand(preftune);
  addMergeCommand(preftune);
  addDataCommands(preftune);
  addPlanCommand(preftune);
  addEvaluateCommands(preftune);
  addServeCommand(preftune);
  addStudyCommand(preftune);
  addSweepCommand(preftune);
  for (const command of [preftune, ...preftune.commands]) {
    command.exitOverride();
    for (const each of [command, ...command.commands]) refuseOtherNames(each);
  }
  return preftune;
}
