/** All configuration keys in one table, in the order in which they are printed and documented. */
import type { MethodName, MethodSettings } from "../methods/index.ts";
import { DATA_FIELDS } from "./data-keys.ts";
import type { Field, FieldTable } from "./field.ts";
import { isForeign, METHOD_FIELDS, ownField } from "./method-keys.ts";
import { LORA_FIELDS, MODEL_FIELDS } from "./model-keys.ts";
import type { CommonConfig, ConfigKey, RunConfig } from "./run-config.ts";
import { OPTIMISATION_FIELDS, RECORD_FIELDS } from "./training-keys.ts";
import { WATCH_FIELDS } from "./watch-keys.ts";

/** A heading and its keys. */
export interface FieldGroup {
  title: string;
  keys: ConfigKey[];
}

/** Every key of the configuration. */
const FIELDS: FieldTable<CommonConfig> & typeof METHOD_FIELDS = {
  ...MODEL_FIELDS,
  ...METHOD_FIELDS,
  ...DATA_FIELDS,
  ...LORA_FIELDS,
  ...OPTIMISATION_FIELDS,
  ...RECORD_FIELDS,
  ...WATCH_FIELDS,
};

/** The keys under their headings. */
export const FIELD_GROUPS: readonly FieldGroup[] = [
  { title: "Model and machine", keys: Object.keys(MODEL_FIELDS) as ConfigKey[] },
  { title: "Objective", keys: Object.keys(METHOD_FIELDS) as ConfigKey[] },
  { title: "Data", keys: Object.keys(DATA_FIELDS) as ConfigKey[] },
  { title: "LoRA", keys: Object.keys(LORA_FIELDS) as ConfigKey[] },
  { title: "Optimisation", keys: Object.keys(OPTIMISATION_FIELDS) as ConfigKey[] },
  { title: "Logging, evaluation, checkpoints, export", keys: Object.keys(RECORD_FIELDS) as ConfigKey[] },
  { title: "Collapse watch", keys: Object.keys(WATCH_FIELDS) as ConfigKey[] },
];

/** Every key, in order. */
export const CONFIG_KEYS: readonly ConfigKey[] = Object.keys(FIELDS) as ConfigKey[];

/** True when `name` is a key of the configuration. */
export function isConfigKey(name: string): name is ConfigKey {
  return Object.hasOwn(FIELDS, name);
}

/**
 * What is known about `key`, its type left open.
 *
 * @param objective - the method whose own bounds and default count; left out, or where it lacks the key: the first that has it
 */
export function fieldOf(key: ConfigKey, objective?: MethodName): Field<unknown> {
  const own = objective === undefined ? undefined : ownField(objective, key);
  return own ?? (FIELDS[key] as Field<unknown>);
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

/** One row of the documentation of the configuration. */
export interface FieldDoc {
  key: ConfigKey;
  group: string;
  accepts: string;
  default: string;
  objectives: string;
  doc: string;
  source: string;
}

/** The documentation of every key, for tables. */
export function describeFields(): FieldDoc[] {
  return FIELD_GROUPS.flatMap((group) =>
    group.keys.map((key) => {
      const field = fieldOf(key);
      return {
        key,
        group: group.title,
        accepts: field.type.expected,
        default: defaultInWords(field),
        objectives: field.objectives?.join(", ") ?? "all",
        doc: field.doc,
        source: field.source,
      };
    }),
  );
}

function defaultInWords(field: Field<unknown>): string {
  if (field.rule !== undefined) return field.rule;
  return "default" in field ? JSON.stringify(field.default) : "must be given";
}
