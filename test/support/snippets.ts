/** Code, tables and outputs in the documents. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

/** The contents of a document's fenced blocks of a language. */
export function snippetsOf(text: string, language = "ts"): string[] {
  const fence = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms");
  return [...text.matchAll(fence)].map(([, code = ""]) => code);
}

/** A snippet that shows one key several times shows alternatives: the last one, and each of the others in its place. */
export function alternatives(yaml: string): string[] {
  const lines = yaml.trimEnd().split("\n");
  const keys = lines.map((line) => /^(\w+):/.exec(line)?.[1]);
  const isChoice = lines.length > 1 && keys.every((key) => key !== undefined && key === keys[0]);
  return isChoice ? lines : [yaml];
}

/** The cells of a line of a table. */
export function cellsOf(line: string): string[] {
  return line
    .split("|")
    .slice(1, -1)
    .map((cell) => cell.trim());
}

/** The shell block of the document at `path` that begins with `begin`, and the output that stands under it. */
export function shownOutput(path: string, begin: string): { command: string; output: string } {
  const text = readFileSync(path, "utf8");
  for (const [, command = "", output = ""] of text.matchAll(
    /^```sh\n((?:(?!```).*\n)*)```\n\n```text\n((?:(?!```).*\n)*)```$/gm,
  )) {
    if (command.startsWith(begin)) return { command, output };
  }
  return assert.fail(`${path}: no block that begins with ${begin}`);
}
