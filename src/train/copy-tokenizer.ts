/** The tokenizer's files beside a model that is written. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { copyFile } from "../base/copy-files.ts";
import { makeDirectories } from "../base/file-io.ts";
import { readJsonFile, writeFileAtomic } from "../base/files.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { tokenizerConfigLimits } from "../text/tokenizer-file-limits.ts";
import { isTemplateFile, templateFile, templatesWith } from "../text/tokenizer-files.ts";

/** A tokenizer as it is written beside a model. */
export interface WrittenTokenizer {
  tokenizer: Tokenizer;
  /** Text of the chat template that the model was trained with, in place of the tokenizer's own. Null: its own. */
  chatTemplate: string | null;
}

/** Copies the tokenizer's files into `dir`, which so has the chat template that its model was trained with. */
export function copyTokenizer(dir: string, { tokenizer, chatTemplate }: WrittenTokenizer): void {
  for (const file of tokenizer.files) {
    if (chatTemplate !== null && isTemplateFile(file)) continue;
    const target = join(dir, file);
    makeDirectories(dirname(target));
    copyFile(join(tokenizer.directory, file), target);
  }
  if (chatTemplate === null) return;
  for (const [name, text] of templatesWith(tokenizer.chatTemplates, chatTemplate)) {
    const target = join(dir, templateFile(name));
    makeDirectories(dirname(target));
    writeFileAtomic(target, text);
  }
  changeTokenizerConfig(join(dir, "tokenizer_config.json"), ({ chat_template: _, ...settings }) => settings);
}

/** Writes the settings of a tokenizer's JSON file again, where there is one. */
export function changeTokenizerConfig(
  path: string,
  change: (settings: Record<string, unknown>) => Record<string, unknown>,
): void {
  if (!existsSync(path)) return;
  const settings = readJsonFile(path, tokenizerConfigLimits) as Record<string, unknown>;
  writeFileAtomic(path, `${JSON.stringify(change(settings), null, 2)}\n`);
}
