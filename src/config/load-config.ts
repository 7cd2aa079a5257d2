/**
 * Turns what a user gave (YAML, command line, code) into a checked configuration in which every value is filled in
 * and knows where it came from. All problems are reported at once.
 *
 * Relative paths are kept as written and mean the working directory, as in other trainers, not the YAML file's.
 */

import { isDeepStrictEqual } from "node:util";
import type { z } from "zod";
import { ConfigError } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";
import { type MethodName, type MethodSettings, methodNames } from "../methods/index.ts";
import { type ConfigIssue, checkConfig, checkMethod } from "./checks.ts";
import { type Filled, fillIn, type Origins } from "./fill.ts";
import {
  type Given,
  givenByCode,
  givenByCommandLine,
  givenByYaml,
  gotText,
  readConfigText,
} from "./given.ts";
import { type Inactive, inactiveKeys } from "./inactive.ts";
import { CONFIG_KEYS, fieldOf, flatConfig, isConfigKey } from "./keys.ts";
import { METHOD_FIELDS, takeOutKey } from "./method-keys.ts";
import { adviceOnName } from "./other-names.ts";
import type { CommonConfig, ConfigKey, RunConfig } from "./run-config.ts";
import { expectedText, namesIn, schemaAt, valueFromText } from "./schema-text.ts";

/** A configuration ready to run. */
export interface ResolvedConfig {
  config: RunConfig;
  /** Where each value came from. */
  provenance: Origins;
  /** Keys that have no effect here, and why. */
  inactive: Map<ConfigKey, Inactive>;
  /** Doubtful things, to be shown to the user. */
  warnings: string[];
}

/** What configurations are read from. Later ones win: file, then code, then command line. */
export interface ConfigInput {
  /** Path of a YAML file. */
  file?: string;
  /** YAML text in place of a file; messages call it `file` or "config". */
  yaml?: string;
  /** Values given by a program. */
  values?: Readonly<Record<string, unknown>>;
  /** Command-line words, e.g. [["learning_rate", "1e-4"]]. */
  overrides?: readonly (readonly [string, string])[];
}

/** Problems shown in one message: a file that is no configuration has one in each line. */
const shownProblems = 20;

type Accepted = Map<ConfigKey, Given>;

/**
 * The resolved configuration.
 *
 * @throws {ConfigError} naming every unknown key, wrong value and contradiction, each with file and line
 */
export function loadConfig(input: ConfigInput): ResolvedConfig {
  return load(input, []);
}

/**
 * A configuration for a job that can do without some of the keys a run must have: they are null where they are not given.
 *
 * @throws {ConfigError} as `loadConfig`
 */
export function loadWithout<Key extends keyof CommonConfig>(
  input: ConfigInput,
  optional: readonly Key[],
): Pick<ResolvedConfig, "warnings"> & {
  config: Omit<RunConfig, Key> & { [K in Key]: RunConfig[K] | null };
} {
  return load(input, optional);
}

function allGiven(input: ConfigInput): Given[] {
  return [
    ...givenInYaml(input),
    ...givenByCode(input.values ?? {}),
    ...givenByCommandLine(input.overrides ?? []),
  ];
}

function load(input: ConfigInput, optional: readonly ConfigKey[]): ResolvedConfig {
  const given = allGiven(input);
  const { accepted, problems } = checked(given);
  const known = new Set([...optional, ...given.map(({ key }) => key)]);
  for (const key of CONFIG_KEYS) {
    const { expected, doc, rule, ...field } = fieldOf(key);
    if (known.has(key) || "default" in field || rule !== undefined) continue;
    problems.push(`${key} is missing: expected ${expected}. ${doc}`);
  }
  refuse(problems, input);
  return resolve(accepted, input, checkConfig);
}

/**
 * The settings of a method alone, by the rules of a run's configuration.
 *
 * @param values - its keys: `objective`, `preset` and hyperparameters
 * @throws {ConfigError} naming every wrong value
 */
export function loadMethod(values: Readonly<Record<string, unknown>>): MethodSettings {
  const { accepted, problems } = checked(givenByCode(values));
  refuse(problems, {});
  return resolve(accepted, {}, checkMethod).config.method;
}

