/** What `reward_funcs` accepts: reward functions by name, built in or a user's, with their options. */
import { basename, extname } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { ConfigError } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";
import { gotText } from "./given.ts";
import { schemaCheck } from "./reward-json-schema.ts";

/** Options of the built-in reward functions; each takes some of them. */
export interface RewardOptions {
  /** Column of the rows that holds the reference answer. */
  column?: string;
  /** A JavaScript regular expression. */
  pattern?: string;
  flags?: string;
  ignore_case?: boolean;
  /** Largest difference between two numbers that count as equal. */
  tolerance?: number;
  /** A JSON Schema. */
  schema?: Readonly<Record<string, unknown>>;
  /** What is counted. */
  unit?: "tokens" | "words" | "characters";
  min?: number;
  max?: number;
  /** Tokens of an n-gram. */
  ngram_size?: number;
  /** Longest completion of the run, in tokens. */
  max_completion_length?: number;
  /** Tokens before the longest length in which the punishment grows. */
  soft_punish_cache?: number;
}

/** A reward function of a run, as it is configured. */
export interface RewardSpec extends RewardOptions {
  /** A built-in function's name, or FILE#EXPORT; FILE alone is its default export. */
  function: string;
  /** Its name in metrics and messages; left out: that of the function. */
  name?: string;
  /** Whether it compares the completions of a prompt: it is never called with a part of them. */
  group?: boolean;
}

/** A module's function: its file, as written, and the name of the export. */
export interface ModuleFunction {
  file: string;
  export: string;
}

const text = z.string().min(1);
const tokens = z.int().min(1);

function asSpecs(value: unknown): unknown {
  if (value === null || value === undefined) return value;
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.map((entry) => (typeof entry === "string" ? { function: entry } : entry));
}

/** One reward function or several, each a text or a mapping; read as a list of mappings. */
export const rewardSpecs = z.preprocess(
  asSpecs,
  z
    .array(
      z.strictObject({
        function: text,
        name: z
          .string()
          .regex(/^[^\s/]+$/)
          .optional(),
        group: z.boolean().optional(),
        column: text.optional(),
        pattern: text.optional(),
        flags: z
          .string()
          .regex(/^[imsuv]*$/)
          .optional(),
        ignore_case: z.boolean().optional(),
        tolerance: z.number().min(0).optional(),
        schema: z.record(z.string(), z.unknown()).optional(),
        unit: z.enum(["tokens", "words", "characters"]).optional(),
        min: z.number().min(0).optional(),
        max: z.number().gt(0).optional(),
        ngram_size: tokens.optional(),
        max_completion_length: tokens.optional(),
        soft_punish_cache: z.int().min(0).optional(),
      }),
    )
    .min(1),
) as unknown as z.ZodType<RewardSpec[]>;

/** What a list of reward functions is, in words. */
export const expectedRewardSpecs =
  "reward functions: FILE#EXPORT, the name of one that is built in, or a mapping with function, name and its options";

/** Name of a built-in reward function. */
export type BuiltInReward =
  | "exact"
  | "regex"
  | "number"
  | "math"
  | "json"
  | "length"
  | "repetition"
  | "overlong"
  | "accuracy"
  | "think_format";

/**
 * The reward functions that `value` names, each by itself right and named differently from the others.
 *
 * @throws {ConfigError} naming each that is not
 */
export function readRewardSpecs(value: unknown): RewardSpec[] {
  const result = rewardSpecs.safeParse(value);
  const problems = result.success
    ? rewardSpecProblems(result.data)
    : result.error.issues.map(({ path, ...issue }) => {
        const unknown = issue.code === "unrecognized_keys" ? issue.keys.slice(0, 1) : [];
        const place = [...path, ...unknown].map((part) => `[${String(part)}]`).join("");
        const got = [...path, ...unknown].reduce<unknown>((inside, part) => Object(inside)[part], value);
        return `reward_funcs${place}: expected ${expectedRewardSpecs}, got ${gotText(got)}.`;
      });
  if (!result.success || problems.length > 0) throw new ConfigError(problems.join("\n"));
  return result.data;
}

/** The built-in reward functions, with the options that each takes. */
const builtInRewards: Readonly<Record<BuiltInReward, readonly (keyof RewardOptions)[]>> = {
  exact: ["column", "ignore_case"],
  regex: ["pattern", "flags", "column"],
  number: ["column", "tolerance"],
  math: ["column"],
  json: ["schema"],
  length: ["unit", "min", "max"],
  repetition: ["ngram_size"],
  overlong: ["max_completion_length", "soft_punish_cache"],
  accuracy: ["column"],
  think_format: [],
};

/** The column that the references of a built-in function are in unless another is given. */
const referenceColumns: Readonly<Partial<Record<BuiltInReward, string>>> = {
  exact: "answer",
  number: "answer",
  math: "answer",
  // TRL's accuracy_reward has its references there
  accuracy: "solution",
};

/** True for the name of a built-in reward function. */
export function isBuiltInReward(name: string): name is BuiltInReward {
  return Object.hasOwn(builtInRewards, name);
}

