/** Mistakes in the words of a command line, which commander finds: they end and are said as every other. */
import type { Command } from "commander";
import { printable } from "../base/terminal-text.ts";
import { nameOf } from "./launched-ranks.ts";

/** `command` and all commands below it. */
export function allCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allCommands)];
}

/** Has `command` throw its mistakes, and write them as `preftune: …`. It inherits neither from the command above it. */
export function endAsOthers(command: Command): void {
  command.exitOverride().configureOutput({
    outputError: (text, write) => write(`preftune: ${printable(messageOf(text, command))}\n`),
  });
}

function messageOf(text: string, command: Command): string {
  const message = text
    .trim()
    .replace(/^error: /, "")
    .replaceAll("\n", " ");
  // what a value may be and what an option is called here are remedies
  if (/\(Did you mean .*\?\)$|is invalid\. ./s.test(message)) return message;
  const name = command.parent === null ? command.name() : `preftune ${nameOf(command)}`;
  return `${message.replace(/\.?$/, ".")} See \`${name} --help\`.`;
}
