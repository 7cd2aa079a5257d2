/** The file of a round: which model answers which prompts, who judges, how pairs are made and what is trained on them. */
import { dirname, join } from "node:path";
import { z } from "zod";
import { ConfigError } from "../../base/errors.ts";
import { didYouMean } from "../../base/suggest.ts";
import { type Given, givenByYaml, gotText } from "../../config/given.ts";
import { CONFIG_KEYS, fieldOf, isConfigKey } from "../../config/keys.ts";
import { ownDefault } from "../../config/method-keys.ts";
import { secretAmong } from "../../config/request-fields.ts";
import type { RewardSpec } from "../../config/reward-specs.ts";
import type { ConfigKey } from "../../config/run-config.ts";

/** A round, checked. Keys that a configuration has too mean the same and have the same default. */
export interface RoundSettings {
  /** The model that answers and is trained: a directory or hub id, a run's directory, or that of the round before. */
  model: string;
  /** File of the prompts that are answered, judged and trained on. */
  prompts: string;
  /** File of the fixed prompts, the same in every round, on which models are compared. */
  eval_prompts: string;
  output_dir: string;
  /** The workbench that keeps labels and versions. */
  workbench: string;
  /** URL#MODEL of an endpoint, "people", or null: reward functions or a reward model. */
  judge: string | null;
  judge_mode: "rating" | "pairs";
  /** Further fields of requests to the judge; null takes a field out. */
  judge_extra: Readonly<Record<string, unknown>> | null;
  /** Longest judgment in tokens; null: as the judge's prompt has it. */
  judge_max_tokens: number | null;
  /** Requests to the judge at once. */
  concurrency: number;
  /** Seconds that a request may take. */
  timeout: number;
  max_retries: number;
  /** Of the pairs put before people, those that must be judged before the round continues; null: all. */
  labels: number | null;
  reward_funcs: RewardSpec[] | null;
  reward_model: string | null;
  reward_weights: number[] | null;
  reward_timeout: number;
  reward_max_failures: number;
  num_generations: number;
  max_completion_length: number;
  temperature: number;
  top_p: number;
  top_k: number;
  min_p: number | null;
  repetition_penalty: number;
  seed: number;
  pairs: "all" | "best_worst" | "ranked";
  /** A pair needs a difference above this. */
  reward_gap: number;
  /** A configuration of the training, or null. */
  config: string | null;
  /** Values of the training on top of it. */
  values: Readonly<Record<string, unknown>>;
}

/** What "judge" says where people judge. */
export const people = "people";

const path = { schema: z.string().regex(/\S/), expected: "a path" };

interface RoundField {
  schema: z.ZodType;
  expected: string;
  /** Left out: it must be given. */
  default?: unknown;
}

