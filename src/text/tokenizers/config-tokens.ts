/** Added tokens that tokenizer_config.json names, as transformers 5 adds them to those of tokenizer.json. */
import { FormatError } from "../../base/errors.ts";
import { isRecord } from "../../base/is-record.ts";
import { type JsonObject, standardTokens, type TokenizerFiles } from "../tokenizer-files.ts";

const listKeys = ["additional_special_tokens", "extra_special_tokens"];
const flags = ["single_word", "lstrip", "rstrip", "normalized"] as const;

/**
 * All added tokens of a tokenizer: those of tokenizer.json, with the flags of `added_tokens_decoder` where that has the
 * token too; those of `added_tokens_decoder` alone; and special tokens that are in the model's vocabulary.
 *
 * As in transformers 5, a token is special where either file says so, or where it has a name (`eos_token`, `image_token`) and is
 * in `added_tokens_decoder`; one of `extra_special_tokens` that is an added token already keeps what its file says.
 *
 * A special token that is in no vocabulary is left out: the model has no row for it.
 *
 * @throws FormatError when added_tokens is no list
 */
export function allAddedTokens({ tokenizer, config, specialTokens }: TokenizerFiles): JsonObject[] {
  const listed = tokenizer["added_tokens"] ?? [];
  if (!Array.isArray(listed)) {
    throw new FormatError(`Expected a list of added_tokens in tokenizer.json. Download the file again.`);
  }
  const tokens = new Map<unknown, JsonObject>();
  for (const token of listed.filter(isRecord)) tokens.set(token["content"], token);
  const entries = decoderEntries(config);
  for (const [id, token] of entries) {
    const known = tokens.get(token["content"]);
    const given = withFlags(token);
    const special = given["special"] === true || known?.["special"] === true;
    tokens.set(token["content"], { ...known, ...given, special, id: known?.["id"] ?? id });
  }
  const inConfig = new Set(entries.map(([, token]) => token["content"]));
  const { named, extra } = specialTokensOf(config);
  for (const token of [...named, ...objectsOf(Object.values(specialTokens))]) {
    const known = tokens.get(token["content"]);
    if (known !== undefined && inConfig.has(token["content"]))
      tokens.set(token["content"], { ...known, special: true });
    addMissing(tokens, { ...token, special: true }, tokenizer["model"]);
  }
  for (const token of extra) addMissing(tokens, token, tokenizer["model"]);
  return [...tokens.values()];
}

/** Entries of `added_tokens_decoder` by id. */
function decoderEntries(config: JsonObject): [number, JsonObject][] {
  const listed = config["added_tokens_decoder"];
  if (!isRecord(listed)) return [];
  const entries = Object.entries(listed).map(([id, token]): [number, unknown] => [Number(id), token]);
  return entries
    .filter(
      (entry): entry is [number, JsonObject] => isRecord(entry[1]) && typeof entry[1]["content"] === "string",
    )
    .sort(([a], [b]) => a - b);
}

/** A token with all its flags: what is not given is false. */
function withFlags(token: JsonObject): JsonObject {
  const special = token["special"] === true;
  const given = flags.map((flag) => [flag, token[flag] ?? (flag === "normalized" && !special)]);
  return { content: token["content"], special, ...Object.fromEntries(given) };
}

/** Special tokens of the config: those with one of the seven names, and those of its lists. */
function specialTokensOf(config: JsonObject): { named: JsonObject[]; extra: JsonObject[] } {
  const lists = listKeys.flatMap((key) => {
    const list = config[key];
    return Array.isArray(list) ? list : isRecord(list) ? Object.values(list) : [];
  });
  return { named: objectsOf(standardTokens.map((key) => config[key])), extra: objectsOf(lists) };
}

/** Tokens as objects, of those that are texts or objects. */
function objectsOf(values: readonly unknown[]): JsonObject[] {
  return values.flatMap((value) => {
    if (typeof value === "string") return [{ content: value, special: true }];
    return isRecord(value) && typeof value["content"] === "string" ? [value] : [];
  });
}

/** Adds a token that is in the model's vocabulary and no added token yet. */
function addMissing(tokens: Map<unknown, JsonObject>, token: JsonObject, model: unknown): void {
  const content = String(token["content"]);
  if (tokens.has(content)) return;
  const id = vocabularyId(model, content);
  if (id !== null) tokens.set(content, { ...withFlags(token), id });
}

/** Id of a token in the model's vocabulary: an object, or for Unigram a list of tokens and scores. */
function vocabularyId(model: unknown, content: string): number | null {
  const vocab = isRecord(model) ? model["vocab"] : null;
  if (Array.isArray(vocab)) {
    const at = vocab.findIndex((entry) => Array.isArray(entry) && entry[0] === content);
    return at < 0 ? null : at;
  }
  const id = isRecord(vocab) && Object.hasOwn(vocab, content) ? vocab[content] : null;
  return typeof id === "number" ? id : null;
}
