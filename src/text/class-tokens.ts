/** Special tokens that classes of transformers have where tokenizer_config.json names none. */
import { FormatError } from "../base/errors.ts";
import { isRecord } from "../base/is-record.ts";

const ends = { bos_token: "<|endoftext|>", eos_token: "<|endoftext|>" };

/** By class of transformers 5, without the "Tokenizer" or "TokenizerFast" of its name. */
const classTokens: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  // biome-ignore-start lint/style/useNamingConvention: names of transformers
  CodeGen: ends,
  Cohere: { bos_token: "<BOS_TOKEN>", eos_token: "<|END_OF_TURN_TOKEN|>" },
  GPT2: ends,
  GPTNeoX: ends,
  Gemma: { bos_token: "<bos>", eos_token: "<eos>" },
  Llama: { bos_token: "<s>", eos_token: "</s>" },
  Qwen2: { eos_token: "<|endoftext|>" },
  // biome-ignore-end lint/style/useNamingConvention: names of transformers
};

/**
 * Refuses a tokenizer whose chat template reads a token that its config does not name, where transformers' class has one: the
 * template would write nothing in its place.
 *
 * @param path - of the config
 * @param templates - the texts of its chat templates
 * @throws {FormatError} that names the token
 */
export function refuseClassTokens(
  tokenizer: Readonly<Record<string, unknown>>,
  config: Readonly<Record<string, unknown>>,
  { path, templates }: { path: string; templates: readonly string[] },
): void {
  const name = String(config["tokenizer_class"] ?? "").replace(/Tokenizer(?:Fast)?$/, "");
  const tokens = Object.hasOwn(classTokens, name) ? (classTokens[name] ?? {}) : {};
  for (const [key, token] of Object.entries(tokens)) {
    const isRead = templates.some((source) => new RegExp(`\\b${key}\\b`).test(source));
    if (key in config || !isRead || !isInVocabulary(tokenizer, token)) continue;
    throw new FormatError(
      `${path}: expected ${key}, which the chat template reads, got none: transformers' ${config["tokenizer_class"]} takes "${token}" then. ` +
        `Add "${key}": "${token}", or null for none.`,
    );
  }
}

function isInVocabulary(
  { model, added_tokens: added }: Readonly<Record<string, unknown>>,
  token: string,
): boolean {
  if (Array.isArray(added) && added.some((one) => isRecord(one) && one["content"] === token)) return true;
  const vocabulary = isRecord(model) ? model["vocab"] : null;
  return Array.isArray(vocabulary)
    ? vocabulary.some((entry) => Array.isArray(entry) && entry[0] === token)
    : isRecord(vocabulary) && Object.hasOwn(vocabulary, token);
}
