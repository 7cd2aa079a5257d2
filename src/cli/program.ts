/** All commands and their options. */
import { Command } from "commander";
import { codeVersion } from "../base/code-version.ts";
import { type ReadMeter, watchReading } from "../data/read-meter.ts";
import { PhaseProgress } from "../terminal/phases.ts";
import { refuseSeveralRanks } from "./launched-ranks.ts";
import { refuseOtherNames } from "./options.ts";
import type { AddCommand } from "./studies-command.ts";
import { allCommands, endAsOthers } from "./usage-errors.ts";

/** The commands but `completion`, in the order of --help: each is a module, loaded when it is needed. */
const commands: Readonly<Record<string, () => Promise<AddCommand>>> = {
  init: async () => (await import("./init-command.ts")).addInitCommand,
  train: async () => (await import("./train-command.ts")).addTrainCommand,
  generate: async () => (await import("./generate-command.ts")).addGenerateCommand,
  score: async () => (await import("./score-command.ts")).addScoreCommand,
  scale: async () => (await import("./scale-command.ts")).addScaleCommand,
  report: async () => (await import("./report-command.ts")).addReportCommand,
  dashboard: async () => (await import("./dashboard-command.ts")).addDashboardCommand,
  replay: async () => (await import("./replay-command.ts")).addReplayCommand,
  track: async () => (await import("./track-command.ts")).addTrackCommand,
  push: async () => (await import("./push-command.ts")).addPushCommand,
  merge: async () => (await import("./merge-command.ts")).addMergeCommand,
  export: async () => (await import("./export-command.ts")).addExportCommand,
  data: async () => (await import("./data-command.ts")).addDataCommands,
  labels: async () => (await import("./labels-command.ts")).addLabelsCommands,
  round: async () => (await import("./round-command.ts")).addRoundCommand,
  plan: async () => (await import("./plan-command.ts")).addPlanCommand,
  evaluate: async () => (await import("./evaluate-command.ts")).addEvaluateCommands,
  serve: async () => (await import("./serve-command.ts")).addServeCommand,
  study: async () => (await import("./studies-command.ts")).addStudyCommand,
  sweep: async () => (await import("./sweep-command.ts")).addSweepCommand,
  schema: async () => (await import("./schema-command.ts")).addSchemaCommand,
};

/**
 * The command line, not yet parsed.
 *
 * @param words - what follows `preftune`: where a command comes first, it alone is loaded (all of them take half a second)
 */
export async function program(words: readonly string[] = []): Promise<Command> {
  const preftune = new Command("preftune")
    .version(codeVersion())
    .showSuggestionAfterError()
    .configureHelp({ sortSubcommands: false })
    .addHelpText(
      "after",
      "\nAlso: preftune doctor (what is installed and missing), preftune setup (installs it).\nWhen a command fails: docs/troubleshooting.md.",
    );
  showReading();
  refuseSeveralRanks(preftune);
  const [name = ""] = words;
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (load === undefined) await addAll(preftune);
  else (await load())(preftune);
  for (const command of allCommands(preftune)) {
    refuseOtherNames(command);
    endAsOthers(command);
  }
  return preftune;
}

async function addAll(preftune: Command): Promise<void> {
  const { labelsOf, methodNames, wordList } = await import("../methods/index.ts");
  const { addCompletionCommand } = await import("./completion-command.ts");
  preftune.description(
    `Preference optimisation of language models: ${wordList(labelsOf(methodNames))} on libtorch.`,
  );
  for (const load of Object.values(commands)) (await load())(preftune);
  addCompletionCommand(preftune);
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
