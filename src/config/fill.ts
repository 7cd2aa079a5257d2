/** Fills in what was not given: defaults, values of presets, and values that follow from others. */

import { type AnySettings, type MethodName, methodOf } from "../methods/index.ts";
import type { Given } from "./given.ts";
import { configOf, fieldOf, keysOf } from "./keys.ts";
import { ownDefault, presetsOf } from "./method-keys.ts";
import { greaterIsBetter } from "./metric-names.ts";
import { isOnPolicy } from "./online-keys.ts";
import type { Provenance } from "./provenance.ts";
import type { CommonConfig, ConfigKey, RunConfig } from "./run-config.ts";
import { accumulationOf } from "./step-rows.ts";
import { withoutSampledDefaults } from "./watch-bounds.ts";

/** Where each value came from. */
export type Origins = Partial<Record<ConfigKey, Provenance>> & Record<keyof CommonConfig, Provenance>;

/** A configuration with every value, and what was contradictory on the way. */
export interface Filled {
  config: RunConfig;
  provenance: Origins;
  problems: string[];
}

type Accepted = ReadonlyMap<ConfigKey, Given>;

/** Values and their origins while they are being filled in. */
class Draft {
  readonly values: Partial<Record<ConfigKey, unknown>> = {};
  readonly origins: Partial<Record<ConfigKey, Provenance>> = {};
  readonly problems: string[] = [];

  has(key: ConfigKey): boolean {
    return Object.hasOwn(this.values, key);
  }

  set(key: ConfigKey, value: unknown, origin: Provenance): void {
    this.values[key] = value;
    this.origins[key] = origin;
  }

  derive(key: ConfigKey, value: unknown, why: string): void {
    if (!this.has(key)) this.set(key, value, { kind: "derived", why });
  }

  /** The values that every method has, so far; keys that are still to come are undefined. */
  get common(): CommonConfig {
    return this.values as unknown as CommonConfig;
  }

  get objective(): MethodName {
    return this.values.objective as MethodName;
  }
}

/** The configuration that `accepted` (checked values) stands for. */
export function fillIn(accepted: Accepted): Filled {
  const draft = new Draft();
  for (const [key, given] of accepted) draft.set(key, given.value, given.provenance);
  fillMethod(draft, accepted);
  fillOnPolicy(draft);
  fillAccumulation(draft);
  fillOrder(draft);
  const keys = keysOf(draft.objective);
  for (const key of keys) {
    const field = fieldOf(key, draft.objective);
    if ("default" in field && !draft.has(key)) draft.set(key, field.default, { kind: "default" });
  }
  fillOptimisation(draft);
  fillSampling(draft);
  fillEvaluation(draft);
  fillWatch(draft);
  for (const key of keys) if (!draft.has(key)) draft.set(key, null, { kind: "default" });
  const origins = Object.fromEntries(keys.map((key) => [key, draft.origins[key]]));
  return {
    config: configOf(draft.values),
    provenance: origins as unknown as Origins,
    problems: draft.problems,
  };
}

/** Values that on-policy runs have by default. */
function fillOnPolicy(draft: Draft): void {
  const { reward_funcs = null, reward_model = null, judge = null } = draft.common;
  if (!isOnPolicy({ reward_funcs, reward_model, judge })) return;
  draft.derive("lora_dropout", 0, "on-policy: completions are sampled without dropout");
  draft.derive("metric_for_best_model", "eval_reward", "on-policy: completions are evaluated by it");
}

/** The order of rows that estimates of single micro-batches are made in. */
function fillOrder(draft: Draft): void {
  if (draft.values.kl_over !== "micro_batch") return;
  draft.derive("data_order", "given", "kl_over: micro_batch pairs by chunks of the rows as they are read");
}

/** Micro-batches of a step of given size, on one rank. */
function fillAccumulation(draft: Draft): void {
  const { train_batch_size: rows = null, per_device_train_batch_size } = draft.common;
  if (rows === null) return;
  const size = per_device_train_batch_size ?? fieldOf("per_device_train_batch_size").default;
  const parts = accumulationOf(rows, { per_device_train_batch_size: size });
  draft.derive("gradient_accumulation_steps", parts, `train_batch_size ${rows} in micro-batches of ${size}`);
}

/** The method, its preset and its hyperparameters. */
function fillMethod(draft: Draft, accepted: Accepted): void {
  if (!draft.has("objective")) draft.set("objective", fieldOf("objective").default, { kind: "default" });
  fillPreset(draft, accepted);
  for (const key of Object.keys(methodOf(draft.objective).keys)) {
    const value = ownDefault(draft.objective, key);
    if (value !== undefined && !draft.has(key as ConfigKey)) {
      draft.set(key as ConfigKey, value, { kind: "default" });
    }
  }
  fillDerived(draft, accepted);
  for (const { key, value, why } of methodOf(draft.objective).defaults ?? []) {
    const values = draft.values as AnySettings;
    draft.derive(key as ConfigKey, value(values), why(values));
  }
}

