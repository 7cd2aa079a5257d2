/**
 * Turns what a user gave (YAML, command line, code) into a checked configuration in which every value is filled in
 * and knows where it came from. All problems are reported at once.
 *
 * Relative paths are kept as written and mean the working directory, as in other trainers, not the YAML file's.
 */

import { columnNames } from "../base/column-names.ts";
import { ConfigError } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";
import { type MethodName, type MethodSettings, methodNames } from "../methods/index.ts";
import { checkConfig, checkMethod, type Finding } from "./checks.ts";
import { DATASET_KEYS } from "./datasets.ts";
import { fillIn, type Origins } from "./fill.ts";
import {
  type Given,
  givenByCode,
  givenByCommandLine,
  givenByYaml,
  inWords,
  readConfigText,
} from "./given.ts";
import { type Inactive, inactiveKeys } from "./inactive.ts";
import { CONFIG_KEYS, fieldOf, isConfigKey } from "./keys.ts";
import type { CommonConfig, ConfigKey, RunConfig } from "./run-config.ts";
import { TRL_ALIASES } from "./trl-names.ts";
import { WATCH_THRESHOLDS } from "./watch-keys.ts";

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

/** Problems that one message tells: a file that is no configuration has one in each line. */
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
 * The values of a configuration for a job that can do without some of the keys a run must have: they are null where they
 * are not given.
 *
 * @throws {ConfigError} as `loadConfig`
 */
export function loadWithout<Key extends keyof CommonConfig>(
  input: ConfigInput,
  optional: readonly Key[],
): Omit<RunConfig, Key> & { [K in Key]: RunConfig[K] | null } {
  return load(input, optional).config;
}

function load(input: ConfigInput, optional: readonly ConfigKey[]): ResolvedConfig {
  const given = [
    ...givenInYaml(input),
    ...givenByCode(input.values ?? {}),
    ...givenByCommandLine(input.overrides ?? []),
  ];
  const { accepted, problems } = checked(given);
  problems.push(...missingKeys(accepted, problems, optional));
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
 * The value that `text`, typed on a command line, gives the key.
 *
 * @throws {ConfigError} when the key does not accept it
 */
export function readOption<Key extends keyof CommonConfig>(key: Key, text: string): CommonConfig[Key] {
  const { accepted, problems } = checked(givenByCommandLine([[key, text]]));
  refuse(problems, {});
  return accepted.get(key)?.value as CommonConfig[Key];
}

/** The values that are right by themselves, each under its key, and what is wrong with the others. */
function checked(given: readonly Given[]): { accepted: Accepted; problems: string[] } {
  const problems: string[] = [];
  const accepted: Accepted = new Map();
  // a hyperparameter is read as the run's method has it
  const objective = given.findLast(({ key }) => key === "objective")?.value;
  const known = methodNames.find((name) => name === objective) ?? methodNames[0];
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
  check: (config: RunConfig) => Finding[],
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
  for (const [key, inactive] of inactiveKeys(draft.config)) {
    const given = accepted.get(key);
    if (given === undefined) continue;
    report(severityOf(inactive, given, accepted), inactiveText(key, inactive, given));
    accepted.delete(key);
  }
  refuse(problems, input);
  const { config, provenance, problems: contradictions } = fillIn(accepted);
  problems.push(...contradictions);
  for (const finding of check(config)) {
    const where = accepted.get(finding.key)?.where();
    const place = where === undefined || where === `--${finding.key}` ? "" : `${where}: `;
    report(finding.severity, `${place}${finding.key}: ${finding.text}`);
  }
  refuse(problems, input);
  const inactive = inactiveKeys(config);
  return { config, provenance, inactive, warnings };
}

/** A key that a file sets and a later word on the command line makes useless is no mistake of the file. */
function severityOf(inactive: Inactive, given: Given, accepted: Accepted): "error" | "warning" {
  const decider = accepted.get(inactive.because);
  const switchedLater =
    decider?.provenance.kind === "command line" && given.provenance.kind !== "command line";
  return switchedLater ? "warning" : inactive.severity;
}

function inactiveText(key: ConfigKey, { reason, remedy }: Inactive, given: Given): string {
  return `${given.where()}: ${key} has no effect here: ${reason}. ${remedy}`;
}

function checkValue(given: Given, objective?: MethodName): Given | string[] {
  const { key, provenance } = given;
  if (!isConfigKey(key)) return [`${given.where()}: unknown key "${cut(key)}".${adviceFor(key)}`];
  const { type } = fieldOf(key, objective);
  const value = provenance.kind === "command line" ? type.fromText(given.value as string) : given.value;
  const result = type.schema.safeParse(value);
  if (result.success) return { ...given, value: result.data };
  return result.error.issues.map((issue) => {
    const part = issue.code === "unrecognized_keys" ? issue.keys.slice(0, 1) : [];
    const where = given.where([...issue.path, ...part]);
    const label = where === `--${key}` ? where : `${where}: ${key}`;
    if (issue.path.length === 0 && issue.code !== "unrecognized_keys") {
      return `${label}: expected ${type.expected}, got ${inWords(value)}.`;
    }
    return nestedProblem(label, value, issue);
  });
}

interface Issue {
  code?: string | undefined;
  path: PropertyKey[];
  message: string;
}

function nestedProblem(label: string, value: unknown, issue: Issue): string {
  // A single source is read as a list of one: its index is not in what the user wrote.
  const path = Array.isArray(value) ? issue.path : issue.path.filter((part) => typeof part !== "number");
  const place = path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`)).join("");
  if (issue.code === "unrecognized_keys") {
    const inColumns = path.at(-1) === "columns" || label.endsWith(": columns") || label === "--columns";
    const inThresholds = label.endsWith("watch_thresholds");
    const known = inColumns ? columnNames : inThresholds ? WATCH_THRESHOLDS : DATASET_KEYS;
    return (issue as Issue & { keys: string[] }).keys
      .slice(0, shownProblems)
      .map((name) => `${label}${place}: unknown key "${cut(name)}".${didYouMean(name, known)}`)
      .join("\n");
  }
  return `${label}${place}: ${issue.message.replace(/^Invalid input: /, "").replace(/^Too /, "too ")}.`;
}

function adviceFor(key: string): string {
  const elsewhere = Object.hasOwn(TRL_ALIASES, key) ? TRL_ALIASES[key] : undefined;
  if (elsewhere !== undefined) return ` In preftune: ${elsewhere}.`;
  return didYouMean(key, CONFIG_KEYS) || " `preftune train --print-config` lists the keys.";
}

function missingKeys(
  accepted: Accepted,
  problems: readonly string[],
  optional: readonly ConfigKey[],
): string[] {
  const missing = CONFIG_KEYS.filter((key) => {
    if (optional.includes(key)) return false;
    const field = fieldOf(key);
    return !("default" in field) && field.rule === undefined && !accepted.has(key);
  });
  // A required key with a wrong value has been reported already.
  return missing
    .filter((key) => !problems.some((problem) => problem.includes(key)))
    .map((key) => `${key} is missing: expected ${fieldOf(key).type.expected}. ${fieldOf(key).doc}`);
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
