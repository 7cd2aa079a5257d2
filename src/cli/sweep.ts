/** `preftune sweep`. */
import { basename, extname, join } from "node:path";
import type { Command } from "commander";
import { wholeNumber } from "./options.ts";
import { showOutcome } from "./study-outcome.ts";
import { stoppable } from "./study-stop.ts";

interface Words {
  output?: string;
  jobs: number;
}

/** Adds the command to `preftune`. */
export function addSweepCommand(preftune: Command): void {
  preftune
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
    )
    .action(run);
}

async function run(file: string, words: Words): Promise<void> {
  const { readSweep } = await import("../study/sweep-file.ts");
  const { runSweep } = await import("../study/sweep.ts");
  await stoppable(async (signal) => {
    const outcome = await runSweep(readSweep(file), {
      output: words.output ?? join("runs", basename(file, extname(file))),
      jobs: words.jobs,
      command: `preftune ${process.argv.slice(2).join(" ")}`,
      out: process.stdout,
      signal,
    });
    showOutcome(outcome);
  });
}
