/** `preftune evaluate` and its commands. */
import type { Command } from "commander";
import { arenaHardCommand } from "./arena-hard-command.ts";
import { diversityCommand } from "./diversity-command.ts";
import { mtBenchCommand } from "./mt-bench-command.ts";
import { pairwiseCommand } from "./pairwise-command.ts";

/** Adds them to `preftune`. */
export function addEvaluateCommands(preftune: Command): void {
  preftune
    .command("evaluate")
    .description("evaluate what models generate")
    .addCommand(diversityCommand())
    .addCommand(mtBenchCommand())
    .addCommand(arenaHardCommand())
    .addCommand(pairwiseCommand());
}
