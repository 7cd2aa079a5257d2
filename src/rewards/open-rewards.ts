/** Reward functions of a run, loaded and ready to score rollouts. */
import { availableParallelism } from "node:os";
import { ConfigError } from "../base/errors.ts";
import {
  isBuiltInReward,
  moduleFunctionOf,
  type RewardSpec,
  readRewardSpecs,
  referenceColumnOf,
  rewardNameOf,
} from "../config/reward-specs.ts";
import { plainNumbers } from "../text/json-number.ts";
import { moduleFile } from "./module-file.ts";
import { RewardError } from "./reward-error.ts";
import type { RewardInput } from "./reward-function.ts";
import type { FunctionToLoad, RewardFile } from "./reward-messages.ts";
import { RewardPool } from "./reward-pool.ts";
import type { CallTimer } from "./reward-worker.ts";
import { FunctionScorer, type ScoringFunction } from "./score-function.ts";
import type { ScoredCompletions } from "./scored-completions.ts";

/** How reward functions are run. */
export interface RewardSettings {
  /** Worker processes; default: one a core, at most 4. */
  reward_workers?: number;
  /** Seconds that a call may take, from its start; default 10, at most 24 days. A call has the completions of one prompt. */
  reward_timeout?: number;
  /** Fraction of the completions of a rollout for which a function may fail before the run stops; default 0.5. */
  reward_max_failures?: number;
  /** Longest completion of the run, in tokens, for `overlong`. */
  max_completion_length?: number;
  /** Where the functions' output goes; default: standard error. */
  onOutput?: (text: string) => void;
  /** Decides when a call has taken too long; default: after `reward_timeout`. */
  timer?: CallTimer;
  signal?: AbortSignal;
}

/** What scoring a rollout needs to know of it. */
export interface ScoreOptions {
  /** Completions of each prompt, in order; default: all are of one. */
  groupSizes?: readonly number[];
  /** Whether an evaluation asks; default: training does. */
  isHeldOut?: boolean;
  /** Completions of the whole rollout, where these are a part of it that was drawn again; default: they are all. */
  rolloutSize?: number;
  /** The row of each completion as messages name it, such as FILE:LINE; default: they name none. */
  origins?: readonly string[];
  /** Ends scoring at once: the processes at work are killed. */
  signal?: AbortSignal;
}

/** Loaded reward functions. To be disposed of: `await using rewards = await openRewards(…)`. */
export interface Rewards extends AsyncDisposable {
  /** Name of each function, for `rewards/NAME/mean` and messages. */
  readonly names: readonly string[];
  /** The columns of the rows that built-in functions read, without repetition. */
  readonly columns: readonly string[];
  /** The files of each function: its module and the files that this imports, without packages. */
  readonly files: readonly (readonly RewardFile[])[];
  /**
   * The scores of a rollout.
   *
   * @throws {RewardError} if a function gives what is no list of rewards, or fails for too many completions
   * @throws {@link ScoreOptions.signal}'s reason when that is aborted
   */
  score(input: RewardInput, options?: ScoreOptions): Promise<ScoredCompletions>;
}

/**
 * Reward functions, loaded in a worker process.
 *
 * @param wanted - each as in `reward_funcs`: FILE#EXPORT, the name of a built-in function, or a mapping
 * @throws {ConfigError} if a function is unknown, two have one name, or options do not fit
 * @throws {RewardError} if a file is missing, cannot be loaded or lacks the function
 */
