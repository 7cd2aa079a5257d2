/** `generation_config.json` beside an exported model: other programs stop at the tokens that it names, and at the tokenizer's EOS. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readJsonFile, writeFileAtomic } from "../base/files.ts";
import { settingsLimits } from "../base/json-limits.ts";
import type { ModelConfig } from "../formats/model-config.ts";

/**
 * Adds the tokens that the model was taught to end its answers with to those of the file, behind them. A file that has them all stays
 * as it is.
 *
 * @param dir - holds the file, or gets one
 * @param stopIds - see `RowEncoder.stopIds`
 */
export function addStopTokens(
  dir: string,
  stopIds: Iterable<number>,
  { eosTokenIds, bosTokenId, padTokenId, vocabSize }: ModelConfig,
): void {
  const path = join(dir, "generation_config.json");
  const given = existsSync(path) ? (readJsonFile(path, settingsLimits) as Record<string, unknown>) : null;
  const own = [given?.["eos_token_id"] ?? (given === null ? eosTokenIds : [])].flat();
  const missing = [...stopIds].filter((id) => id < vocabSize && !own.includes(id));
  if (missing.length === 0) return;
  const plain: Record<string, unknown> = { bos_token_id: bosTokenId, pad_token_id: padTokenId };
  // with that key transformers may make the settings again from config.json
  const { _from_model_config: _, ...settings } = given ?? plain;
  const changed = { ...settings, eos_token_id: [...own, ...missing] };
  writeFileAtomic(path, `${JSON.stringify(changed, null, 2)}\n`);
}
