/** `preftune sweep`. */
import { basename, extname, join } from "node:path";
import type { Command } from "commander";
import { recordedCommand } from "./called-as.ts";
import { showOutcome, stoppable } from "./grid-command.ts";
import { type StoppedOptions, wholeNumber, withStoppedStatus } from "./options.ts";

interface CliOptions extends StoppedOptions {
  output?: string;
  jobs: number;
}

/** Adds the command to `preftune`. */
export function addSweepCommand(preftune: Command): void {
  const command = preftune
    .command("sweep")
    .description(
      "a grid, random search or successive halving over any keys of the configuration; see docs/studies.md",
    )
    .argument("<sweep.yaml>", "the search: parameters, method, metric")
    .option("--output <dir>", "directory of the sweep; the same command resumes it (default: runs/NAME)")
    .option(
      "--jobs <count>",
      "runs at a time; divide the cores among them with threads under values",
      wholeNumber(1),
      1,
    );
  withStoppedStatus(command).action(run);
}

async function run(file: string, cli: CliOptions): Promise<void> {
  const { readSweep } = await import("../sweep/sweep-file.ts");
  const { runSweep } = await import("../sweep/sweep.ts");
  const work = async (signal: AbortSignal): Promise<void> => {
    const outcome = await runSweep(readSweep(file), {
      output: cli.output ?? join("runs", basename(file, extname(file))),
      jobs: cli.jobs,
      command: recordedCommand(),
      out: process.stdout,
      signal,
    });
    showOutcome(outcome);
  };
  await stoppable(work, cli);
}
