/** `preftune completion`. */
import { Argument, type Command } from "commander";
import { type Completions, completionsOf } from "./completion-model.ts";
import { bashScript, fishScript, zshScript } from "./completion-scripts.ts";

type Shell = "bash" | "zsh" | "fish";

const shells: Readonly<Record<Shell, { script: (what: Completions) => string; install: string }>> = {
  bash: {
    script: bashScript,
    install: "~/.local/share/bash-completion/completions/preftune, or a file that ~/.bashrc reads",
  },
  zsh: { script: zshScript, install: "_preftune in a folder of fpath, before compinit runs" },
  fish: { script: fishScript, install: "~/.config/fish/completions/preftune.fish" },
};

/** Adds the command to `preftune`. */
export function addCompletionCommand(preftune: Command): void {
  const places = Object.entries(shells).map(([name, { install }]) => `  ${name.padEnd(5)} ${install}`);
  preftune
    .command("completion")
    .description("print the script by which a shell completes commands, options, keys and their values")
    .addArgument(new Argument("<shell>", "the shell").choices(Object.keys(shells)))
    .addHelpText(
      "after",
      `\nWhere its output goes:\n${places.join("\n")}\nWrite it again after an update of preftune.`,
    )
    .action((shell: Shell) => void process.stdout.write(shells[shell].script(completionsOf(preftune))));
}
