/** `preftune replay`. */
import type { Command } from "commander";
import { exitCodes } from "../base/errors.ts";
import { counted } from "../base/number-text.ts";
import { wholeNumber } from "./options.ts";

/** Adds the command to `preftune`. */
export function addReplayCommand(preftune: Command): void {
  preftune
    .command("replay")
    .description(
      "compute a step of a run again, from the checkpoint before it, and compare all that was written down",
    )
    .argument("<run>", "directory of the run")
    .requiredOption("--step <step>", "the step, from 1", wholeNumber(1))
    .action(async (run: string, { step }: { step: number }) => {
      const { replay } = await import("../recipes/replay.ts");
      const { watchStopSignals } = await import("../torch/index.ts");
      using stop = watchStopSignals();
      stop.leave("stopped: the run is as it was");
      const { from, rows, completions, difference } = await replay({ run, step, signal: stop.signal });
      const compared = `${counted(rows, "row")} of metrics${completions > 0 ? ` and ${completions} completions` : ""}`;
      const span = `steps ${from + 1} to ${step}, from ${from === 0 ? "the run's beginning" : `checkpoint-${from}`}`;
      if (difference === null) process.stdout.write(`The same to the bit: ${compared} of ${span}.\n`);
      else {
        process.stdout.write(`Not the same: ${difference}. Compared: ${compared} of ${span}.\n`);
        process.exitCode = exitCodes.TrainingError;
      }
    });
}
