/** Reads the files a Hugging Face tokenizer consists of: their JSON, the special tokens named there and every chat template. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { FileError, FormatError, messageOf } from "../base/errors.ts";
import { isRecord } from "../base/is-record.ts";
import { type JsonLimits, requireJsonLimits, settingsLimits } from "../base/json-limits.ts";
import { readFileBytes } from "../base/open-file.ts";
import { refuseClassTokens } from "./class-tokens.ts";
import { refuseOtherPrefix } from "./prefix-space.ts";
import {
  maxTemplateBytes,
  maxTemplates,
  tokenizerConfigLimits,
  tokenizerLimits,
} from "./tokenizer-file-limits.ts";

/** A JSON object of unknown content. */
export type JsonObject = Record<string, unknown>;

/** Special tokens by name, as chat templates read them: `bos_token` and the like, and a tokenizer's own (`image_token`). */
export type SpecialTokens = Readonly<Record<string, string>>;

/** Chat templates by name. `default` is the one used when none is asked for. */
export interface ChatTemplates {
  default: string | null;
  named: Record<string, string>;
}

/** Everything read from a tokenizer's directory, not yet interpreted. */
export interface TokenizerFiles {
  tokenizer: JsonObject;
  /** tokenizer_config.json, with what older files beside it say. */
  config: JsonObject;
  specialTokens: SpecialTokens;
  chatTemplates: ChatTemplates;
  /** SHA-256 of tokenizer.json, in hexadecimal. */
  fingerprint: string;
  /** Paths, relative to the directory, of the files an export copies. */
  files: string[];
}

const templateFolder = "additional_chat_templates";

/** Name of the template that models with several use for conversations with tools. */
export const toolTemplate = "tool_use";

const copiedFiles = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
  "chat_template.json",
  "tokenizer.model",
  "vocab.json",
  "vocab.txt",
  "merges.txt",
];

/**
 * The contents of the tokenizer files in `directory`.
 *
 * @throws FormatError when tokenizer.json or tokenizer_config.json is missing or is not a JSON object
 */
export function readTokenizerFiles(directory: string): TokenizerFiles {
  const path = join(directory, "tokenizer.json");
  if (!existsSync(path)) throw missingTokenizer(directory);
  const bytes = readBytes(path, tokenizerLimits.bytes);
  const tokenizer = parseObject(bytes, path, tokenizerLimits);
  const configPath = join(directory, "tokenizer_config.json");
  if (!existsSync(configPath)) {
    throw new FormatError(
      `Expected ${configPath} beside tokenizer.json, but it is missing. ` +
        `Copy it from the model's repository: it names the special tokens and the chat template.`,
    );
  }
  const config = withOlderFiles(directory, readObject(configPath, tokenizerConfigLimits), tokenizer);
  refuseSplitting(config, configPath);
  refuseOtherPrefix(tokenizer, config, configPath);
  const chatTemplates = readChatTemplates(directory, config, configPath);
  const { default: own, named } = chatTemplates;
  const templates = [...(own === null ? [] : [own]), ...Object.values(named)];
  refuseClassTokens(tokenizer, config, { path: configPath, templates });
  return {
    tokenizer,
    config,
    specialTokens: namedTokens(config),
    chatTemplates,
    fingerprint: createHash("sha256").update(bytes).digest("hex"),
    files: listFiles(directory),
  };
}

function readBytes(path: string, most: number): Buffer {
  try {
    return readFileBytes(path, most);
  } catch (error) {
    if (error instanceof FileError || error instanceof FormatError) throw error;
    throw new FormatError(`Expected a readable tokenizer file, but ${path} failed: ${messageOf(error)}.`, {
      cause: error,
    });
  }
}

function readObject(path: string, limits: JsonLimits): JsonObject {
  return parseObject(readBytes(path, limits.bytes), path, limits);
}

function parseObject(bytes: Buffer, path: string, limits: JsonLimits): JsonObject {
  requireJsonLimits(bytes, path, limits);
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw new FormatError(
      `Expected JSON in ${path}, but: ${messageOf(error)}. Download the file again; it may be cut short.`,
      { cause: error },
    );
  }
  if (isRecord(value)) return value;
  throw new FormatError(`Expected a JSON object in ${path}. Download the file again.`);
}

