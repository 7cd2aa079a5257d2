/** `preftune study`: the command of the repository's workspace `studies`, which a checkout has and the published package has not. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Command } from "commander";
import { ConfigError } from "../base/errors.ts";

/** Adds a command, or a few under one name, to `preftune`. */
export type AddCommand = (preftune: Command) => void;

const path = join(import.meta.dirname, "../../studies/command.ts");

/** Adds the command to `preftune`. */
export const addStudyCommand: AddCommand = existsSync(path)
  ? ((await import(pathToFileURL(path).href)) as { addStudyCommand: AddCommand }).addStudyCommand
  : addAbsentCommand;

/** Adds a command that says where the studies are. */
export function addAbsentCommand(preftune: Command): void {
  preftune
    .command("study")
    .description("the studies of the SLIME paper's claims; only in a checkout of preftune's repository")
    .argument("[arguments...]")
    .allowUnknownOption()
    .action(() => {
      throw new ConfigError(
        "the studies come with preftune's repository, not with the package: run `npx preftune study` in a checkout of it. " +
          "For custom grids use preftune sweep.",
      );
    });
}
