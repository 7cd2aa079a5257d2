/** All configuration keys in one table, in the order in which they are printed and documented. */
import type { Field, FieldTable } from "./config-field.ts";
import { DATA_FIELDS } from "./config-fields-data.ts";
import { LORA_FIELDS, MODEL_FIELDS } from "./config-fields-model.ts";
import { OBJECTIVE_FIELDS } from "./config-fields-objective.ts";
import { OPTIMISATION_FIELDS, RECORD_FIELDS } from "./config-fields-training.ts";
import { WATCH_FIELDS } from "./config-fields-watch.ts";
import type { ConfigKey, RunConfig } from "./config-types.ts";

/** A heading and its keys. */
export interface FieldGroup {
  title: string;
  keys: ConfigKey[];
}

/** Every key of the configuration. */
const FIELDS: FieldTable<RunConfig> = {
  ...MODEL_FIELDS,
  ...OBJECTIVE_FIELDS,
  ...DATA_FIELDS,
  ...LORA_FIELDS,
  ...OPTIMISATION_FIELDS,
  ...RECORD_FIELDS,
  ...WATCH_FIELDS,
};

/** The keys under their headings. */
export const FIELD_GROUPS: readonly FieldGroup[] = [
  { title: "Model and machine", keys: Object.keys(MODEL_FIELDS) as ConfigKey[] },
  { title: "Objective", keys: Object.keys(OBJECTIVE_FIELDS) as ConfigKey[] },
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

/** What is known about `key`, its type left open. */
export function fieldOf(key: ConfigKey): Field<unknown> {
  return FIELDS[key] as Field<unknown>;
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
