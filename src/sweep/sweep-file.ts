/** The file of a sweep: what is searched, how, and by which metric it is judged. */
import { z } from "zod";
import { ConfigError } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";
import { type Given, givenByYaml, gotText, readConfigText } from "../config/given.ts";
import { CONFIG_KEYS, fieldOf, isConfigKey } from "../config/keys.ts";
import type { ConfigKey } from "../config/run-config.ts";
import { ownKeyProblem } from "./own-keys.ts";
import type { ConfigValues } from "./trial.ts";
import { TRIAL_METRICS, type TrialMetricName } from "./trial-metrics.ts";

/** What is tried of one key: some values, or a range to draw from. */
export type Choices = readonly unknown[] | SearchRange;

/** A sweep, checked. */
export interface Sweep {
  /** A configuration that all runs start from, or null. */
  config: string | null;
  /** Values that all runs share, on top of it. */
  values: ConfigValues;
  method: "grid" | "random" | "halving";
  parameters: Readonly<Record<string, Choices>>;
  /** Settings that are drawn, for random and halving. */
  runs: number;
  seeds: number;
  metric: TrialMetricName;
  /** Decides the draws. */
  seed: number;
  halving: {
    factor: number;
    resource: "max_steps" | "num_train_epochs" | "max_train_rows";
    least: number;
    most: number;
  };
}

const range = z.strictObject({
  min: z.number(),
  max: z.number(),
  scale: z.enum(["linear", "log"]).default("linear"),
});

const mapping = z.record(z.string(), z.unknown());

/** Keys of the file, and what each must be. */
const keys = {
  config: { schema: z.string().min(1), expected: "the path of a configuration" },
  values: { schema: mapping, expected: "a mapping of configuration keys to values" },
  method: { schema: z.enum(["grid", "random", "halving"]), expected: 'one of "grid", "random", "halving"' },
  parameters: { schema: mapping, expected: "a mapping of configuration keys to lists or ranges" },
  runs: { schema: z.int().min(1), expected: "a whole number of at least 1" },
  seeds: { schema: z.int().min(1), expected: "a whole number of at least 1" },
  metric: { schema: z.string(), expected: "the name of a metric" },
  seed: { schema: z.int().min(0), expected: "a whole number of at least 0" },
  factor: { schema: z.number().min(1.5), expected: "a number of at least 1.5" },
  resource: {
    schema: z.enum(["max_steps", "num_train_epochs", "max_train_rows"]),
    expected: 'one of "max_steps", "num_train_epochs", "max_train_rows"',
  },
  least: { schema: z.number().positive(), expected: "a number above 0" },
  most: { schema: z.number().positive(), expected: "a number above 0" },
} as const;

/** Only for successive halving. */
const ofHalving = ["factor", "resource", "least", "most"] as const;

/**
 * The sweep in the file at `path`.
 *
 * @throws {ConfigError} naming every unknown key and wrong value, with file and line
 */
export function readSweep(path: string): Sweep {
  return parseSweep(readConfigText(path), path);
}

/** The sweep in YAML text; messages call it `file`. */
export function parseSweep(text: string, file: string): Sweep {
  const problems: string[] = [];
  const found: Record<string, unknown> = {};
  const given = givenByYaml(text, file);
  for (const entry of given) {
    const problem = problemOf(entry);
    if (problem === null) found[entry.key] = entry.value;
    else problems.push(problem);
  }
  const at = (key: string): Given | undefined => given.find((entry) => entry.key === key);
  const parameters = checkParameters(at("parameters"), problems);
  checkShared(at("values"), parameters, problems);
  if (at("parameters") === undefined)
    problems.push(`${file}: parameters is missing: expected ${keys.parameters.expected}.`);
  if (at("config") === undefined && at("values") === undefined) {
    problems.push(
      `${file}: expected config (a file) or values (model_name_or_path, train_data, eval_data), got neither.`,
    );
  }
  const method = (found["method"] ?? "grid") as Sweep["method"];
  problems.push(...methodProblems(method, { file, given, parameters }));
  const metric = metricOf(at("metric"), problems);
  if (problems.length > 0) throw new ConfigError(problems.join("\n"));
  const { least = 1, most = 1, factor = 3, resource = "max_steps" } = found as Partial<Sweep["halving"]>;
  const { config = null, values = {}, runs = 20, seeds = 1, seed = 1 } = found as Partial<Sweep>;
  return {
    config,
    values,
    method,
    parameters,
    runs,
    seeds,
    metric,
    seed,
    halving: { factor, resource, least, most },
  };
}