/** Where a user's function is; null for a name without a file, such as that of a built-in function. */
export function moduleFunctionOf(spec: RewardSpec): ModuleFunction | null {
  const [, file = "", name = "default"] = /^(.*?)(?:#([^#]*))?$/s.exec(spec.function) ?? [];
  const isFile = spec.function.includes("#") || /[/\\]|\.\w+$/.test(file);
  return isFile ? { file, export: name === "" ? "default" : name } : null;
}

/** The name of a reward function in metrics (`rewards/NAME/mean`) and messages. */
export function rewardNameOf(spec: RewardSpec): string {
  if (spec.name !== undefined) return spec.name;
  const module = moduleFunctionOf(spec);
  if (module === null) return spec.function;
  return module.export === "default" ? basename(module.file, extname(module.file)) : module.export;
}

/** The column of the rows that a built-in function reads; null: none. */
export function referenceColumnOf(spec: RewardSpec): string | null {
  return spec.column ?? (isBuiltInReward(spec.function) ? referenceColumns[spec.function] : null) ?? null;
}

/** Names under which metrics and rollouts have what a reward model and a judge give. */
const takenNames: readonly string[] = ["reward_model", "judge"];

/**
 * What is wrong with the reward functions, beyond the form of each.
 *
 * @param trainedOn - where `specs` are those of evaluations alone: the others, whose metrics stand beside theirs
 */
export function rewardSpecProblems(
  specs: readonly RewardSpec[],
  trainedOn: readonly RewardSpec[] = [],
): string[] {
  return specs.flatMap((spec, index) => {
    const problems = problemsOf(spec);
    const nameProblem = nameProblemOf(spec, specs.slice(0, index), trainedOn);
    if (nameProblem !== null) problems.push(nameProblem);
    return problems.map((problem) => `${spec.function}: ${problem.replace(/[^?]$/, "$&.")}`);
  });
}

/** What is wrong with the name of `spec`, after those `before` it and beside those that are trained on; null: nothing. */
function nameProblemOf(
  spec: RewardSpec,
  before: readonly RewardSpec[],
  trainedOn: readonly RewardSpec[],
): string | null {
  const name = rewardNameOf(spec);
  const isNamed = (other: RewardSpec): boolean => rewardNameOf(other) === name;
  const remedy = (other: string): string =>
    `Give one of them a name: {function: ${spec.function}, name: ${other}}`;
  if (before.some(isNamed)) return `two reward functions are named "${name}". ${remedy(`${name}_2`)}`;
  // the same function as it is has the same numbers in both
  if (trainedOn.some((other) => isNamed(other) && !isSame(other, spec))) {
    return `another one of reward_funcs is named "${name}", and evaluations would have both as rewards/${name}. ${remedy(`${name}_gold`)}`;
  }
  if (takenNames.includes(name)) {
    return `the name "${name}" is that of the key ${name} in metrics and rollouts. Give it another one: {function: ${spec.function}, name: ${name}_2}`;
  }
  if (!/^[^\s/]+$/.test(name)) {
    return `expected a name without blanks and "/", got "${name}". Give it one with "name"`;
  }
  return null;
}

function isSame(a: RewardSpec, b: RewardSpec): boolean {
  return isDeepStrictEqual({ ...a, name: rewardNameOf(a) }, { ...b, name: rewardNameOf(b) });
}

function problemsOf(spec: RewardSpec): string[] {
  const { function: called, name: _, group: isGroup, ...options } = spec;
  const given = Object.keys(options);
  if (moduleFunctionOf(spec) !== null) {
    return given.length === 0
      ? []
      : [`a function of a file takes no options, got ${given.join(", ")}. Write them into the file`];
  }
  if (!isBuiltInReward(called)) {
    const known = Object.keys(builtInRewards);
    const hint = didYouMean(called, known) || ` A function of a file is written rewards.ts#${called}`;
    return [`expected FILE#EXPORT or one of ${known.join(", ")}, got "${called}".${hint}`];
  }
  const accepted: readonly string[] = builtInRewards[called];
  const takes = accepted.length === 0 ? "takes no options" : `takes ${accepted.join(", ")}`;
  const problems = given
    .filter((option) => !accepted.includes(option))
    .map((option) => `the option "${option}" is not for it: it ${takes}`);
  if (isGroup !== undefined) problems.push('"group" is for functions of a file. Leave it out');
  return [...problems, ...valueProblems(called, spec)];
}

function valueProblems(called: BuiltInReward, spec: RewardSpec): string[] {
  const { pattern, flags = "", schema, min = 0, max } = spec;
  const { soft_punish_cache: cache, max_completion_length: longest } = spec;
  if (called === "regex") {
    if (pattern === undefined) return ["pattern is missing. Give it a regular expression"];
    try {
      new RegExp(pattern, flags);
    } catch (error) {
      return [`pattern: ${(error as Error).message}`];
    }
  }
  if (schema !== undefined) {
    try {
      schemaCheck(schema);
    } catch (error) {
      return [`schema: expected a JSON Schema: ${(error as Error).message.replace(/[.]$/, "")}`];
    }
  }
  if (max !== undefined && min > max) return [`min is ${min} and max is ${max}. Give a min of at most max`];
  if (cache !== undefined && longest !== undefined && cache > longest) {
    return [`soft_punish_cache is ${cache}, more than max_completion_length, ${longest}. Give at most that`];
  }
  return [];
}
