/** What a GGUF file says of the tokenizer: tokens with their types, merges or scores, special tokens, how texts are cut, templates. */
import { join } from "node:path";
import { FormatError } from "../base/errors.ts";
import { isRecord } from "../base/is-record.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { type JsonObject, readTokenizerFiles } from "../text/tokenizer-files.ts";
import { formOf } from "./architecture.ts";
import { pieceScores, spacePrefix } from "./piece-scores.ts";
import { preTokenizerName } from "./pre-tokenizer.ts";
import { type EndTokens, endKeys } from "./special-tokens.ts";
import { bool, type GgufValue, string, strings } from "./values.ts";

/** What decides the vocabulary of a file. */
export interface VocabularySource {
  tokenizer: Tokenizer;
  config: ModelConfig;
  /** Rows of the embedding. */
  rows: number;
  ends: EndTokens;
  /** The chat template that the model was trained with, and others by name; null: none. */
  template: { text: string; named: Readonly<Record<string, string>> } | null;
}

/** The keys, and what a user should know of them. */
export interface Vocabulary {
  keys: Map<string, GgufValue>;
  /** Tokens of the file: rows that the embedding keeps. */
  tokens: number;
  notes: string[];
}

/** Types of tokens in a GGUF file. */
const types = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/**
 * The vocabulary of a model for llama.cpp.
 *
 * @throws {FormatError} for a tokenizer that llama.cpp would not compute the same ids with
 */
export function vocabularyOf(source: VocabularySource): Vocabulary {
  const { tokenizer, ends, template } = source;
  const file = join(tokenizer.directory, "tokenizer.json");
  const { tokenizer: json } = readTokenizerFiles(tokenizer.directory);
  refuseModel(json, file);
  const model = json["model"] as JsonObject;
  const isSpm = model["byte_fallback"] === true;
  const listed = listTokens(source, isSpm);
  const notes: string[] = [];
  const keys = new Map<string, GgufValue>();
  if (isSpm) {
    const prefix = spacePrefix(json, file);
    if (prefix === "first") notes.push(firstOnly);
    if (prefix === "where missing") notes.push(whereMissing);
    if (prefix === "always") notes.push(...withSpace(json));
    const scores = pieceScores(new Set(Object.keys(model["vocab"] as JsonObject)), mergesOf(model), file);
    keys.set("tokenizer.ggml.add_space_prefix", bool(prefix === "always" || prefix === "where missing"));
    keys.set("tokenizer.ggml.model", string("llama"));
    keys.set("tokenizer.ggml.pre", string("default"));
    keys.set("tokenizer.ggml.tokens", strings(listed.texts));
    keys.set("tokenizer.ggml.scores", {
      type: "float32s",
      value: listed.texts.map((text, id) =>
        listed.types[id] === types.normal ? (scores.get(text) ?? -scores.size) : 0,
      ),
    });
  } else {
    if (isRecord(json["normalizer"])) notes.push(composing);
    keys.set("tokenizer.ggml.add_space_prefix", bool(false));
    keys.set("tokenizer.ggml.model", string("gpt2"));
    keys.set("tokenizer.ggml.pre", string(preTokenizerName(json, file)));
    keys.set("tokenizer.ggml.tokens", strings(listed.texts));
  }
  keys.set("tokenizer.ggml.token_type", { type: "int32s", value: listed.types });
  if (!isSpm) keys.set("tokenizer.ggml.merges", strings(mergesOf(model).map((pair) => pair.join(" "))));
  for (const [key, value] of endKeys(source, ends)) keys.set(key, value);
  for (const [key, value] of Object.entries(addedAround(tokenizer))) keys.set(key, bool(value));
  for (const [key, value] of templateKeys(template)) keys.set(key, value);
  return { keys, tokens: listed.texts.length, notes };
}

const firstOnly =
  "The tokenizer writes a space in front of a text and not behind a special token. llama.cpp does both or neither, and is told neither: " +
  "chats that begin with a special token have the same tokens, other texts lack the space.";

const whereMissing =
  "The tokenizer writes a space in front of a text, and behind a special token, unless there is one. llama.cpp writes it in any case: " +
  "what begins with a space has one more there.";

const composing =
  "The tokenizer composes characters (NFC), and llama.cpp does not: a text with decomposed ones has other tokens there.";

/** Of added tokens that go through the normalizer, which writes a space in front of them: a tokenizer finds them together with one. */
function withSpace(json: JsonObject): string[] {
  const normalised = addedOf(json).filter(({ normalized }) => normalized === true);
  if (normalised.length === 0) return [];
  const named = normalised.slice(0, 3).map(({ content }) => JSON.stringify(content));
  return [
    `The tokenizer finds ${normalised.length === 1 ? "an added token" : `${normalised.length} added tokens`} (${named.join(", ")}${normalised.length > 3 ? ", …" : ""}) only together with a space ` +
      "in front of them (normalized: true), and llama.cpp as they stand: a text that holds one has other tokens there.",
  ];
}

function addedOf(json: JsonObject): JsonObject[] {
  const added = json["added_tokens"];
  return Array.isArray(added) ? added.filter(isRecord) : [];
}

