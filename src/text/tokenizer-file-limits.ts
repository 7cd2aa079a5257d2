/** What the files of a tokenizer may have, checked before they are parsed. */
import type { JsonLimits } from "../base/json-limits.ts";

/** Tokens of a vocabulary: the largest published ones have half as many. */
export const maxTokens: number = 524_288;

/** Limits of tokenizer.json: one that is published has 33 MB, 262,144 tokens and 514,906 merges, each a list. */
export const tokenizerLimits: JsonLimits = {
  bytes: 128 * 2 ** 20,
  depth: 64,
  members: maxTokens,
  elements: 700_000,
  parts: 700_000,
};

/** Limits of tokenizer_config.json. */
export const tokenizerConfigLimits: JsonLimits = {
  bytes: 32 * 2 ** 20,
  depth: 64,
  members: 100_000,
  elements: 100_000,
  parts: 200_000,
};

/** Bytes of a file with a chat template, and how many there may be in the folder. */
export const maxTemplateBytes: number = 4 * 2 ** 20;
export const maxTemplates: number = 100;