function problemOf(given: Given): string | null {
  const { key, value } = given;
  if (!Object.hasOwn(keys, key)) {
    const where = isConfigKey(key)
      ? " It is a key of the configuration: put it under values or parameters."
      : didYouMean(key, Object.keys(keys));
    return `${given.where()}: unknown key "${key}".${where}`;
  }
  const { schema, expected } = keys[key as keyof typeof keys];
  return schema.safeParse(value).success
    ? null
    : `${given.where()}: ${key}: expected ${expected}, got ${gotText(value)}.`;
}

/** What is wrong with a key under values or parameters; null where runs may share it or differ in it. */
function keyProblem(key: string): string | null {
  return isConfigKey(key) ? ownKeyProblem(key) : `unknown key "${key}".${didYouMean(key, CONFIG_KEYS)}`;
}

/** The choices of each parameter; what is wrong with them goes to `problems`. */
function checkParameters(given: Given | undefined, problems: string[]): Record<string, Choices> {
  const checked: Record<string, Choices> = {};
  const all = mapping.safeParse(given?.value);
  if (given === undefined || !all.success) return checked;
  for (const [key, value] of Object.entries(all.data)) {
    const where = given.where([key]);
    const problem = keyProblem(key);
    if (problem !== null) problems.push(`${where}: ${problem}`);
    else if (Array.isArray(value) && value.length > 0) {
      problems.push(...value.flatMap((choice) => valueProblem(key, choice, where)));
      checked[key] = value;
    } else {
      const asRange = rangeOf(value);
      if (asRange === null)
        problems.push(`${where}: ${key}: expected ${expectedRange(value)}, got ${gotText(value)}.`);
      else {
        problems.push(...[asRange.min, asRange.max].flatMap((end) => valueProblem(key, end, where)));
        checked[key] = asRange;
      }
    }
  }
  return checked;
}

function rangeOf(value: unknown): SearchRange | null {
  const { success, data } = range.safeParse(value);
  if (!success || !(data.min < data.max) || (data.scale === "log" && data.min <= 0)) return null;
  return data;
}

/** What should stand in the place of something that is no range. */
function expectedRange(given: unknown): string {
  const { success, data } = range.safeParse(given);
  if (!success) return "a list of values or {min, max, scale: linear or log}";
  return data.min < data.max ? "a min above 0, as scale is log" : "a min below max";
}

function valueProblem(key: string, value: unknown, where: string): string[] {
  if (!isConfigKey(key) || isTaken(key, value)) return [];
  return [`${where}: ${key}: expected ${fieldOf(key).expected}, got ${gotText(value)}.`];
}

/** Whether some method that has the key takes the value: whose bounds count is known once a run's configuration is read. */
function isTaken(key: ConfigKey, value: unknown): boolean {
  const { objectives = [undefined] } = fieldOf(key);
  return objectives.some((objective) => fieldOf(key, objective).check(value).success);
}

function checkShared(
  given: Given | undefined,
  parameters: Readonly<Record<string, Choices>>,
  problems: string[],
): void {
  const all = mapping.safeParse(given?.value);
  if (given === undefined || !all.success) return;
  for (const key of Object.keys(all.data)) {
    const where = given.where([key]);
    const problem = keyProblem(key);
    if (problem !== null) problems.push(`${where}: ${problem}`);
    else if (Object.hasOwn(parameters, key))
      problems.push(`${where}: ${key} is among parameters too. Keep one of them.`);
  }
}

