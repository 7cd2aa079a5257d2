/**
 * Configuration keys of the methods: `objective`, `preset` and every hyperparameter, made from the settings in
 * `src/methods`. A key that several methods have is one key of the YAML file; each method has its own bounds and default.
 */
import {
  type MethodKey,
  type MethodName,
  methodNames,
  methodOf,
  methodsWhere,
  wordList,
} from "../methods/index.ts";
import type { Hyperparameter } from "../methods/method.ts";
import { type ConfigField, fieldFrom } from "./key.ts";

/** Null stands for the value of the preset, or for the default; a switch has its default at once. */
function fieldOf(
  name: MethodName,
  { schema, expected, doc, source = "preset", rule }: Hyperparameter,
): ConfigField {
  const known = { doc, source, objectives: [name], ...(expected === undefined ? {} : { expected }) };
  if (schema.type === "boolean") return fieldFrom({ schema, ...known });
  const { default: value, ...accepted } = schema;
  return fieldFrom({
    schema: { anyOf: [accepted, { type: "null" }] },
    rule: rule ?? (value === undefined ? "the value of the preset" : String(value)),
    ...known,
  });
}

/** The hyperparameters of each method. */
const OWN = Object.fromEntries(
  methodNames.map((name) => [
    name,
    new Map(Object.entries(methodOf(name).keys).map(([key, value]) => [key, fieldOf(name, value)])),
  ]),
) as unknown as Record<MethodName, ReadonlyMap<string, ConfigField>>;

/** The field of `key` as the method called `objective` has it; undefined where it has none. */
export function ownField(objective: MethodName, key: string): ConfigField | undefined {
  return OWN[objective].get(key);
}

/** The value of a hyperparameter that nobody gives, where the method called `objective` has one for it besides its presets. */
export function ownDefault(objective: MethodName, key: string): unknown {
  const keys: Readonly<Record<string, Hyperparameter>> = methodOf(objective).keys;
  return keys[key]?.schema.default;
}

/** One field of what several methods have, for documents: their texts side by side where they differ. */
function merged(key: string): ConfigField {
  const fields = methodNames.flatMap((name) => {
    const field = OWN[name].get(key);
    return field === undefined ? [] : [{ name, field }];
  });
  const [first] = fields as [(typeof fields)[number]];
  const beside = (text: (field: ConfigField) => string, separator: string): string => {
    const alike = [...Map.groupBy(fields, ({ field }) => text(field))];
    if (alike.length === 1) return text(first.field);
    return alike.map(([said, own]) => `${own.map(({ name }) => name).join(", ")}: ${said}`).join(separator);
  };
  const { rule } = first.field;
  return {
    ...first.field,
    ...(rule === undefined ? {} : { rule: beside((field) => field.rule ?? "", "; ") }),
    expected: beside(({ expected }) => expected, "; "),
    doc: beside(({ doc }) => doc, " "),
    source: beside(({ source }) => source, "; "),
    objectives: fields.map(({ name }) => name),
  };
}

const withPresets = methodsWhere(({ presets }) => presets !== null);

/** Names of the presets of a method, the default first; empty where it has none. */
export function presetsOf(objective: MethodName): string[] {
  return Object.keys(methodOf(objective).presets ?? {});
}

const hyperparameters = [...new Set(methodNames.flatMap((name) => [...OWN[name].keys()]))];

/** Keys that say what is optimised, in the order in which they are printed. */
export const METHOD_FIELDS: Readonly<Record<MethodKey, ConfigField>> = {
  objective: fieldFrom({
    schema: { enum: methodNames, default: methodNames[0] },
    doc: "What is optimised.",
  }),
  preset: fieldFrom({
    schema: { enum: [...new Set(withPresets.flatMap(presetsOf)), null] },
    rule: `${withPresets.map((name) => `${presetsOf(name)[0]} for ${name}`).join(", ")}, none otherwise`,
    doc: `Named set of values. ${withPresets.map((name) => `${name}: ${presetsOf(name).join(", ")}`).join("; ")}.`,
    source: "docs/objectives.md",
    objectives: withPresets,
  }),
  ...(Object.fromEntries(hyperparameters.map((key) => [key, merged(key)])) as Record<
    Exclude<MethodKey, "objective" | "preset">,
    ConfigField
  >),
};

/** True when `key` is a key of methods, and the method called `objective` does not have it. */
export function isForeign(objective: MethodName, key: string): boolean {
  const owners = Object.hasOwn(METHOD_FIELDS, key) ? METHOD_FIELDS[key as MethodKey].objectives : undefined;
  return owners !== undefined && !owners.includes(objective);
}

/** "2e-5 for sft and 1e-6 for dpo and slime": the learning rates of full tuning, the largest first. */
export function learningRates(): string {
  const groups = Map.groupBy([...methodNames].sort(), (name) => methodOf(name).learning_rate.value);
  const rates = [...groups].sort(([a], [b]) => b - a);
  return wordList(rates.map(([rate, names]) => `${rate.toExponential()} for ${wordList(names)}`));
}

/** What to do about a key of `objectives`, which `objective` is none of. */
export function takeOutKey(key: string, objectives: readonly MethodName[], objective: MethodName): string {
  const { klWeight } = methodOf(objective);
  const isLeash = key === "kl_coef" || key.startsWith("replay");
  const own = isLeash && klWeight !== undefined ? `, or write ${klWeight}, its weight of a KL` : "";
  return `It is a key of ${objectives.join(" and ")}: take it out${own}, or set another objective.`;
}
