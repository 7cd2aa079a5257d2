/** All commands and their options. */
import { Command } from "commander";
import { codeVersion } from "../base/code-version.ts";
import { type ReadMeter, watchReading } from "../data/read-meter.ts";
import { labelsOf, methodNames, wordList } from "../methods/index.ts";
import { PhaseProgress } from "../terminal/phases.ts";
import { arenaHardCommand } from "./arena-hard-command.ts";
import { addCompletionCommand } from "./completion-command.ts";
import { addDashboardCommand } from "./dashboard-command.ts";
import { addDataCommands } from "./data-command.ts";
import { diversityCommand } from "./diversity-command.ts";
import { addExportCommand } from "./export-command.ts";
import { addGenerateCommand } from "./generate-command.ts";
import { addInitCommand } from "./init-command.ts";
import { addLabelsCommands } from "./labels-command.ts";
import { refuseSeveralRanks } from "./launched-ranks.ts";
import { addMergeCommand } from "./merge-command.ts";
import { mtBenchCommand } from "./mt-bench-command.ts";
import { refuseOtherNames } from "./options.ts";
import { pairwiseCommand } from "./pairwise-command.ts";
import { addPlanCommand } from "./plan-command.ts";
import { addPushCommand } from "./push-command.ts";
import { addReplayCommand } from "./replay-command.ts";
import { addReportCommand } from "./report-command.ts";
import { addRoundCommand } from "./round-command.ts";
import { addScaleCommand } from "./scale-command.ts";
import { addSchemaCommand } from "./schema-command.ts";
import { addScoreCommand } from "./score-command.ts";
import { addServeCommand } from "./serve-command.ts";
import { addStudyCommand } from "./studies-command.ts";
import { addSweepCommand } from "./sweep-command.ts";
import { addTrackCommand } from "./track-command.ts";
import { addTrainCommand } from "./train-command.ts";
import { allCommands, endAsOthers } from "./usage-errors.ts";

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
      "\nAlso: preftune doctor (what is installed and missing), preftune setup (installs it).\nWhen a command fails: docs/troubleshooting.md.",
    );
  showReading();
  refuseSeveralRanks(preftune);
  addInitCommand(preftune);
  addTrainCommand(preftune);
  addGenerateCommand(preftune);
  addScoreCommand(preftune);
  addScaleCommand(preftune);
  addReportCommand(preftune);
  addDashboardCommand(preftune);
  addReplayCommand(preftune);
  addTrackCommand(preftune);
  addPushCommand(preftune);
  addMergeCommand(preftune);
  addExportCommand(preftune);
  addDataCommands(preftune);
  addLabelsCommands(preftune);
  addRoundCommand(preftune);
  addPlanCommand(preftune);
  addEvaluateCommands(preftune);
  addServeCommand(preftune);
  addStudyCommand(preftune);
  addSweepCommand(preftune);
  addSchemaCommand(preftune);
  addCompletionCommand(preftune);
  for (const command of allCommands(preftune)) {
    refuseOtherNames(command);
    endAsOthers(command);
  }
  return preftune;
}

/** Adds `evaluate` and its commands to `preftune`. */
function addEvaluateCommands(preftune: Command): void {
  preftune
    .command("evaluate")
    .description("evaluate what models generate")
    .addCommand(diversityCommand())
    .addCommand(mtBenchCommand())
    .addCommand(arenaHardCommand())
    .addCommand(pairwiseCommand());
}

/** Reading that takes less than this many milliseconds is not reported. */
const quietMs = 500;

let isReadingShown = false;

/** From now on the reading of large files is reported. */
function showReading(): void {
  if (isReadingShown) return;
  isReadingShown = true;
  let shown: { meter: ReadMeter; began: number; progress: PhaseProgress | null } | null = null;
  watchReading((meter) => {
    if (shown?.meter !== meter) shown = { meter, began: performance.now(), progress: null };
    if (meter.isDone) {
      shown.progress?.clear();
      shown = null;
    } else if (performance.now() - shown.began >= quietMs) {
      shown.progress ??= new PhaseProgress("rows read", null);
      shown.progress.update(meter.rows, meter.note);
    }
  });
}
