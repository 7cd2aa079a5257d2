/** `preftune sweep`. */
import { basename, extname, join } from "node:path";
import type { Command } from "commander";
import { showOutcome } from "./grid-outcome.ts";
import { stoppable } from "./grid-stop.ts";
import { type StoppedOptions, wholeNumber, withStoppedStatus } from "./options.ts";

interface Words extends StoppedOptions {
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
    .argument("<sweep.yaml>", "what is searched, how, and by which figure")
    .option(
      "--output <dir>",
      "folder for all of it; the same again goes on where it was cut off (default: runs/NAME)",
    )
    .option(
      "--jobs <count>",
      "runs at a time; give each its share of the cores with threads under values",
      wholeNumber(1),
      1,
    );
  withStoppedStatus(command).action(run);
}

async function run(file: string, words: Words): Promise<void> {
  const { readSweep } = await import("../sweep/sweep-file.ts");
  const { runSweep } = await import("../sweep/sweep.ts");
  const work = async (signal: AbortSignal): Promise<void> => {
    const outcome = await runSweep(readSweep(file), {
      output: words.output ?? join("runs", basename(file, extname(file))),
      jobs: words.jobs,
      command: `preftune ${process.argv.slice(2).join(" ")}`,
      out: process.stdout,
      signal,
    });
    showOutcome(outcome);
  };
  await stoppable(work, words);
}
