/** The tokenizer of the benchmark's models. Rows come as ids: the peers only ask it for its special tokens. */
import { byteSymbols } from "../../src/text/token-bytes.ts";
import { byteLevelBpe } from "../../src/toy/toy-tokenizer.ts";

/** Its files by name, as they are written. */
export const tokenizerFiles: Record<string, unknown> = {
  "tokenizer.json": byteLevelBpe(["<pad>", "<s>", "</s>"], { symbols: byteSymbols(), merges: [] }),
  "tokenizer_config.json": {
    tokenizer_class: "PreTrainedTokenizerFast",
    pad_token: "<pad>",
    bos_token: "<s>",
    eos_token: "</s>",
    model_max_length: 4096,
  },
};