export async function openRewards(
  wanted: readonly (string | RewardSpec)[],
  settings: RewardSettings = {},
): Promise<Rewards> {
  const specs = readRewardSpecs(wanted);
  const {
    reward_workers = Math.min(4, availableParallelism()),
    reward_timeout = 10,
    reward_max_failures = 0.5,
    timer = timerOf(reward_timeout),
    onOutput = (text) => void process.stderr.write(text),
  } = settings;
  const functions = specs.map((spec) => toLoad(spec, settings));
  const pool = new RewardPool(reward_workers, { functions, timer, onOutput });
  const scoring = specs.map(
    (spec, index): ScoringFunction => ({
      index,
      name: rewardNameOf(spec),
      written: spec.function,
      isForGroups: spec.group ?? false,
      reward_max_failures,
    }),
  );
  const needed = specs.map((spec) => ({ written: spec.function, column: referenceColumnOf(spec) }));
  return {
    names: scoring.map(({ name }) => name),
    columns: [...new Set(needed.flatMap(({ column }) => (column === null ? [] : [column])))],
    files: await pool.load(settings.signal),
    score: (given, options = {}) => {
      const { prompts, columns } = given;
      const input = { ...given, prompts: plainNumbers(prompts), columns: plainNumbers(columns) };
      for (const { written, column } of needed) requireColumn(input, written, column);
      return scoreAll(scoring, pool, input, options);
    },
    [Symbol.asyncDispose]: () => pool.close(),
  };
}

async function scoreAll(
  functions: readonly ScoringFunction[],
  pool: RewardPool,
  input: RewardInput,
  {
    groupSizes = [input.completions.length],
    rolloutSize = input.completions.length,
    origins,
    signal,
  }: ScoreOptions,
): Promise<ScoredCompletions> {
  checkLengths(input, groupSizes);
  const stop = new AbortController();
  const signals = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  try {
    const rollout = { input, groupSizes, rolloutSize, origins };
    return {
      functions: await Promise.all(
        functions.map((each) => new FunctionScorer(each, rollout, pool).score(signals)),
      ),
    };
  } catch (error) {
    // the other calls of this rollout are of no use any more
    stop.abort(error);
    throw error;
  }
}

function toLoad(spec: RewardSpec, { max_completion_length }: RewardSettings): FunctionToLoad {
  const name = rewardNameOf(spec);
  const module = moduleFunctionOf(spec);
  if (module !== null) return { name, module: moduleFile(module), export: module.export };
  const { function: builtIn, name: _, group: __, ...options } = spec;
  if (!isBuiltInReward(builtIn)) throw new RangeError(`no reward function ${builtIn}`);
  const longest = max_completion_length === undefined ? {} : { max_completion_length };
  if (builtIn === "overlong" && { ...longest, ...options }.max_completion_length === undefined) {
    throw new ConfigError(
      "overlong: max_completion_length is missing. Give it the longest completion, in tokens.",
    );
  }
  return { name, builtIn, options: { ...longest, ...options } };
}

/** What a timer of Node's can wait, in milliseconds; one that is to wait longer fires at once. */
const longestWait = 2 ** 31 - 1;

function timerOf(seconds: number): CallTimer {
  return (_call, onLimit) => {
    const timer = setTimeout(onLimit, Math.min(1000 * seconds, longestWait));
    return () => clearTimeout(timer);
  };
}

function checkLengths(
  { prompts, completions, completion_ids: ids, columns }: RewardInput,
  groupSizes: readonly number[],
): void {
  const count = completions.length;
  const lengths = {
    prompts: prompts.length,
    completion_ids: ids.length,
    "the groups together": groupSizes.reduce((sum, size) => sum + size, 0),
    ...Object.fromEntries(
      Object.entries(columns).map(([name, values]) => [`the column ${name}`, values.length]),
    ),
  };
  for (const [name, length] of Object.entries(lengths)) {
    if (length !== count)
      throw new RangeError(`expected ${count} entries, one for each completion, in ${name}, got ${length}`);
  }
}

function requireColumn({ columns }: RewardInput, written: string, column: string | null): void {
  if (column === null || Object.hasOwn(columns, column)) return;
  const found = Object.keys(columns).join(", ") || "none";
  throw new RewardError(
    `${written}: expected a column "${column}" with the reference in the rows, found ${found}. Name the column: {function: ${written}, column: NAME}.`,
  );
}
