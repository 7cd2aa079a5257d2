/** Which chat template to use: the tokenizer's own, one of its named ones, that of a file or directory, or text given in the configuration. */
import { existsSync } from "node:fs";
import { ConfigError, FormatError, messageOf } from "../base/errors.ts";
import { isFolder, readFileBytes } from "../base/open-file.ts";
import { didYouMean } from "../base/suggest.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { ownChatTemplate, templateFile, toolTemplate } from "./tokenizer-files.ts";

/**
 * The text of the chat template to use.
 *
 * @param choice - name of one of the tokenizer's templates, path of a file or of a directory with a template, template text, or null for the tokenizer's own
 * @param hasTools - whether the conversation has tools, for which some tokenizers have a separate template
 * @throws ConfigError when `choice` is none of these, FormatError when the tokenizer has no template
 */
export function chatTemplateSource(tokenizer: Tokenizer, choice: string | null, hasTools: boolean): string {
  const { default: own, named } = tokenizer.chatTemplates;
  if (choice !== null) return chosenTemplate(choice, own, named);
  const forTools = hasTools ? named[toolTemplate] : undefined;
  const source = forTools ?? own;
  if (source !== null) return source;
  const names = Object.keys(named);
  if (names.length > 0) {
    throw new FormatError(
      `Expected a default chat template in ${tokenizer.directory}, but it only has ${names.join(", ")}. ` +
        `Name one with chat_template.`,
    );
  }
  throw new FormatError(
    `Expected a chat template in ${tokenizer.directory} for conversational data, but there is none ` +
      `(neither chat_template.jinja nor "chat_template" in tokenizer_config.json). ` +
      `Give a file with chat_template, or use plain-text data.`,
  );
}

/** The text of the chat template that `choice` names; null: the tokenizer's own. */
export function templateGiven(tokenizer: Tokenizer, choice: string | null): string | null {
  return choice === null ? null : chatTemplateSource(tokenizer, choice, false);
}

/** Where that text comes from, for people: a file of the tokenizer's, or what `chat_template` says. */
export function chatTemplateOrigin(tokenizer: Tokenizer, choice: string | null, hasTools: boolean): string {
  const { default: own, named } = tokenizer.chatTemplates;
  const ownFile = (name: string): string => {
    const file = templateFile(name);
    return tokenizer.files.includes(file) ? file : "tokenizer_config.json";
  };
  if (choice === null) {
    const name = hasTools && toolTemplate in named ? toolTemplate : "default";
    return name === "default" ? ownFile(name) : `${name} of ${ownFile(name)}`;
  }
  if (Object.hasOwn(named, choice)) return `${choice} of ${ownFile(choice)}`;
  if (choice === "default" && own !== null) return ownFile(choice);
  return choice.includes("{{") || choice.includes("{%") ? "text given with chat_template" : choice;
}

function chosenTemplate(choice: string, own: string | null, named: Record<string, string>): string {
  const byName = Object.hasOwn(named, choice) ? named[choice] : undefined;
  if (byName !== undefined) return byName;
  if (choice === "default" && own !== null) return own;
  if (choice.includes("{{") || choice.includes("{%")) return choice;
  if (isFolder(choice)) return templateOf(choice);
  if (existsSync(choice)) {
    try {
      return readFileBytes(choice).toString("utf8");
    } catch (error) {
      throw new ConfigError(`Expected chat_template to be a readable file, but: ${messageOf(error)}.`, {
        cause: error,
      });
    }
  }
  const names = Object.keys(named);
  const known = names.length > 0 ? ` The model's templates are ${names.join(", ")}.` : "";
  throw new ConfigError(
    `Expected chat_template to be a file, a directory, a template's name or Jinja text, got "${choice.slice(0, 200)}".` +
      `${didYouMean(choice, names)}${known}`,
  );
}

/** The default template of a directory: a model's, or that of an adapter, which may hold nothing else of a tokenizer. */
function templateOf(directory: string): string {
  const own = ownChatTemplate(directory);
  if (own !== null) return own;
  throw new ConfigError(
    `Expected chat_template to be a directory with a chat template, but ${directory} has neither chat_template.jinja nor ` +
      `"chat_template" in tokenizer_config.json. Give a file.`,
  );
}

/** The templates that rows may be rendered with, with tools and without; none where the tokenizer has none. */
export function templatesInUse(tokenizer: Tokenizer, choice: string | null): string[] {
  const { default: own, named } = tokenizer.chatTemplates;
  if (choice === null && own === null && Object.keys(named).length === 0) return [];
  return [...new Set([false, true].map((hasTools) => chatTemplateSource(tokenizer, choice, hasTools)))];
}

/** Whether some of the templates have `name` as a word, be it of a variable or of a key. */
export function isNamedIn(templates: readonly string[], name: string): boolean {
  // "thinking" stands in "enable_thinking" as well.
  const word = new RegExp(`(?<!\\w)${name.replaceAll(/\W/g, "\\$&")}(?!\\w)`);
  return templates.some((source) => word.test(source));
}

/** Whether some of the templates names a key of messages, or writes whole messages. */
export function keyReader(templates: readonly string[]): (key: string) => boolean {
  const isWhole = templates.some((source) => /\b(message|msg|m)\s*(\|\s*tojson|\.items\(\))/.test(source));
  return (key) => isWhole || isNamedIn(templates, key);
}
