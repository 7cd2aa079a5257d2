/** Writes small tokenizer directories for tests: every byte is a token, with a few merges and ChatML's control tokens. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { byteSymbols } from "../../src/text/token-bytes.ts";
import type { JsonObject } from "../../src/text/tokenizer-files.ts";
import { byteLevelBpe } from "../../src/toy/toy-tokenizer.ts";

/** What differs between toy tokenizers. */
export interface ToyOptions {
  /** tokenizer_config.json's chat_template. */
  chatTemplate?: unknown;
  /** Put a BOS in front of plain text, as Llama's post-processor does, and an EOS behind it if `appendEos`. */
  prependBos?: boolean;
  appendEos?: boolean;
  /** Merges as the older "a b" strings instead of pairs. */
  stringMerges?: boolean;
  /** Control tokens beside those that are always there, with the ids after theirs. */
  controls?: readonly string[];
  /** More keys of tokenizer_config.json. */
  config?: JsonObject;
}

const controlTokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>"];
const merges: [string, string][] = [
  ["Ġ", "a"],
  ["l", "l"],
  ["Ċ", "Ċ"],
];

/** Files of a toy tokenizer: `tokenizer.json` and `tokenizer_config.json` as objects. */
export function toyFiles(options: ToyOptions = {}): { tokenizer: JsonObject; config: JsonObject } {
  const made = byteLevelBpe([...controlTokens, ...(options.controls ?? [])], {
    symbols: [...byteSymbols(), ...merges.map((pair) => pair.join(""))],
    merges,
  });
  const specialTokens = Object.fromEntries(
    ["<s>", "</s>"].map((id) => [id, { id, ids: [controlTokens.indexOf(id)], tokens: [id] }]),
  );
  const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const single = [
    ...(options.prependBos === true ? [special("<s>")] : []),
    { Sequence: { id: "A", type_id: 0 } },
    ...(options.appendEos === true ? [special("</s>")] : []),
  ];
  const tokenizer = {
    ...made,
    post_processor: { type: "TemplateProcessing", single, pair: single, special_tokens: specialTokens },
    model: {
      ...made.model,
      merges: options.stringMerges === true ? merges.map((pair) => pair.join(" ")) : merges,
    },
  };
  const config = {
    bos_token: options.prependBos === true ? "<s>" : null,
    eos_token: options.prependBos === true ? "</s>" : "<|im_end|>",
    ...(options.chatTemplate === undefined ? {} : { chat_template: options.chatTemplate }),
    ...options.config,
  };
  return { tokenizer, config };
}

/** Runs `body` with a directory that holds a toy tokenizer, and removes it afterwards. */
export async function withToyTokenizer<T>(
  options: ToyOptions,
  body: (directory: string) => T | Promise<T>,
): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), "preftune-tokenizer-"));
  try {
    const { tokenizer, config } = toyFiles(options);
    writeFileSync(join(directory, "tokenizer.json"), JSON.stringify(tokenizer));
    writeFileSync(join(directory, "tokenizer_config.json"), JSON.stringify(config));
    return await body(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
