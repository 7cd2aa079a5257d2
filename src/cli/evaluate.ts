/** `preftune evaluate` and its commands. */
import type { Command } from "commander";
import { arenaHardCommand } from "./evaluate-arena-hard.ts";
import { diversityCommand } from "./evaluate-diversity.ts";
import { mtBenchCommand } from "./evaluate-mt-bench.ts";
import { pairwiseCommand } from "./evaluate-pairwise.ts";

/** Adds `evaluate` and its commands to `preftune`. */
export function addEvaluateCommands(preftune: Command): void {
  preftune
    .command("evaluate")
    .description("evaluate what models generate")
    .addCommand(diversityCommand())
    .addCommand(mtBenchCommand())
    .addCommand(arenaHardCommand())
    .addCommand(pairwiseCommand());
}
