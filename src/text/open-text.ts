/**
 * The text side of a model directory: config, tokenizer, prompt encoder and the tokens that end an answer. Needs no libtorch.
 * The weights are opened by `loadModel` (src/models/load.ts), for several adapters at once by `openEngine` (src/generate).
 */
import { readModelConfig } from "../formats/hf-config.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import { createRowEncoder, type EncoderOptions, type RowEncoder } from "./encode.ts";
import { loadTokenizer, type Tokenizer } from "./tokenizer.ts";

/** What turns text into a model's tokens and back. Dispose of it when done. */
export interface ModelText extends AsyncDisposable {
  config: ModelConfig;
  tokenizer: Tokenizer;
  encoder: RowEncoder;
  /** The tokens that end an answer: see `RowEncoder.stopIds`. */
  stopIds: ReadonlySet<number>;
}

/**
 * Reads the config and tokenizer in `directory` and tries its chat template, where it has one.
 *
 * @throws {FormatError} if a file is missing or wrong, or the chat template cannot be used
 */
export async function openText(
  directory: string,
  options: Omit<EncoderOptions, "eosTokenIds"> = {},
): Promise<ModelText> {
  const config = readModelConfig(directory);
  const tokenizer = loadTokenizer(directory);
  await using opening = new AsyncDisposableStack();
  const encoder = opening.use(createRowEncoder(tokenizer, { ...options, eosTokenIds: config.eosTokenIds }));
  const stopIds = await encoder.stopIds();
  const open = opening.move();
  return { config, tokenizer, encoder, stopIds, [Symbol.asyncDispose]: () => open.disposeAsync() };
}