/** Kinds of models, and settings of theirs, that change ids in ways llama.cpp does not have. */
function refuseModel(json: JsonObject, file: string): void {
  const model = isRecord(json["model"]) ? json["model"] : {};
  const refuse = (what: string): never => {
    throw new FormatError(
      `${file}: expected a tokenizer that llama.cpp can compute (BPE), got ${what}. No GGUF file is written.`,
    );
  };
  if (model["type"] !== "BPE" || !isRecord(model["vocab"])) refuse(`a ${String(model["type"])} model`);
  for (const key of ["dropout", "continuing_subword_prefix", "end_of_word_suffix"]) {
    if (model[key]) refuse(`a model with ${key} ${JSON.stringify(model[key])}`);
  }
  for (const token of addedOf(json)) {
    const flag = ["lstrip", "rstrip", "single_word"].find((name) => token[name] === true);
    if (flag === undefined) continue;
    throw new FormatError(
      `${file}: expected added tokens without ${flag}, which a GGUF file has no key for, got ${JSON.stringify(token["content"])} with it. ` +
        'llama.cpp knows some such models by their names alone, Phi-3 ("phi-3" or "phi3" in general.name) among them, and for others has ' +
        "other ids behind that token. No GGUF file is written: take the model as it is, or for Phi-3 llama.cpp's convert_hf_to_gguf.py.",
    );
  }
}

function mergesOf(model: JsonObject): [string, string][] {
  const merges = model["merges"];
  return (Array.isArray(merges) ? merges : []).map((merge) => {
    const [left = "", right = ""] = typeof merge === "string" ? merge.split(" ") : (merge as string[]);
    return [left, right];
  });
}

/** Texts and types of all tokens, by id. Rows without a token are filled up, or cut where llama.cpp cuts them. */
function listTokens(
  { tokenizer, config, rows, ends }: VocabularySource,
  isSpm: boolean,
): { texts: string[]; types: number[] } {
  const count = formOf(config).cutsEmbedding ? Math.min(rows, tokenizer.vocabSize) : rows;
  const added = new Map(tokenizer.addedTokens.map((token) => [token.id, token]));
  const typeOf = (id: number, text: string): number => {
    const token = added.get(id);
    if (token === undefined) return isSpm && /^<0x[0-9A-F]{2}>$/.test(text) ? types.byte : types.normal;
    if (isSpm && text === tokenizer.unkToken) return types.unknown;
    const isControl = token.isSpecial || ends.ids.has(id) || looksSpecial(text);
    return isControl ? types.control : types.userDefined;
  };
  const texts: string[] = [];
  const kinds: number[] = [];
  for (let id = 0; id < count; id++) {
    const text = added.get(id)?.text ?? tokenizer.tokenText(id);
    const kind = text === null ? types.unused : typeOf(id, text);
    kinds.push(kind);
    // a user's token is looked for in the text as it stands
    texts.push(kind === types.userDefined ? (text ?? "").replaceAll("▁", " ") : (text ?? `[PAD${id}]`));
  }
  return { texts, types: kinds };
}

/** Added tokens that a tokenizer does not call special and llama.cpp's converter does: control tokens do not print. */
function looksSpecial(text: string): boolean {
  return (
    /^<\|.*\|>$|^<｜.*｜>$|^<unused.*>$/s.test(text) ||
    ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].includes(text)
  );
}

/**
 * Whether the tokenizer puts its beginning-of-sequence token in front of a text, and its end behind it.
 *
 * @throws {FormatError} for other tokens
 */
function addedAround(tokenizer: Tokenizer): Record<string, boolean> {
  const bare = tokenizer.encode("a", { addSpecialTokens: false });
  const full = tokenizer.encode("a", { addSpecialTokens: true });
  const { bosTokenId: bos, eosTokenId: eos } = tokenizer;
  const bosAdded = bos !== null && full[0] === bos && full.length > bare.length;
  const eosAdded = eos !== null && full.at(-1) === eos && full.length > bare.length + (bosAdded ? 1 : 0);
  const expected = [...(bosAdded ? [bos] : []), ...bare, ...(eosAdded ? [eos] : [])];
  if (String(expected) !== String(full)) {
    throw new FormatError(
      `${tokenizer.directory}: the tokenizer writes the tokens ${full.join(", ")} for a text of the tokens ${bare.join(", ")}; llama.cpp ` +
        "adds no other than bos_token in front and eos_token behind. No GGUF file is written.",
    );
  }
  return { "tokenizer.ggml.add_bos_token": bosAdded, "tokenizer.ggml.add_eos_token": eosAdded };
}

function templateKeys(template: VocabularySource["template"]): [string, GgufValue][] {
  if (template === null) return [];
  const named = Object.entries(template.named);
  const keys: [string, GgufValue][] = [["tokenizer.chat_template", string(template.text)]];
  if (named.length > 0) keys.push(["tokenizer.chat_templates", strings(named.map(([name]) => name))]);
  for (const [name, text] of named) keys.push([`tokenizer.chat_template.${name}`, string(text)]);
  return keys;
}

/**
 * A model's name as a file has it. llama.cpp takes a model with "phi3" or "phi-3" in its name for one with Phi-3's tokenizer, which no
 * file here has: it strips spaces behind special tokens then, or does not load the file.
 */
export function plainName(name: string): string {
  return name.replace(/(phi)-?(3)/gi, "$1 $2");
}