function missingTokenizer(directory: string): FormatError {
  const expected = `Expected a tokenizer.json in ${directory}`;
  const convert =
    `Convert it once with Python: ` +
    `python -c "from transformers import AutoTokenizer as T; T.from_pretrained('${directory}').save_pretrained('${directory}')"`;
  if (!existsSync(directory)) return new FormatError(`${expected}, but the directory does not exist.`);
  if (existsSync(join(directory, "tokenizer.model"))) {
    return new FormatError(`${expected}, but found only a SentencePiece tokenizer.model. ${convert}`);
  }
  if (existsSync(join(directory, "vocab.json")) || existsSync(join(directory, "vocab.txt"))) {
    return new FormatError(`${expected}, but found only the older vocabulary files. ${convert}`);
  }
  return new FormatError(`${expected}, but it is missing. Point at a directory saved by save_pretrained.`);
}

/** Names that every tokenizer of transformers has. */
export const standardTokens: readonly string[] = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map(
  (name) => `${name}_token`,
);

function isOwnName(key: string): boolean {
  return key.endsWith("_token") && !standardTokens.includes(key);
}

/**
 * `config` with what the older files say, as in transformers 5: beside a config without `added_tokens_decoder`,
 * special_tokens_map.json overrules it, null too, but for names of the tokenizer's own, and added_tokens.json adds
 * tokens that tokenizer.json lacks. Beside one that has it, neither is read.
 */
function withOlderFiles(directory: string, config: JsonObject, tokenizer: JsonObject): JsonObject {
  if ("added_tokens_decoder" in config) return config;
  const read = (name: string, limits: JsonLimits): JsonObject => {
    const path = join(directory, name);
    return existsSync(path) ? readObject(path, limits) : {};
  };
  const own = Object.entries(config).filter(([key, value]) => isOwnName(key) && typeof value === "string");
  const map = read("special_tokens_map.json", settingsLimits);
  const settings: JsonObject = { ...config, ...map, ...Object.fromEntries(own) };
  const [extra, more] = [config["extra_special_tokens"], map["extra_special_tokens"]];
  if (Array.isArray(more)) {
    const special = more.map((token) => (isRecord(token) ? { ...token, special: true } : token));
    settings["extra_special_tokens"] = [...(Array.isArray(extra) ? extra : []), ...special];
  }
  const added = read("added_tokens.json", tokenizerConfigLimits);
  return { ...settings, added_tokens_decoder: olderTokens(added, settings, tokenizer) };
}

/** Tokens of added_tokens.json and of tokenizer.json, as `added_tokens_decoder` has them. */
function olderTokens(added: JsonObject, settings: JsonObject, tokenizer: JsonObject): JsonObject {
  const listed = tokenizer["added_tokens"];
  const own = Array.isArray(listed) ? listed.filter(isRecord) : [];
  const known = new Set(own.map(tokenText));
  const contents = (tokens: unknown): unknown[] => (Array.isArray(tokens) ? tokens.map(tokenText) : []);
  const special = new Set([
    ...standardTokens.map((name) => tokenText(settings[name])),
    ...contents(settings["additional_special_tokens"]),
    ...contents(settings["extra_special_tokens"]),
  ]);
  const entries = Object.entries(added).filter(([content]) => !known.has(content));
  return Object.fromEntries([
    ...entries.map(([content, id]) => [String(id), { content, special: special.has(content) }]),
    ...own.map((token) => [String(token["id"]), token]),
  ]);
}

/** Special tokens that have a name in the config, as transformers 5 gives them to chat templates. */
function namedTokens(config: JsonObject): SpecialTokens {
  const pick = (isPicked: (key: string, value: unknown) => boolean): JsonObject =>
    Object.fromEntries(Object.entries(config).filter(([key, value]) => isPicked(key, value)));
  const extra = [config["extra_special_tokens"], config["additional_special_tokens"]].find(isRecord);
  const own = { ...pick((key, value) => isOwnName(key) && typeof value === "string"), ...extra };
  const saved = config["model_specific_special_tokens"];
  const named = {
    ...pick((key) => standardTokens.includes(key)),
    ...pick((key, value) => isOwnName(key) && isRecord(value) && value["__type"] === "AddedToken"),
    ...(Object.keys(own).length === 0 && isRecord(saved) ? saved : own),
  };
  const texts = Object.entries(named).map(([name, value]) => [name, tokenText(value)] as const);
  return Object.fromEntries(texts.filter((entry): entry is [string, string] => entry[1] !== null));
}

