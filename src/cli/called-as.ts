/** The command line as the user gave it, for hints that can be pasted. */
import { basename, relative } from "node:path";
import { shellWord } from "../base/shell-word.ts";

/** What the launcher (bin/preftune.mjs) says it was called as; a program started otherwise has no such word. */
const variable = "PREFTUNE_CALLED_AS";

/** How `preftune` was called: "npx preftune", "preftune", or "node" with a path. */
function calledAs(): string {
  const name = process.env[variable];
  if (name !== undefined && name !== "") return name;
  const [, script = ""] = process.argv;
  if (!/^main\.(ts|js)$/.test(basename(script))) return "preftune";
  return `node ${shellWord(relative(process.cwd(), script) || script)}`;
}

/** `preftune WORDS` in the form the user called it, fit for a shell. */
export function commandLine(argv: readonly string[]): string {
  return [calledAs(), ...argv.map(shellWord)].join(" ");
}

/** The command at hand, again. */
export function sameCommand(): string {
  return commandLine(process.argv.slice(2));
}

/** The command at hand as `preftune WORDS`, fit for a shell, for a page that is read elsewhere. */
export function recordedCommand(): string {
  return ["preftune", ...process.argv.slice(2).map(shellWord)].join(" ");
}
