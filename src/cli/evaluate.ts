/** `preftune evaluate` and its commands. */
import type { Command } from "commander";
import { diversityCommand } from "./evaluate-diversity.ts";

/** Adds `evaluate` and its commands to `preftune`. */
export function addEvaluateCommands(preftune: Command): void {
  preftune.command("evaluate").description("look at what models answer").addCommand(diversityCommand());
}