/** The preset, and its values for what is not given; one form of a value replaces the preset's other. */
function fillPreset(draft: Draft, accepted: Accepted): void {
  const { presets, derived = [] } = methodOf(draft.objective);
  if (presets === null) return;
  const known = presetsOf(draft.objective);
  // a preset of another method is refused later, as a key without effect; until then the default stands in for it
  const given = draft.values.preset as string | undefined;
  const preset = (given !== undefined && known.includes(given) ? given : known[0]) as string;
  if (!draft.has("preset")) draft.set("preset", preset, { kind: "default" });
  for (const [key, value] of Object.entries(presets[preset]?.values ?? {}) as [ConfigKey, unknown][]) {
    const replaced = derived.some((one) => one.key === key && accepted.has(one.from as ConfigKey));
    if (!replaced && !draft.has(key)) draft.set(key, value, { kind: "preset", name: preset });
  }
}

/** Values that follow from another form of them. Both forms may be given where they agree. */
function fillDerived(draft: Draft, accepted: Accepted): void {
  const values = draft.values as AnySettings;
  for (const { key, from, value, why } of methodOf(draft.objective).derived ?? []) {
    const other = values[from];
    if (typeof other !== "number") continue;
    const derived = value(values);
    draft.derive(key as ConfigKey, derived, why);
    const now = values[key] as number;
    if (Math.abs(derived - now) <= 1e-9 * Math.max(1, now) || draft.problems.length > 0) continue;
    const where = accepted.get(key as ConfigKey)?.where() ?? key;
    draft.problems.push(
      `${where}: ${key} ${now} and ${from} ${other} (${why} = ${derived}) are both set and disagree. Keep one of them.`,
    );
  }
}

function fillOptimisation(draft: Draft): void {
  const { use_peft, adapter_name_or_path } = draft.common;
  if (adapter_name_or_path !== null) draft.derive("lora_dropout", null, "adapter_name_or_path: its own");
  else if (!draft.has("lora_dropout")) draft.set("lora_dropout", 0.05, { kind: "default" });
  if (use_peft) draft.derive("learning_rate", 1e-4, "use_peft: the LoRA value of the SLIME paper");
  else {
    const { objective } = draft;
    const { value, source } = methodOf(objective).learning_rate;
    draft.derive("learning_rate", value, `${objective} in full tuning, as ${source}`);
  }
  draft.derive(
    "per_device_eval_batch_size",
    draft.common.per_device_train_batch_size,
    "per_device_train_batch_size",
  );
}

function fillSampling(draft: Draft): void {
  const { dtype, repetition_penalty: penalty } = draft.common;
  const why = penalty === 1 ? `dtype is ${dtype}` : `repetition_penalty is ${penalty}`;
  const isExact = dtype === "float32" && penalty === 1;
  draft.derive("max_sampling_logp_difference", isExact ? 1e-3 : null, why);
}

/** A watch that nobody asked for: where evaluations have nothing to read otherwise, and of a few prompts. */
function fillWatch(draft: Draft): void {
  const isGiven = draft.origins.watch_prompts?.kind !== "default";
  const whyNot = isGiven ? null : noWatch(draft);
  if (whyNot !== null) draft.set("watch_prompts", null, { kind: "derived", why: whyNot });
  const isAsked = isGiven && draft.common.watch_prompts !== null;
  const why = isAsked ? "watch_prompts is given" : "watch_prompts is not given: some answers to read";
  draft.derive("watch_rows", isAsked ? 16 : 4, why);
  draft.derive("watch_samples", isAsked ? 2 : 1, why);
  draft.derive("watch_max_new_tokens", isAsked ? 256 : 96, why);
  const { watch_prompts, watch_action, watch_thresholds } = draft.common;
  if (isGiven || watch_prompts === null || watch_action !== "warn") return;
  const given = draft.origins.watch_thresholds;
  const whyNone = "watch_prompts is not given: so few answers are not judged";
  const origin: Provenance =
    given === undefined || given.kind === "default" ? { kind: "derived", why: whyNone } : given;
  draft.set("watch_thresholds", withoutSampledDefaults(watch_thresholds), origin);
}

/** Why nothing is watched by default; null: something is. */
function noWatch({ common, objective }: Draft): string | null {
  const { eval_strategy, shard, reward_funcs = null, reward_model = null, judge = null } = common;
  if (eval_strategy === "no") return "eval_strategy is no";
  if (isOnPolicy({ reward_funcs, reward_model, judge })) return "on-policy: evaluations sample anyway";
  if (methodOf(objective).over === "scores") return `${objective}: a score and no tokens`;
  return shard === "auto" || shard === "none" ? null : `shard: ${shard}: sampling would gather the model`;
}

function fillEvaluation(draft: Draft): void {
  const { eval_data, eval_fraction } = draft.common;
  if (draft.has("eval_steps")) draft.derive("eval_strategy", "steps", "eval_steps is given");
  if (eval_data !== null) draft.derive("eval_strategy", "epoch", "eval_data is given");
  if (eval_fraction > 0) draft.derive("eval_strategy", "epoch", "eval_fraction is given");
  draft.derive("eval_strategy", "no", "no evaluation data");
  draft.derive("eval_on_start", draft.common.eval_strategy !== "no", "eval_strategy");
  if (draft.common.eval_strategy === "steps") {
    draft.derive("eval_steps", draft.common.logging_steps, "logging_steps");
  }
  const metric = draft.common.metric_for_best_model;
  if (!metric.startsWith("eval_")) {
    draft.set(
      "metric_for_best_model",
      `eval_${metric}`,
      draft.origins.metric_for_best_model ?? { kind: "default" },
    );
  }
  draft.derive("greater_is_better", greaterIsBetter(metric), "metric_for_best_model");
}
