/** The runs of a grid, made from conditions and seeds and checked, and the folder that is taken for them. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { makeDirectory, readJsonFile, writeFileAtomic } from "../base/files.ts";
import { isConfigKey } from "../config/keys.ts";
import { loadConfig, type ResolvedConfig } from "../config/load-config.ts";
import { isOnPolicy } from "../config/online-keys.ts";
import type { RunConfig } from "../config/run-config.ts";
import { methodOf } from "../methods/index.ts";
import { RunLock } from "../runs/run-lock.ts";
import { overridesOf, trialId } from "./grid.ts";
import { type OwnKey, ownKeyProblem } from "./own-keys.ts";
import type { Condition } from "./section.ts";
import type { ConfigValues, Trial } from "./trial.ts";
import { TRIAL_METRICS, type TrialMetricName } from "./trial-metrics.ts";

/**
 * The runs: every condition with each of its seeds, seeds in the outer turn so that a study cut short has all conditions.
 *
 * @param seeds - how many, and the first of them
 */
export function trialsOf(
  conditions: readonly Condition[],
  { first = 1, count }: { first?: number; count: number },
  {
    file,
    shared,
    overrides,
  }: { file: string | null; shared: (seed: number) => ConfigValues; overrides: Trial["overrides"] },
): Trial[] {
  const names = Map.groupBy(conditions, ({ name }) => trialId(name, first));
  const isShared = (name: string): boolean => (names.get(trialId(name, first))?.length ?? 0) > 1;
  return Array.from({ length: count }, (_, i) => first + i).flatMap((seed) => {
    const own = conditions.filter(
      ({ fewerSeeds = 0 }) => seed === first || seed < first + count - fewerSeeds,
    );
    return own.map(({ name, changes, extra = null, ofAllSeeds = false }) => ({
      id: trialId(name, seed, isShared(name)),
      condition: name,
      seed,
      file,
      values: shared(seed),
      overrides,
      changes,
      extra: seed === first || ofAllSeeds ? extra : null,
    }));
  });
}

/**
 * Reads every configuration before the first run begins.
 *
 * @param metric - what runs are chosen by; left out: they are not
 * @throws {ConfigError} naming the run and what is wrong with it
 */
export function checkTrials(trials: readonly Trial[], metric: TrialMetricName | null = null): void {
  const hasSeeds = new Set(trials.map(({ seed }) => seed)).size > 1;
  for (const trial of trials) {
    const { config, inactive } = loaded(trial);
    refuseInactive(trial, inactive);
    refuseOwn(trial, config);
    const { objective } = config.method;
    if (config.eval_data === null || config.eval_fraction > 0) {
      throw new ConfigError(
        `run ${trial.id}: expected separate held-out rows, so that runs are compared on the same pairs. Give eval_data, and eval_fraction 0.`,
      );
    }
    if (hasSeeds) refuseDrawn(trial, config);
    if (!["pairs", "labelled"].includes(methodOf(objective).over) && !isOnPolicy(config)) {
      throw new ConfigError(
        `run ${trial.id}: expected an objective on pairs or labelled answers, got ${objective}: nothing could be compared.`,
      );
    }
    const lack = metric === null ? null : lackOf(metric, config);
    if (lack !== null)
      throw new ConfigError(`run ${trial.id}: metric: ${metric} cannot be measured: ${lack}`);
  }
}

/** @throws {ConfigError} for a key of which each run has its own value: with one for all they would be the same run, or in one directory */
function refuseOwn({ id, seed, values }: Trial, config: RunConfig): void {
  const isOther: Readonly<Record<OwnKey, boolean>> = {
    seed: config.seed !== seed,
    output_dir: config.output_dir !== id,
    resume_from_checkpoint: config.resume_from_checkpoint !== null,
  };
  for (const [key, isGiven] of Object.entries(isOther)) {
    if (isGiven || key in values) throw new ConfigError(`run ${id}: ${ownKeyProblem(key)}`);
  }
}

