/** Keys of other trainers get a true reason, not the nearest name of ours. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isConfigKey } from "./keys.ts";
import { loadConfig } from "./load-config.ts";
import { PARALLEL_NAMES } from "./parallel-names.ts";
import { TRAINER_NAMES } from "./trainer-names.ts";
import { TRL_ALIASES } from "./trl-names.ts";
import { YAML_TRAINER_NAMES } from "./yaml-trainer-names.ts";

const names =
  "label_smoothing_factor optim_target_modules eval_delay hub_strategy tau r target_modules init_lora_weights rank_pattern " +
  "model_revision attn_implementation data_seed neftune_noise_alpha logging_first_step dataloader_drop_last " +
  "off_policy_mask_threshold top_entropy_quantile use_adaptive_entropy use_qalora use_bdlora task_type request_timeout " +
  "auto_find_batch_size eval_accumulation_steps lr_scheduler_kwargs logging_strategy entropy_coef_min base_model_name_or_path";

/** What is said of the key. */
function adviceOf(key: string): string {
  try {
    loadConfig({ yaml: `model_name_or_path: m\ntrain_data: a\noutput_dir: o\n${key}: 1\n` });
  } catch (error) {
    return (error as Error).message;
  }
  return assert.fail(`accepted: ${key}`);
}

test("names of other trainers that are near to none of ours in meaning are not taken for one", () => {
  for (const name of names.split(" ")) assert.match(adviceOf(name), /unknown key "\w+"\. In preftune: /);
});

test("where a key of ours does it, that is named", () => {
  assert.match(adviceOf("model_revision"), /write `model_name_or_path: owner\/name@revision`/);
  assert.match(adviceOf("r"), /write `lora_r`/);
  assert.match(adviceOf("use_adaptive_entropy"), /write `entropy_coef`/);
});

test("a name has one advice, and is no key", () => {
  const names = [TRL_ALIASES, PARALLEL_NAMES, TRAINER_NAMES, YAML_TRAINER_NAMES].flatMap((table) =>
    Object.keys(table),
  );
  assert.deepEqual(
    names.filter((name, i) => isConfigKey(name) || names.indexOf(name) !== i),
    [],
  );
});
