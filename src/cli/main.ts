/** The command line: words to typed options to a recipe, and errors to one clear message and an exit status. */
import { Command, CommanderError } from "commander";
import { ConfigError, PreftuneError } from "../base/errors.ts";
import { codeVersion } from "../base/version.ts";
import { printWarnings } from "../base/warn.ts";
import { addDataCommands } from "./data.ts";
import { addEvaluateCommands } from "./evaluate.ts";
import { addGenerateCommand } from "./generate.ts";
import { addMergeCommand } from "./merge.ts";
import { addPlanCommand } from "./plan.ts";
import { addScoreCommand } from "./score.ts";
import { addServeCommand } from "./serve.ts";
import { addStudyCommand } from "./study.ts";
import { addSweepCommand } from "./sweep.ts";
import { addTrainCommand } from "./train.ts";

function program(): Command {
  const preftune = new Command("preftune")
    .description("Preference optimisation of language models: SLIME, DPO, SimPO and SFT on libtorch.")
    .version(codeVersion())
    .showSuggestionAfterError()
    .configureHelp({ sortSubcommands: false })
    .addHelpText(
      "after",
      "\nAlso: preftune doctor (what is installed and missing), preftune setup (installs it).",
    );
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
  for (const command of [preftune, ...preftune.commands]) command.exitOverride();
  return preftune;
}

/** Exit status of an error: commander's own for help and usage, the class's for the user's, 1 for our bugs. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : new ConfigError("").exitCode;
  if (error instanceof PreftuneError) {
    process.stderr.write(`preftune: ${error.message}\n`);
    return error.exitCode;
  }
  process.stderr.write(
    `preftune: this is a bug, please report it.\n${error instanceof Error ? error.stack : error}\n`,
  );
  return 1;
}

printWarnings();
try {
  await program().parseAsync();
} catch (error) {
  process.exitCode = report(error);
}
