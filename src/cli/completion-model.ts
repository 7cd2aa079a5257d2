/** What a shell can complete of `preftune`: its commands, their options, and what an option takes. */
import type { Command, Option } from "commander";
import type { ValueSchema } from "../base/value-schema.ts";
import { CONFIG_KEYS, fieldOf } from "../config/keys.ts";

/** What follows an option: one of these words, a file or text, or nothing. */
export type Takes = readonly string[] | "anything" | "nothing";

/** A name and what is said of it. */
export interface Named {
  name: string;
  text: string;
}

/** An option with its dashes. */
export interface CompletedOption extends Named {
  takes: Takes;
}

/** A command. */
export interface CompletedCommand {
  /** Its words after `preftune`, such as `data check`; empty for `preftune` itself. */
  path: string;
  subcommands: Named[];
  options: CompletedOption[];
  /** Whether it takes every key of a configuration as an option. */
  takesKeys: boolean;
}

/** Everything that can be completed. */
export interface Completions {
  commands: CompletedCommand[];
  /** Keys of a configuration as options. */
  keys: CompletedOption[];
}

/** Commands of `bin/preftune.mjs`, which work where neither torch nor addon is there yet. */
const apart: readonly CompletedCommand[] = [
  {
    path: "doctor",
    subcommands: [],
    options: [{ name: "--json", text: "the report as JSON", takes: "nothing" }],
    takesKeys: false,
  },
  { path: "setup", subcommands: [], options: [], takesKeys: false },
];
const apartText: Readonly<Record<string, string>> = {
  doctor: "what is installed and what is missing",
  setup: "install or build what is missing",
};

/** What can be completed of the program `preftune`. */
export function completionsOf(preftune: Command): Completions {
  const [own, ...commands] = walk(preftune, "");
  const named = apart.map(({ path }) => ({ name: path, text: apartText[path] ?? "" }));
  const root = { ...(own as CompletedCommand), subcommands: [...(own?.subcommands ?? []), ...named] };
  return { commands: [root, ...commands, ...apart], keys: CONFIG_KEYS.map(keyOption) };
}

function walk(command: Command, path: string): CompletedCommand[] {
  const subcommands = command.commands.map((sub) => ({
    name: sub.name(),
    text: firstPart(sub.description()),
  }));
  const help = { name: "--help", text: "all options", takes: "nothing" as const };
  const own: CompletedCommand = {
    path,
    subcommands,
    options: [...command.options.filter(({ hidden }) => !hidden).map(optionOf), help],
    takesKeys: command.registeredArguments.some((argument) => argument.name() === "overrides"),
  };
  return [own, ...command.commands.flatMap((sub) => walk(sub, `${path} ${sub.name()}`.trim()))];
}

function optionOf({ long, flags, description, required, optional, argChoices }: Option): CompletedOption {
  const takes = !required && !optional ? "nothing" : (argChoices ?? "anything");
  return { name: long ?? flags, text: firstPart(description), takes };
}

function keyOption(key: (typeof CONFIG_KEYS)[number]): CompletedOption {
  const { doc, schema } = fieldOf(key);
  const words = wordsOf(schema);
  return { name: `--${key}`, text: firstPart(doc), takes: words.length === 0 ? "anything" : words };
}

/** The words that a schema accepts, where it accepts nothing but words. */
function wordsOf({ anyOf, enum: words, type }: ValueSchema): string[] {
  const parts = (anyOf ?? []).map(wordsOf);
  if (parts.length > 0) return parts.every((part) => part.length > 0) ? parts.flat() : [];
  if (words !== undefined) return words.map(String);
  if (
    type === "boolean" ||
    (Array.isArray(type) && type.every((one) => one === "boolean" || one === "null"))
  ) {
    return ["true", "false", ...(type === "boolean" ? [] : ["null"])];
  }
  return type === "null" ? ["null"] : [];
}

/** A shell shows one short line: what stands before the first full stop, colon or semicolon. */
function firstPart(text: string): string {
  return (
    text
      .split(/[.;:](?:\s|$)/, 1)[0]
      ?.replaceAll("\n", " ")
      .trim() ?? ""
  );
}
