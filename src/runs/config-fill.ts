/** Fills in what was not given: defaults, values of presets, and values that follow from others. */

import { CONFIG_KEYS, fieldOf } from "./config-schema.ts";
import type { Given } from "./config-source.ts";
import type { ConfigKey, Provenance, RunConfig } from "./config-types.ts";
import { greaterIsBetter } from "./metric-names.ts";
import { presetsOf, presetValues } from "./objective-config.ts";

/** Where each value came from. */
export type Origins = Record<ConfigKey, Provenance>;

/** A configuration with every value, and what was contradictory on the way. */
export interface Filled {
  config: RunConfig;
  provenance: Origins;
  problems: string[];
}

/** SimPO's margin has two forms; giving one takes the place of the preset's other. */
const OTHER_GAMMA: Partial<Record<ConfigKey, ConfigKey>> = {
  simpo_gamma: "gamma_beta_ratio",
  gamma_beta_ratio: "simpo_gamma",
};

type Accepted = ReadonlyMap<ConfigKey, Given>;

/** Values and their origins while they are being filled in. */
class Draft {
  readonly values: Record<string, unknown> = {};
  readonly origins: Partial<Origins> = {};
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

  /** The values so far; keys that are still to come are undefined. */
  get config(): RunConfig {
    return this.values as unknown as RunConfig;
  }
}

/** The configuration that `accepted` (checked values) stands for. */
export function fillIn(accepted: Accepted): Filled {
  const draft = new Draft();
  for (const [key, given] of accepted) draft.set(key, given.value, given.provenance);
  for (const key of CONFIG_KEYS) {
    const field = fieldOf(key);
    if ("default" in field && !draft.has(key)) draft.set(key, field.default, { kind: "default" });
  }
  fillObjective(draft, accepted);
  fillGammas(draft, accepted);
  fillOptimisation(draft);
  fillEvaluation(draft);
  for (const key of CONFIG_KEYS) if (!draft.has(key)) draft.set(key, null, { kind: "default" });
  return {
    config: inOrder(draft.values) as unknown as RunConfig,
    provenance: inOrder(draft.origins) as unknown as Origins,
    problems: draft.problems,
  };
}

/** The keys in the order of the documentation, so that equal configurations print alike. */
function inOrder(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(CONFIG_KEYS.map((key) => [key, values[key]]));
}

function fillObjective(draft: Draft, accepted: Accepted): void {
  const { objective } = draft.config;
  const known = presetsOf(objective);
  // A preset of another objective is refused later, as a key without effect; until then the default stands in for it.
  const given = draft.config.preset ?? null;
  const preset = given !== null && known.includes(given) ? given : (known[0] ?? null);
  if (!draft.has("preset")) draft.set("preset", preset, { kind: "default" });
  const origin: Provenance = preset === null ? { kind: "default" } : { kind: "preset", name: preset };
  for (const [key, value] of Object.entries(presetValues(objective, preset)) as [ConfigKey, unknown][]) {
    const other = OTHER_GAMMA[key];
    const replaced = other !== undefined && accepted.has(other);
    if (!replaced && !draft.has(key)) draft.set(key, value, origin);
  }
}

function fillGammas(draft: Draft, accepted: Accepted): void {
  const { objective, beta, gamma_beta_ratio: ratio, simpo_gamma: gamma } = draft.config;
  if (objective !== "simpo" || beta === null || beta === undefined) return;
  if (typeof ratio === "number" && typeof gamma === "number") {
    if (Math.abs(ratio * beta - gamma) <= 1e-9 * Math.max(1, gamma)) return;
    const where = accepted.get("simpo_gamma")?.where() ?? "simpo_gamma";
    draft.problems.push(
      `${where}: simpo_gamma ${gamma} and gamma_beta_ratio ${ratio} (× beta ${beta} = ${ratio * beta}) are both set and disagree. Keep one of them.`,
    );
  }
  if (typeof ratio === "number") draft.derive("simpo_gamma", ratio * beta, "gamma_beta_ratio × beta");
  if (typeof gamma === "number") draft.derive("gamma_beta_ratio", gamma / beta, "simpo_gamma / beta");
}

function fillOptimisation(draft: Draft): void {
  const { objective, use_peft } = draft.config;
  if (use_peft) draft.derive("learning_rate", 1e-4, "use_peft: the LoRA value of the SLIME paper");
  else if (objective === "sft") draft.derive("learning_rate", 2e-5, "sft in full tuning, as TRL");
  else draft.derive("learning_rate", 1e-6, `${objective} in full tuning, as TRL`);
  draft.derive(
    "per_device_eval_batch_size",
    draft.config.per_device_train_batch_size,
    "per_device_train_batch_size",
  );
}

function fillEvaluation(draft: Draft): void {
  const { eval_data, eval_fraction } = draft.config;
  if (draft.has("eval_steps")) draft.derive("eval_strategy", "steps", "eval_steps is given");
  if (eval_data !== null) draft.derive("eval_strategy", "epoch", "eval_data is given");
  if (eval_fraction > 0) draft.derive("eval_strategy", "epoch", "eval_fraction is given");
  draft.derive("eval_strategy", "no", "no evaluation data");
  draft.derive("eval_on_start", draft.config.eval_strategy !== "no", "eval_strategy");
  if (draft.config.eval_strategy === "steps") {
    draft.derive("eval_steps", draft.config.logging_steps, "logging_steps");
  }
  const metric = draft.config.metric_for_best_model;
  if (!metric.startsWith("eval_")) {
    draft.set(
      "metric_for_best_model",
      `eval_${metric}`,
      draft.origins.metric_for_best_model ?? { kind: "default" },
    );
  }
  draft.derive("greater_is_better", greaterIsBetter(metric), "metric_for_best_model");
}
