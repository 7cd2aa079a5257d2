/** Toy tokenizers: byte-level BPE, as files that Hugging Face's libraries load. */
import { join } from "node:path";
import { writeFileAtomic } from "../base/files.ts";
import { type BytePairs, learnBytePairs } from "./byte-pairs.ts";

/** Ids of the control tokens are their places here. */
const controlTokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

/** Id of the token that ends a turn. */
export const endOfTurnId = 2;
/** Id of the token that ends a text, also used for padding. */
export const endOfTextId = 0;

/** ChatML without a default system turn. */
export const chatMl: string =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/** Merges learned at most; the quick start's words are single tokens well before. */
const mergeLimit = 1024;

/** What tokenizer.json holds; `model` is the part that has the vocabulary. */
export type ToyTokenizer = Record<string, unknown> & { model: Record<string, unknown> };

/** A byte-level BPE tokenizer.json: control tokens, then symbols, by id. */
export function byteLevelBpe(controls: readonly string[], { symbols, merges }: BytePairs): ToyTokenizer {
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: controls.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries([...controls, ...symbols].map((piece, id) => [piece, id])),
      merges,
    },
  };
}

/** The files of a tokenizer learned from `text`, by name, and the number of its tokens. */
export function makeTokenizer(text: string): { files: Record<string, unknown>; vocabSize: number } {
  const pairs = learnBytePairs(text, mergeLimit);
  const config = {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: null,
    eos_token: controlTokens[endOfTurnId],
    pad_token: controlTokens[endOfTextId],
    unk_token: null,
    clean_up_tokenization_spaces: false,
    model_max_length: 256,
    chat_template: chatMl,
  };
  return {
    files: { "tokenizer.json": byteLevelBpe(controlTokens, pairs), "tokenizer_config.json": config },
    vocabSize: controlTokens.length + pairs.symbols.length,
  };
}

/** Writes the files of `makeTokenizer` into `dir`. */
export function writeTokenizer(dir: string, files: Readonly<Record<string, unknown>>): void {
  for (const [name, content] of Object.entries(files)) {
    writeFileAtomic(join(dir, name), `${JSON.stringify(content, null, 2)}\n`);
  }
}
