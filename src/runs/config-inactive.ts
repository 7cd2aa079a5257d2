/** Which keys have no effect under the other values of a configuration, and why. */
import { CONFIG_KEYS, fieldOf } from "./config-schema.ts";
import type { ConfigKey, RunConfig } from "./config-types.ts";
import { presetsOf } from "./objective-config.ts";

/** Why a key has no effect. */
export interface Inactive {
  /** The key that decides it. */
  because: ConfigKey;
  /** To follow "not used: ". */
  reason: string;
  /** Giving the key anyway is a mistake (error) or merely has no effect (warning). */
  severity: "error" | "warning";
}

const LORA: readonly ConfigKey[] = [
  "lora_r",
  "lora_alpha",
  "lora_dropout",
  "lora_target_modules",
  "lora_modules_to_save",
  "use_rslora",
  "use_dora",
  "adapter_name_or_path",
  "export_merged",
];
/** What an existing adapter's own file decides. */
const SHAPE_OF_ADAPTER: readonly ConfigKey[] = [
  "lora_r",
  "lora_alpha",
  "lora_target_modules",
  "lora_modules_to_save",
  "use_rslora",
  "use_dora",
];
const WATCH: readonly ConfigKey[] = [
  "watch_rows",
  "watch_samples",
  "watch_temperature",
  "watch_max_new_tokens",
  "watch_thresholds",
  "watch_action",
];
const ROWS_PER_STEP: readonly ConfigKey[] = ["per_device_train_batch_size", "gradient_accumulation_steps"];

/** The keys without effect. The first reason found for a key stands. */
export function inactiveKeys(config: RunConfig): Map<ConfigKey, Inactive> {
  const found = new Map<ConfigKey, Inactive>();
  const add = (keys: readonly ConfigKey[], inactive: Inactive): void => {
    for (const key of keys) if (!found.has(key)) found.set(key, inactive);
  };
  add(keysOfOtherObjectives(config), {
    because: "objective",
    reason: `objective is ${config.objective}`,
    severity: "error",
  });
  const presets = presetsOf(config.objective);
  if (config.preset !== null && presets.length > 0 && !presets.includes(config.preset)) {
    const reason = `"${config.preset}" is no preset of ${config.objective}, which has ${presets.join(", ")}`;
    add(["preset"], error("objective", reason));
  }
  if (!config.use_peft) add(LORA, error("use_peft", "use_peft is false"));
  if (config.adapter_name_or_path !== null) {
    add(SHAPE_OF_ADAPTER, error("adapter_name_or_path", "adapter_name_or_path decides it"));
  }
  if (config.eval_strategy !== "steps") {
    add(["eval_steps"], error("eval_strategy", `eval_strategy is ${config.eval_strategy}`));
  }
  if (config.save_strategy !== "steps") {
    add(["save_steps"], error("save_strategy", `save_strategy is ${config.save_strategy}`));
  }
  if (config.tokens_per_step !== null) {
    add(ROWS_PER_STEP, warning("tokens_per_step", "tokens_per_step decides what a step holds"));
  }
  if (config.watch_prompts === null) {
    add(WATCH, error("watch_prompts", "watch_prompts is null, so nothing is watched"));
  }
  if (config.max_steps > 0) {
    add(["num_train_epochs"], warning("max_steps", "max_steps decides when training ends"));
  }
  if (!config.gradient_checkpointing) {
    const because = error("gradient_checkpointing", "gradient_checkpointing is false");
    add(["gradient_checkpointing_blocks", "activation_offloading"], because);
  }
  if (!config.precompute_ref_log_probs) {
    add(["reference_cache_dir"], error("precompute_ref_log_probs", "precompute_ref_log_probs is false"));
  }
  return found;
}

function keysOfOtherObjectives(config: RunConfig): ConfigKey[] {
  return CONFIG_KEYS.filter((key) => fieldOf(key).objectives?.includes(config.objective) === false);
}

function error(because: ConfigKey, reason: string): Inactive {
  return { because, reason, severity: "error" };
}

function warning(because: ConfigKey, reason: string): Inactive {
  return { because, reason, severity: "warning" };
}
