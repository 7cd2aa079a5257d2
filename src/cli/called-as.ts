/** The command line as the user gave it, for hints that can be pasted. */
import { basename, relative } from "node:path";

/** What the launcher (bin/preftune.mjs) says it was called as; a program started otherwise has no such word. */
const variable = "PREFTUNE_CALLED_AS";

/** A word as a shell takes it: as it is where that is safe, else in single quotes. */
function quoted(word: string): string {
  return /^[\w@%+=:,./~-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** How `preftune` was called: "npx preftune", "preftune", or "node" with a path. */
function calledAs(): string {
  const told = process.env[variable];
  if (told !== undefined && told !== "") return told;
  const [, script = ""] = process.argv;
  if (!/^main\.(ts|js)$/.test(basename(script))) return "preftune";
  return `node ${quoted(relative(process.cwd(), script) || script)}`;
}

/** `preftune WORDS` in the form the user called it, fit for a shell. */
export function commandLine(words: readonly string[]): string {
  return [calledAs(), ...words.map(quoted)].join(" ");
}

/** The command at hand, again. */
export function sameCommand(): string {
  return commandLine(process.argv.slice(2));
}
