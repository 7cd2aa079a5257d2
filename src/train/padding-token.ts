/** The token with which others pad batches of a reward model's texts. */
import { join } from "node:path";
import type { Decoder } from "../models/causal-lm.ts";
import { RewardModel } from "../models/reward-model.ts";
import { changeTokenizerConfig, copyTokenizer, type WrittenTokenizer } from "./copy-tokenizer.ts";
import type { PreparedData } from "./prepare-data.ts";

/**
 * Id of a token that pads texts and ends none; null where there is no such token.
 *
 * transformers reads the score at the last token that is not `pad_token_id`. Where that is the end of an answer as well, as in
 * many published models, it reads the token before. So: the model's own padding token or the tokenizer's, where it ends no
 * answer, else another special token.
 */
export function paddingTokenOf({
  tokenizer,
  modelConfig: { padTokenId, vocabSize },
  stopIds,
}: Pick<PreparedData, "tokenizer" | "modelConfig" | "stopIds">): number | null {
  const special = tokenizer.addedTokens.filter(({ isSpecial }) => isSpecial).map(({ id }) => id);
  const ends = new Set([...stopIds, tokenizer.eosTokenId]);
  const bos = tokenizer.bosTokenId;
  const candidates = [padTokenId, tokenizer.padTokenId, ...special.filter((id) => id !== bos), bos];
  return candidates.find((id) => id !== null && id < vocabSize && !ends.has(id)) ?? null;
}

/** Copies the tokenizer of `model` into `dir`; that of a reward model pads with the token which the model's config names. */
export function writeTokenizer(dir: string, written: WrittenTokenizer, model: Decoder): void {
  copyTokenizer(dir, written);
  const { tokenizer } = written;
  const { padTokenId } = model.config;
  const token = tokenizer.addedTokens.find(({ id }) => id === padTokenId)?.text;
  if (!(model instanceof RewardModel) || token === undefined || token === tokenizer.padToken) return;
  for (const name of ["tokenizer_config.json", "special_tokens_map.json"]) {
    changeTokenizerConfig(join(dir, name), (settings) => ({ ...settings, pad_token: token }));
  }
}
