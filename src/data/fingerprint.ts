/** Identities of prompts, rows and data sets: hashes of their token ids. */
import { createHash, type Hash } from "node:crypto";

import { jsonOf } from "../text/json-number.ts";
import type { Example } from "./example.ts";

/**
 * Identity of an example's prompt as it was before any cut, whatever answer follows. Running text has no prompt (one token at
 * most): there the answers count too, so that each text has its own key.
 */
export function promptKeyOf(example: Example): string {
  if (example.trace?.promptKey !== undefined) return example.trace.promptKey;
  return example.promptIds.length <= 1 ? rowKeyOf(example) : tokensKeyOf(example.promptIds);
}

/** Identity of tokens. */
export function tokensKeyOf(ids: readonly number[]): string {
  const hash = createHash("sha256");
  addIds(hash, ids);
  return hash.digest("hex");
}

/** Identity of an example's tokens: prompt, answers and masks. */
export function rowKeyOf(example: Example): string {
  const hash = createHash("sha256");
  addExample(hash, example);
  return hash.digest("hex");
}

/** SHA-256 over the tokens, masks, reference log-probs, margins and labels of `examples` in order, and over `options`. */
export function fingerprintOf(examples: readonly Example[], options: unknown = null): string {
  const hash = createHash("sha256").update(JSON.stringify(options) ?? "");
  for (const example of examples) {
    addExample(hash, example);
    hash.update(JSON.stringify(example.referenceLogps ?? null));
    if (example.margin !== undefined) hash.update(`margin ${example.margin}`);
    if (example.label !== undefined) hash.update(`label ${example.label}`);
    if (example.sampledPromptIds !== undefined) addIds(hash, example.sampledPromptIds);
    if (example.reward !== undefined) hash.update(jsonOf(example.reward));
  }
  return hash.digest("hex");
}

function addExample(hash: Hash, example: Example): void {
  addIds(hash, example.promptIds);
  for (const { ids, mask } of example.completions) {
    addIds(hash, ids);
    addIds(hash, mask ?? []);
  }
}

/** The length goes in front, so that the same tokens divided otherwise give another hash. */
function addIds(hash: Hash, ids: readonly number[]): void {
  hash.update(new Uint8Array(Int32Array.of(ids.length).buffer));
  hash.update(new Uint8Array(Int32Array.from(ids).buffer));
}