/** @throws {ConfigError} where the seed decides which held-out pairs a run is measured on */
function refuseDrawn({ id }: Trial, { train_data, eval_data, invalid_rows }: RunConfig): void {
  const isDrawn = (sources: RunConfig["train_data"]): boolean =>
    sources.some(({ weight }) => weight !== null);
  const others = "runs of several seeds would be measured on different pairs. Take the weights out";
  if (isDrawn(eval_data ?? [])) {
    throw new ConfigError(
      `run ${id}: eval_data: expected sources without weights, got some with: held-out rows are then drawn by the seed, and ` +
        `${others}, or give one seed.`,
    );
  }
  if (invalid_rows === "drop" && isDrawn(train_data)) {
    throw new ConfigError(
      `run ${id}: train_data: expected sources without weights, got some with, and invalid_rows drop: training rows are then drawn by ` +
        `the seed, held-out rows whose prompt is trained on are dropped, and ${others}, or the faulty rows and invalid_rows, or give one seed.`,
    );
  }
}

/** @throws {ConfigError} for a change without effect: runs that differ in it alone are the same */
function refuseInactive({ id, changes }: Trial, inactive: ResolvedConfig["inactive"]): void {
  for (const key of Object.keys(changes)) {
    const found = isConfigKey(key) ? inactive.get(key) : undefined;
    if (found === undefined) continue;
    throw new ConfigError(
      `run ${id}: ${key} has no effect here: ${found.reason}. Runs that differ in it would be the same. ${found.remedy}`,
    );
  }
}

function loaded({ id, file, values, overrides, seed, changes }: Trial): ResolvedConfig {
  const input = {
    ...(file === null ? {} : { file }),
    values: { ...values, seed, output_dir: id },
    overrides: [...overrides, ...overridesOf(changes)],
  };
  try {
    return loadConfig(input);
  } catch (error) {
    if (error instanceof ConfigError) throw new ConfigError(`run ${id}: ${error.message}`, { cause: error });
    throw error;
  }
}

/** Why runs of `config` have no figure for the metric, and what to do; null: they have. */
function lackOf(metric: TrialMetricName, config: RunConfig): string | null {
  const { source = "pairs" } = TRIAL_METRICS[metric];
  if (source === "rollouts") {
    if (!isOnPolicy(config))
      return "the run scores no completions. Take a metric of pairs, such as accuracy.";
    if (metric !== "gold" || config.eval_reward_funcs !== null) return null;
    return "there is no other reward at evaluations. Give eval_reward_funcs.";
  }
  if (source === "pairs") return null;
  if (config.watch_prompts === null) return "no answers are sampled at evaluations. Give watch_prompts.";
  if (metric !== "self_bleu" || config.watch_samples > 1) return null;
  return "it compares several answers to a prompt. Set watch_samples to 2 or more.";
}

const format = "preftune study";

/**
 * Makes `dir` if need be and takes its lock.
 *
 * @param facts - what the folder holds; another study is not written over
 * @throws {ConfigError} if it holds something else
 */
export function lockFolder(dir: string, facts: Readonly<Record<string, unknown>>): RunLock {
  makeDirectory(dir);
  const lock = new RunLock(join(dir, "study.lock"));
  const path = join(dir, "study.json");
  const wanted = { format, ...facts };
  try {
    if (!existsSync(path)) writeFileAtomic(path, `${JSON.stringify(wanted, null, 2)}\n`);
    else if (JSON.stringify(readJsonFile(path)) !== JSON.stringify(wanted)) {
      throw new ConfigError(
        `${dir}: expected a new folder, or one of the same study to resume; it holds ${JSON.stringify(readJsonFile(path))}, not ` +
          `${JSON.stringify(wanted)}. It is left as it is: give another with --output.`,
      );
    }
    return lock;
  } catch (error) {
    lock.release();
    throw error;
  }
}