/**
 * Refuses words of a command line that are wrong in every run: keys that do not exist, and values that no run accepts.
 * Values of hyperparameters are left to the run, whose objective decides what they may be.
 *
 * @throws {ConfigError} naming every such word
 */
export function checkOverrides(overrides: readonly (readonly [string, string])[]): void {
  const given = givenByCommandLine(overrides).filter(({ key }) => !Object.hasOwn(METHOD_FIELDS, key));
  refuse(checked(given).problems, {});
}

/**
 * The value that `text`, typed on a command line, gives the key.
 *
 * @throws {ConfigError} when the key does not accept it
 */
export function readOption<Key extends keyof CommonConfig>(key: Key, text: string): CommonConfig[Key] {
  return readKey(key, { overrides: [[key, text]] }) as CommonConfig[Key];
}

/**
 * The value that `input`, which need not be a whole configuration, gives the key; null where it says nothing.
 *
 * @throws {ConfigError} when the key does not accept it, or the file is no YAML
 */
export function readKey<Key extends keyof CommonConfig>(
  key: Key,
  input: ConfigInput,
): CommonConfig[Key] | null {
  const { accepted, problems } = checked(
    allGiven(input)
      .filter((given) => given.key === key)
      .slice(-1),
  );
  refuse(problems, input);
  return (accepted.get(key)?.value ?? null) as CommonConfig[Key] | null;
}

/** The values that are right by themselves, each under its key, and what is wrong with the others. */
function checked(given: readonly Given[]): { accepted: Accepted; problems: string[] } {
  const problems: string[] = [];
  const accepted: Accepted = new Map();
  // a hyperparameter is read as the run's method has it
  const objective = given.findLast(({ key }) => key === "objective")?.value;
  const known =
    methodNames.find((name) => name === objective) ?? (objective === undefined ? methodNames[0] : undefined);
  for (const one of given) {
    const result = checkValue(one, known);
    if (Array.isArray(result)) for (const problem of result) problems.push(problem);
    else accepted.set(one.key as ConfigKey, result);
  }
  return { accepted, problems };
}

function givenInYaml(input: ConfigInput): Given[] {
  if (input.yaml !== undefined) return givenByYaml(input.yaml, input.file ?? "config");
  return input.file === undefined ? [] : givenByYaml(readConfigText(input.file), input.file);
}

function resolve(
  accepted: Accepted,
  input: ConfigInput,
  check: (config: RunConfig) => ConfigIssue[],
): ResolvedConfig {
  const problems: string[] = [];
  const warnings: string[] = [];
  const report = (severity: "error" | "warning", text: string): void => {
    (severity === "error" ? problems : warnings).push(text);
  };
  for (const [key, given] of accepted) {
    // null stands for "by the rule" wherever there is one.
    if (given.value === null && fieldOf(key).rule !== undefined) accepted.delete(key);
  }
  const draft = fillIn(accepted);
  problems.push(...draft.problems);
  const useless = inactiveKeys(draft.config);
  const filled = fillIn(new Map([...accepted].filter(([key]) => !useless.has(key))));
  for (const [key, inactive] of useless) {
    const given = accepted.get(key);
    if (given === undefined) continue;
    const { reason, remedy } = inactive;
    const text = `${given.where()}: ${key} has no effect here: ${reason}. ${remedy}`;
    const isHarmless = isOfEarlierRun({ ...given, key }, filled);
    report(isHarmless ? "warning" : severityOf(inactive, given, accepted), text);
    accepted.delete(key);
  }
  refuse(problems, input);
  const { config, provenance, problems: contradictions } = filled;
  problems.push(...contradictions);
  for (const { key, severity, text } of check(config)) {
    const where = accepted.get(key)?.where();
    const place = where === undefined || where === `--${key}` ? "" : `${where}: `;
    report(severity, `${place}${key}: ${text}`);
  }
  refuse(problems, input);
  return { config, provenance, inactive: inactiveKeys(config), warnings };
}

/**
 * Whether a file may hold the key without effect: every one in a run that is resumed, which other values are compared with, and
 * one with the value that it has anyway. The config.yaml of a run has those that an earlier version used.
 */