/** Keys that are a round's alone. */
const ownKeys: Readonly<Record<string, RoundField>> = {
  model: { ...path, expected: "a model, or the directory of a run or of a round" },
  prompts: { ...path, expected: "a file of prompts" },
  eval_prompts: { ...path, expected: "a file of prompts that are not trained on" },
  output_dir: { ...path, expected: "a directory path" },
  workbench: { ...path, expected: "a directory path", default: null },
  judge: {
    schema: z.string().regex(/^(people|\S[^\s#]*#\S+)$/),
    expected: 'URL#MODEL of an OpenAI-style endpoint, or "people"',
    default: null,
  },
  judge_max_tokens: { schema: z.int().min(1), expected: "a whole number of at least 1", default: null },
  concurrency: { schema: z.int().min(1), expected: "a whole number of at least 1", default: 8 },
  timeout: {
    schema: z.number().positive().max(300),
    expected: "a number of seconds, at most 300",
    default: 120,
  },
  max_retries: { schema: z.int().min(0), expected: "a whole number of at least 0", default: 6 },
  labels: { schema: z.int().min(1), expected: "a whole number of at least 1", default: null },
  config: { ...path, expected: "the path of a configuration", default: null },
  values: {
    schema: z.record(z.string(), z.unknown()),
    expected: "a mapping of configuration keys to values",
    default: {},
  },
};

/** Keys that decide the answers; a configuration has them as well. */
export const samplingKeys = [
  "num_generations",
  "max_completion_length",
  "temperature",
  "top_p",
  "top_k",
  "min_p",
  "repetition_penalty",
  "seed",
] as const;

/** Keys that a configuration has as well. */
const sharedKeys: readonly ConfigKey[] = [
  "judge_mode",
  "judge_extra",
  "reward_funcs",
  "reward_model",
  "reward_weights",
  "reward_timeout",
  "reward_max_failures",
  ...samplingKeys,
  "pairs",
  "reward_gap",
];

const keys = [...Object.keys(ownKeys), ...sharedKeys];

/** Keys of the training that the round itself gives. */
const givenByRound = [
  "model_name_or_path",
  "adapter_name_or_path",
  "train_data",
  "output_dir",
  "resume_from_checkpoint",
];

/** Keys that say something of some ways to judge only. */
const ofSomeWays: readonly (readonly [keys: readonly string[], ways: readonly Way[], only: string])[] = [
  [
    ["judge_mode", "judge_extra", "judge_max_tokens", "concurrency", "timeout", "max_retries"],
    ["judge"],
    "a judge behind an endpoint",
  ],
  [["labels"], ["people"], "judge: people"],
  [["reward_weights", "reward_timeout"], ["reward_funcs"], "reward_funcs"],
  [["reward_max_failures"], ["judge", "reward_funcs"], "reward_funcs or a judge behind an endpoint"],
];

type Way = "judge" | "people" | "reward_funcs" | "reward_model";

/** Completions of a prompt where people judge and the file does not say: one pair. */
const forPeople = 2;

/**
 * The round in YAML text; messages call it `file`.
 *
 * @throws {ConfigError} naming every unknown key and wrong value, with file and line
 */
export function parseRound(text: string, file: string): RoundSettings {
  const problems: string[] = [];
  const found: Record<string, unknown> = {};
  const given = givenByYaml(text, file);
  for (const entry of given) {
    const { value, problem } = checkedValue(entry);
    if (problem === null) found[entry.key] = value;
    else problems.push(problem);
  }
  const at = (key: string): Given | undefined => given.find((entry) => entry.key === key);
  for (const key of keys) {
    const field = fieldOfRound(key);
    if (at(key) === undefined && field.default === undefined)
      problems.push(`${file}: ${key} is missing: expected ${field.expected}.`);
  }
  const way = wayOf(found, file, problems);
  if (way !== null) problems.push(...uselessKeys(given, way));
  problems.push(...valueProblems(at("values")));
  if (at("config") === undefined && at("values") === undefined)
    problems.push(`${file}: expected config (a file) or values (objective, learning_rate …), got neither.`);
  if (problems.length > 0) throw new ConfigError(problems.join("\n"));
  const defaults = Object.fromEntries(keys.map((key) => [key, fieldOfRound(key).default]));
  const settings = { ...defaults, ...found } as unknown as RoundSettings;
  if (way === "people" && at("num_generations") === undefined) settings.num_generations = forPeople;
  settings.workbench ??= join(dirname(settings.output_dir), "workbench");
  refuseOneAnswer(settings, at("num_generations"));
  refuseSecret(settings, at("judge_extra"));
  return settings;
}

function fieldOfRound(key: string): RoundField {
  const own = ownKeys[key];
  if (own !== undefined) return own;
  const { schema: _, check, expected, ...field } = fieldOf(key as ConfigKey, "dpo");
  const schema = z.unknown().transform((value, context) => {
    const result = check(value);
    if (result.success) return result.data;
    context.addIssue(expected);
    return z.NEVER;
  });
  return { schema, expected, default: field.default ?? ownDefault("dpo", key as ConfigKey) ?? null };
}

/** The value as its key reads it, or what is wrong with it. */
function checkedValue(given: Given): { value: unknown; problem: string | null } {
  const { key, value } = given;
  if (!keys.includes(key)) {
    const where = isConfigKey(key)
      ? " It is a key of the configuration: put it under values."
      : didYouMean(key, keys);
    return { value, problem: `${given.where()}: unknown key "${key}".${where}` };
  }
  const field = fieldOfRound(key);
  if (value === null && field.default === null) return { value, problem: null };
  const read = field.schema.safeParse(value);
  if (read.success && !(key === "pairs" && read.data === null)) return { value: read.data, problem: null };
  return {
    value,
    problem: `${given.where()}: ${key}: expected ${field.expected}, got ${gotText(value)}.`,
  };
}

/** Who judges; null where the file names nobody, or several. */
function wayOf(found: Readonly<Record<string, unknown>>, file: string, problems: string[]): Way | null {
  const named = (["judge", "reward_funcs", "reward_model"] as const).filter((key) => found[key] != null);
  const [way] = named;
  if (way !== undefined && named.length === 1) return found["judge"] === people ? "people" : way;
  problems.push(
    `${file}: expected one of judge (URL#MODEL or people), reward_funcs and reward_model, got ${named.join(" and ") || "none of them"}.`,
  );
  return null;
}

function uselessKeys(given: readonly Given[], way: Way): string[] {
  return ofSomeWays.flatMap(([names, ways, only]) =>
    given
      .filter(({ key }) => !ways.includes(way) && names.includes(key))
      .map((one) => `${one.where()}: ${one.key} has no effect here: it goes with ${only}. Take it out.`),
  );
}

function valueProblems(given: Given | undefined): string[] {
  const all = z.record(z.string(), z.unknown()).safeParse(given?.value);
  if (given === undefined || !all.success) return [];
  return Object.keys(all.data).flatMap((key) => {
    const where = given.where([key]);
    if (!isConfigKey(key)) return [`${where}: unknown key "${key}".${didYouMean(key, CONFIG_KEYS)}`];
    return givenByRound.includes(key) ? [`${where}: ${key} is set by the round. Take it out.`] : [];
  });
}

function refuseSecret({ judge_extra }: RoundSettings, given: Given | undefined): void {
  const secret = secretAmong(judge_extra ?? {});
  if (secret === undefined) return;
  throw new ConfigError(
    `${given?.where()}: judge_extra: "${secret}" would stand in the round's records. Take it out, and give the key by the variable PREFTUNE_JUDGE_KEY.`,
  );
}

function refuseOneAnswer({ num_generations: n, temperature }: RoundSettings, given: Given | undefined): void {
  const where = given?.where() ?? "num_generations";
  if (n < 2)
    throw new ConfigError(
      `${where}: num_generations: expected at least 2 completions of a prompt, which pairs are made of, got ${n}.`,
    );
  if (temperature <= 0)
    throw new ConfigError(`temperature: expected a number above 0: at ${temperature} all are the same.`);
}