function refuseSplitting(config: JsonObject, path: string): void {
  if (config["split_special_tokens"] !== true) return;
  throw new FormatError(
    `${path}: expected special tokens that are one token in a text, got split_special_tokens: true, with which those ` +
      "that a chat template writes would be split too. Set it to false.",
  );
}

function tokenText(value: unknown): string | null {
  if (typeof value === "string") return value;
  if (isRecord(value) && typeof value["content"] === "string") return value["content"];
  return null;
}

/** The default chat template of a directory, which may hold no tokenizer beside; null: none. */
export function ownChatTemplate(directory: string): string | null {
  const path = join(directory, "tokenizer_config.json");
  const config = existsSync(path) ? readObject(path, tokenizerConfigLimits) : {};
  return readChatTemplates(directory, config, path).default;
}

/** Templates of the .jinja files; where there is none, those of the config. As in transformers, none is read beside a file. */
function readChatTemplates(directory: string, config: JsonObject, configPath: string): ChatTemplates {
  const named = templateFiles(directory);
  if (named.size === 0) {
    for (const [name, text] of templatesOfConfig(config["chat_template"], configPath)) named.set(name, text);
  }
  const fallback = named.get("default") ?? null;
  named.delete("default");
  return { default: fallback, named: Object.fromEntries(named) };
}

function templateFiles(directory: string): Map<string, string> {
  const named = new Map<string, string>();
  const file = join(directory, "chat_template.jinja");
  if (existsSync(file)) named.set("default", readBytes(file, maxTemplateBytes).toString("utf8"));
  const folder = join(directory, templateFolder);
  for (const name of existsSync(folder) ? templateNames(folder) : []) {
    const text = readBytes(join(folder, name), maxTemplateBytes).toString("utf8");
    named.set(name.slice(0, -".jinja".length), text);
  }
  return named;
}

function templatesOfConfig(value: unknown, path: string): Map<string, string> {
  if (value === undefined || value === null) return new Map();
  if (typeof value === "string") return new Map([["default", value]]);
  const named = new Map<string, string>();
  const byName = isRecord(value) && Object.values(value).every((text) => typeof text === "string");
  const pairs = byName ? Object.entries(value).map(([name, template]) => ({ name, template })) : [value];
  for (const entry of Array.isArray(value) ? value : pairs) {
    const name = isRecord(entry) ? entry["name"] : undefined;
    const template = isRecord(entry) ? entry["template"] : undefined;
    if (typeof name !== "string" || typeof template !== "string") {
      throw new FormatError(
        `Expected chat_template in ${path} to be a string, a list of {"name", "template"} objects or an object of templates by name. ` +
          `Fix the entry, or put the template into chat_template.jinja beside it.`,
      );
    }
    named.set(name, template);
  }
  return named;
}

function templateNames(folder: string): string[] {
  const names = readdirSync(folder).filter((name) => name.endsWith(".jinja"));
  if (names.length <= maxTemplates) return names.sort();
  throw new FormatError(`${folder}: expected at most ${maxTemplates} chat templates, got ${names.length}.`);
}

/** Path of a template in a tokenizer's directory. */
export function templateFile(name: string): string {
  return name === "default" ? "chat_template.jinja" : `${templateFolder}/${name}.jinja`;
}

/** Whether a tokenizer's file holds nothing but a chat template. */
export function isTemplateFile(file: string): boolean {
  return file.startsWith("chat_template.") || file.startsWith(`${templateFolder}/`);
}

/**
 * A tokenizer's templates, by name, with `chosen` as the default. The one that others take for tools in its place is left out, where it
 * is another.
 */
export function templatesWith({ named }: ChatTemplates, chosen: string): Map<string, string> {
  const kept = Object.entries(named).filter(
    ([name, text]) => /^[\w.-]+$/.test(name) && (name !== toolTemplate || text === chosen),
  );
  return new Map([["default", chosen], ...kept]);
}

function listFiles(directory: string): string[] {
  const files = copiedFiles.filter((name) => existsSync(join(directory, name)));
  const folder = join(directory, templateFolder);
  if (existsSync(folder)) {
    for (const name of templateNames(folder)) files.push(`${templateFolder}/${name}`);
  }
  return files;
}
