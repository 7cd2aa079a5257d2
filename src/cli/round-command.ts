/** `preftune round`: prompts, answers, labels, pairs, data check, training and comparison as one command that can be interrupted. */
import type { Command } from "commander";
import { isFolder } from "../base/open-file.ts";
import { readConfigText } from "../config/given.ts";
import { Phases } from "../terminal/phases.ts";
import { nodeTitles, roundPaths } from "../workbench/rounds/round-record.ts";
import { sameCommand } from "./called-as.ts";
import { type StoppedOptions, withStoppedStatus } from "./options.ts";
import { trainListeners } from "./train-command.ts";

/** Adds the command to `preftune`. */
export function addRoundCommand(preftune: Command): void {
  const command = preftune
    .command("round")
    .description(
      "answers of a model to prompts, judged by a model, people or rewards, made into pairs, trained on, and compared with the model before",
    )
    .argument("<round.yaml>", "the round, or its directory to continue it; see docs/rounds.md");
  withStoppedStatus(command).action(run);
}

async function run(given: string, { stoppedStatus = 0 }: StoppedOptions): Promise<void> {
  const { runRound } = await import("../rounds/round.ts");
  const { watchStopSignals } = await import("../torch/index.ts");
  const file = isFolder(given) ? roundPaths(given).file : given;
  const text = readConfigText(file);
  const again = sameCommand();
  using stop = watchStopSignals();
  const leaves = `stopped; what is there is kept. Continue with:\n  ${again}`;
  stop.leave(leaves);
  const phases = new Phases();
  const { state, text: said } = await runRound(text, file, {
    signal: stop.signal,
    onPhase: phases.listen,
    onNode: (node, at, outcome) => {
      phases.done();
      if (at === "begins") stop.leave(leaves);
      else if (at !== "waits") process.stdout.write(`${nodeTitles[node].padEnd(10)}  ${outcome}\n`);
    },
    listenTo: (training) => trainListeners(training.config, stop, { resume: again, launch: null }),
  });
  phases.done();
  if (state === "stopped") process.exitCode = stoppedStatus;
  if (state === "waiting") process.stdout.write(`${said}\n`);
}
