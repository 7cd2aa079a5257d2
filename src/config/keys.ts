/** All configuration keys in one table, in the order in which they are printed and documented. */
import type { MethodName, MethodSettings } from "../methods/index.ts";
import { DATA_KEYS } from "./data-keys.ts";
import { type ConfigField, fieldFrom, type Key } from "./key.ts";
import { isForeign, METHOD_FIELDS, ownField } from "./method-keys.ts";
import { LORA_KEYS, MODEL_KEYS, QUANTISATION_KEYS } from "./model-keys.ts";
import { ONLINE_KEYS } from "./online-keys.ts";
import { RANK_KEYS } from "./rank-keys.ts";
import type { CommonConfig, ConfigKey, RunConfig } from "./run-config.ts";
import { OPTIMISATION_KEYS, RECORD_KEYS } from "./training-keys.ts";
import { WATCH_KEYS } from "./watch-keys.ts";

type Fields = Readonly<Record<string, ConfigField>>;

function fieldsOf(keys: Readonly<Record<string, Key>>): Fields {
  return Object.fromEntries(Object.entries(keys).map(([name, key]) => [name, fieldFrom(key)]));
}

const GROUPS: Readonly<Record<string, Fields>> = {
  "Model and machine": fieldsOf(MODEL_KEYS),
  Objective: METHOD_FIELDS,
  Data: fieldsOf(DATA_KEYS),
  LoRA: fieldsOf(LORA_KEYS),
  "Fewer bits": fieldsOf(QUANTISATION_KEYS),
  Optimisation: fieldsOf(OPTIMISATION_KEYS),
  "Several ranks": fieldsOf(RANK_KEYS),
  "On-policy": fieldsOf(ONLINE_KEYS),
  "Logging, evaluation, checkpoints, export": fieldsOf(RECORD_KEYS),
  "Collapse watch": fieldsOf(WATCH_KEYS),
};

/** Every key of the configuration. */
const FIELDS = Object.assign({}, ...Object.values(GROUPS)) as Readonly<Record<ConfigKey, ConfigField>>;

/** A heading and its keys. */
export interface FieldGroup {
  title: string;
  keys: ConfigKey[];
}

/** The keys under their headings. */
export const FIELD_GROUPS: readonly FieldGroup[] = Object.entries(GROUPS).map(([title, fields]) => ({
  title,
  keys: Object.keys(fields) as ConfigKey[],
}));

/** Every key, in order. */
export const CONFIG_KEYS: readonly ConfigKey[] = Object.keys(FIELDS) as ConfigKey[];

/** True when `name` is a key of the configuration. */
export function isConfigKey(name: string): name is ConfigKey {
  return Object.hasOwn(FIELDS, name);
}

/**
 * What is known about `key`.
 *
 * @param objective - the method whose own bounds and default count; left out, or where it lacks the key: the first that has it
 */
export function fieldOf(key: ConfigKey, objective?: MethodName): ConfigField {
  return (objective === undefined ? undefined : ownField(objective, key)) ?? FIELDS[key];
}

/** The keys of a run with this method, in order. */
export function keysOf(objective: MethodName): ConfigKey[] {
  return CONFIG_KEYS.filter((key) => !isForeign(objective, key));
}

/** Values by key, as in a YAML file. */
export type FlatConfig = Readonly<Partial<Record<ConfigKey, unknown>>>;

/** The values of a configuration by key, in order. */
export function flatConfig({ method, ...common }: RunConfig): FlatConfig {
  const values: FlatConfig = { ...common, ...method };
  return Object.fromEntries(keysOf(method.objective).map((key) => [key, values[key]]));
}

/** The configuration of such values; what another method's key holds is left out. */
export function configOf(values: FlatConfig): RunConfig {
  const keys = keysOf(values.objective as MethodName);
  const [ofMethod, common] = [true, false].map((wanted) =>
    Object.fromEntries(
      keys.filter((key) => Object.hasOwn(METHOD_FIELDS, key) === wanted).map((key) => [key, values[key]]),
    ),
  );
  return { ...(common as unknown as CommonConfig), method: ofMethod as unknown as MethodSettings };
}

/** The values that `keys` have in a configuration that gives none of them; null without a default. */
export function defaultsOf<Key extends keyof CommonConfig>(keys: readonly Key[]): Pick<CommonConfig, Key> {
  return Object.fromEntries(keys.map((key) => [key, fieldOf(key).default ?? null])) as Pick<
    CommonConfig,
    Key
  >;
}

/** The default of a key as text, or the rule that it follows. */
export function defaultText(field: ConfigField): string {
  if (field.rule !== undefined) return field.rule;
  return "default" in field ? JSON.stringify(field.default) : "must be given";
}