function methodProblems(
  method: Sweep["method"],
  {
    file,
    given,
    parameters,
  }: { file: string; given: readonly Given[]; parameters: Readonly<Record<string, Choices>> },
): string[] {
  const has = (key: string): Given | undefined => given.find((entry) => entry.key === key);
  const problems: string[] = [];
  if (method === "grid") {
    const ranges = Object.entries(parameters).filter(([, choices]) => !Array.isArray(choices));
    problems.push(
      ...ranges.map(([key]) => `${file}: ${key}: a range has no grid. Give a list, or method: random.`),
    );
    const runs = has("runs");
    if (runs !== undefined)
      problems.push(`${runs.where()}: runs has no effect with method: grid, which takes every combination.`);
  }
  problems.push(...halvingProblems(method, { file, has, parameters }));
  return problems;
}

function halvingProblems(
  method: Sweep["method"],
  {
    file,
    has,
    parameters,
  }: {
    file: string;
    has: (key: string) => Given | undefined;
    parameters: Readonly<Record<string, Choices>>;
  },
): string[] {
  const problems: string[] = [];
  for (const key of ofHalving) {
    const entry = has(key);
    if (method === "halving" && entry === undefined && key !== "factor") {
      problems.push(`${file}: ${key} is missing: expected ${keys[key].expected} for method: halving.`);
    }
    if (method !== "halving" && entry !== undefined)
      problems.push(`${entry.where()}: ${key} has no effect without method: halving.`);
  }
  const [least, most] = [has("least"), has("most")];
  if (Number(least?.value) >= Number(most?.value)) {
    problems.push(`${most?.where()}: most: expected more than least (${least?.value}), got ${most?.value}.`);
  }
  const resource = has("resource")?.value;
  for (const end of [least, most]) {
    const isWhole = resource === "max_steps" || resource === "max_train_rows";
    if (!isWhole || typeof end?.value !== "number" || Number.isInteger(end.value)) continue;
    problems.push(
      `${end.where()}: ${end.key}: expected a whole number of ${resource}, got ${gotText(end.value)}.`,
    );
  }
  if (typeof resource === "string" && Object.hasOwn(parameters, resource)) {
    problems.push(`${file}: ${resource} is the resource: take it out of parameters.`);
  }
  return problems;
}

/** The metric that settings are judged by. */
function metricOf(given: Given | undefined, problems: string[]): TrialMetricName {
  const name = given?.value ?? "accuracy";
  const usable = Object.entries(TRIAL_METRICS).flatMap(([key, { better }]) => (better === null ? [] : [key]));
  if (typeof name === "string" && usable.includes(name)) return name as TrialMetricName;
  problems.push(
    `${given?.where()}: metric: expected one of ${usable.join(", ")}, got ${gotText(name)}.${didYouMean(String(name), usable)}`,
  );
  return "accuracy";
}

/** From where to where, and on which scale. */
export interface SearchRange {
  min: number;
  max: number;
  scale: "linear" | "log";
}

/**
 * The value of `key` at a share 0 … 1 of the way through `range`. Where only whole numbers are taken each stands for all that round to
 * it, so that the ends are drawn as often as the others of their scale.
 */
export function drawValueOf(key: string, range: SearchRange, share: number): number {
  const { min, max } = range;
  const fraction = min + (max - min) / Math.PI;
  if (!isConfigKey(key) || isTaken(key, fraction)) return drawValue(range, share);
  const whole = Math.round(placeIn({ ...range, min: min - 0.5, max: max + 0.5 }, share));
  return Math.min(max, Math.max(min, whole));
}

/** The value at a share 0 … 1 of the way through `range`, to six significant digits. */
export function drawValue(range: SearchRange, share: number): number {
  return Number(placeIn(range, share).toPrecision(6));
}

function placeIn({ min, max, scale }: SearchRange, share: number): number {
  return scale === "log" ? min * (max / min) ** share : min + share * (max - min);
}
