/** Defaults of generation in a model's directory, which are not applied here: a warning names them. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readJsonFile } from "../base/files.ts";
import { isRecord } from "../base/is-record.ts";
import { settingsLimits } from "../base/json-limits.ts";
import { warn } from "../base/warn.ts";
import { brief } from "./json-fields.ts";

/** Keys by which vLLM or transformers 5.23 change what is generated, each with the value that changes nothing, as null does. */
const available = {
  max_new_tokens: null,
  temperature: 1,
  top_k: 0,
  top_p: 1,
  min_p: 0,
  repetition_penalty: 1,
};
const others = {
  ...{ min_length: 0, min_new_tokens: 0, stop_strings: null, bad_words_ids: null, suppress_tokens: null },
  ...{
    begin_suppress_tokens: null,
    forced_bos_token_id: null,
    forced_eos_token_id: null,
    sequence_bias: null,
  },
  ...{ typical_p: 1, top_h: null, epsilon_cutoff: 0, eta_cutoff: 0, no_repeat_ngram_size: 0, num_beams: 1 },
  ...{
    exponential_decay_length_penalty: null,
    guidance_scale: 1,
    penalty_alpha: null,
    watermarking_config: null,
  },
};

/**
 * Warns of what a model's `generation_config.json` sets and is not applied.
 *
 * @param given - keys in whose place a value was given
 */
export function tellGenerationDefaults(model: string, given: ReadonlySet<string> = new Set()): void {
  const path = join(model, "generation_config.json");
  const file = existsSync(path) ? readJsonFile(path, settingsLimits) : null;
  if (!isRecord(file)) return;
  // transformers takes 50 where the file samples and has no top_k
  const values = file["do_sample"] === true ? { ...file, top_k: file["top_k"] ?? 50 } : file;
  const set = (keys: Readonly<Record<string, unknown>>): string[] =>
    Object.entries(keys).flatMap(([key, neutral]) => {
      const value = values[key] ?? neutral;
      const isNeutral = value === neutral || (Array.isArray(value) && value.length === 0);
      return isNeutral || given.has(key) ? [] : [`${key} ${brief(value)}`];
    });
  const [here, elsewhere] = [set(available), set(others)];
  if (here.length + elsewhere.length === 0) return;
  const remedy =
    here.length === 0 ? "" : ` What you want of ${here.join(", ")}, give as options or in requests.`;
  const lack = elsewhere.length === 0 ? "" : ` ${elsewhere.join(", ")} cannot be given here.`;
  warn(`${path}: transformers takes its values as defaults, which are not applied here.${remedy}${lack}`);
}
