/** The tokens at which generation has to stop, and what a GGUF file says of them and of the other special tokens. */
import { FormatError } from "../base/errors.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { type GgufValue, uint32 } from "./values.ts";

/** Tokens that end an answer. */
export interface EndTokens {
  /** Ends a text: the tokenizer's, or the model's first. */
  eos: number;
  /** Ends a turn; the same or another. */
  endOfTurn: number;
  /** All at which generation stops. */
  ids: ReadonlySet<number>;
}

/** Texts of tokens at which llama.cpp stops without being told. */
const knownEnds: ReadonlySet<string> = new Set([
  ...["<|eot_id|>", "<|im_end|>", "<|end|>", "<|endoftext|>", "<|eom_id|>", "<|end_of_text|>"],
  ...["<end_of_turn>", "<EOT>", "</s>", "<eos>", "<end_of_utterance>"],
]);

/** Token with which a Llama ends a message that calls a tool. */
const endOfMessage = "<|eom_id|>";

/**
 * The keys of the special tokens.
 *
 * @throws {FormatError} when an end of answers would pass unseen
 */
export function endKeys(
  { tokenizer, config }: { tokenizer: Tokenizer; config: ModelConfig },
  { eos, endOfTurn, ids }: EndTokens,
): [string, GgufValue][] {
  const unseen = [...ids].filter(
    (id) => id !== eos && id !== endOfTurn && !knownEnds.has(tokenizer.tokenText(id) ?? ""),
  );
  const [first] = unseen;
  if (first !== undefined) {
    throw new FormatError(
      `${tokenizer.directory}: answers end with the token ${first} (${JSON.stringify(tokenizer.tokenText(first))}) beside ` +
        `${eos} and ${endOfTurn}, and llama.cpp has no key for a third: an answer would not end there. Take it out of eos_token_id in ` +
        "config.json and generation_config.json if the model does not write it.",
    );
  }
  const message = tokenizer.tokenId(endOfMessage);
  const named: [string, number | null][] = [
    ["bos", tokenizer.bosTokenId ?? config.bosTokenId],
    ["eos", eos],
    ["eot", endOfTurn === eos ? null : endOfTurn],
    ["eom", message !== null && ids.has(message) ? message : null],
    ["unknown", tokenizer.unkToken === null ? null : tokenizer.tokenId(tokenizer.unkToken)],
    ["padding", tokenizer.padTokenId ?? config.padTokenId],
  ];
  return named.flatMap(([name, id]) =>
    id === null ? [] : [[`tokenizer.ggml.${name}_token_id`, uint32(id)] as [string, GgufValue]],
  );
}