function isOfEarlierRun(
  { key, value, provenance }: Given & { key: ConfigKey },
  { config, provenance: origins }: Filled,
): boolean {
  if (provenance.kind !== "file") return false;
  const isDefault = origins[key]?.kind === "default" || origins[key]?.kind === "preset";
  const isSame = isDefault && isDeepStrictEqual(value, flatConfig(config)[key]);
  return isSame || config.resume_from_checkpoint !== null;
}

/** "run.yaml:7: seed", "--seed" */
function labelOf(where: string, key: string): string {
  return where === `--${key}` ? where : `${where}: ${key}`;
}

/** A key that a file sets and a later word on the command line makes useless is no mistake of the file. */
function severityOf(inactive: Inactive, given: Given, accepted: Accepted): "error" | "warning" {
  const decider = accepted.get(inactive.because);
  const switchedLater =
    decider?.provenance.kind === "command line" && given.provenance.kind !== "command line";
  return switchedLater ? "warning" : inactive.severity;
}

function checkValue(given: Given, objective?: MethodName): Given | string[] {
  const { key, provenance } = given;
  if (!isConfigKey(key)) return [`${given.where()}: unknown key "${cut(key)}".${adviceFor(key)}`];
  const { schema, check } = fieldOf(key, objective);
  const isTyped = provenance.kind === "command line";
  const value = isTyped ? valueFromText(schema, given.value as string) : given.value;
  const result = check(value);
  if (result.success) return { ...given, value: result.data };
  const { objectives } = fieldOf(key);
  if (objective !== undefined && objectives?.includes(objective) === false) {
    // what other methods accept says nothing to this one
    return [
      `${given.where()}: ${key} has no effect here: objective is ${objective}. ${takeOutKey(key, objectives, objective)}`,
    ];
  }
  // one value may break several bounds, and one sentence says them all
  return [
    ...new Set(result.error.issues.map((issue) => problemOf({ ...given, key, value }, issue, objective))),
  ];
}

/** What is wrong with a value or a part of it: what the key's schema expects there, and what came. */
function problemOf(
  given: Given & { key: ConfigKey },
  issue: z.core.$ZodIssue,
  objective?: MethodName,
): string {
  const { key, value } = given;
  const { schema, expected } = fieldOf(key, objective);
  const unknown = issue.code === "unrecognized_keys" ? issue.keys : [];
  // A single source is read as a list of one: its index is not in what the user wrote.
  const path = Array.isArray(value) ? issue.path : issue.path.filter((part) => typeof part !== "number");
  const place = path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`)).join("");
  const label = labelOf(given.where([...issue.path, ...unknown.slice(0, 1)]), key) + place;
  const part = schemaAt(schema, issue.path);
  if (unknown.length > 0) {
    return unknown
      .slice(0, shownProblems)
      .map((name) => `${label}: unknown key "${cut(name)}".${didYouMean(name, namesIn(part))}`)
      .join("\n");
  }
  const got = path.reduce<unknown>((inside, name) => Object(inside)[name], value);
  return `${label}: expected ${path.length === 0 ? expected : expectedText(part)}, got ${gotText(got)}.`;
}

function adviceFor(key: string): string {
  const elsewhere = adviceOnName(key);
  if (elsewhere !== null) return ` In preftune: ${elsewhere}.`;
  return (
    didYouMean(key, CONFIG_KEYS) || " `preftune schema` prints all keys; docs/configuration.md explains them."
  );
}

function refuse(problems: readonly string[], input: ConfigInput): void {
  if (problems.length === 0) return;
  const [first] = problems;
  if (problems.length === 1 && first !== undefined) throw new ConfigError(first);
  const of = input.file === undefined ? "the configuration" : input.file;
  const lines = problems.slice(0, shownProblems).map((problem) => `  ${problem}`);
  if (problems.length > shownProblems) lines.push(`  and ${problems.length - shownProblems} more`);
  throw new ConfigError(`${problems.length} problems in ${of}:\n${lines.join("\n")}`);
}

function cut(name: string): string {
  return name.length > 100 ? `${name.slice(0, 99)}…` : name;
}
