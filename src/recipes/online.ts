/** What an on-policy run has besides others: reward functions, a reference in memory, rollouts as the source of its steps. */
import { join } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { sha256 } from "../base/files.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import { isOnPolicy } from "../config/online-keys.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { Dataset } from "../data/dataset.ts";
import type { Example } from "../data/example.ts";
import { parseEndpoint } from "../evaluate/answers/answerer.ts";
import { contextLength } from "../formats/model-config.ts";
import type { Environment } from "../forward/environment.ts";
import { canBeCorrected, corrected } from "../methods/importance-sampling.ts";
import { objectiveOf } from "../methods/losses.ts";
import type { CompletionObjective, Objective } from "../methods/objective.ts";
import { onRollouts } from "../methods/pairing/on-rollouts.ts";
import { CausalLM } from "../models/causal-lm.ts";
import { evaluateRollouts, goodCompletionLogps } from "../online/evaluate-rollouts.ts";
import { type JudgeReward, openJudgeReward } from "../online/judge-reward.ts";
import { trainingReference } from "../online/moving-reference.ts";
import { OnlineSteps } from "../online/online-steps.ts";
import { policyReference, type ReferenceSettings } from "../online/policy-reference.ts";
import { requireRoom, rewardModelRoom } from "../online/prompt-room.ts";
import { RolloutsAhead, scorerOf } from "../online/rollouts-ahead.ts";
import { SamplerProcess } from "../online/sampler-process.ts";
import type { Scorer } from "../online/scored-rollout.ts";
import { joined, rewardModelScorer } from "../online/scorers.ts";
import { openValueModel } from "../online/value-model.ts";
import { programBeside } from "../process/child.ts";
import { openRewards, type Rewards } from "../rewards/open-rewards.ts";
import type { HeadedModel } from "../train/logp-difference.ts";
import type { PreparedData } from "../train/prepare-data.ts";
import type { TrainedModel } from "../train/prepare-model.ts";
import type { Training } from "../train/step.ts";
import type { Measure } from "./evaluator.ts";

/** The objective of a run: on-policy it learns from rollouts, of whose completions it makes pairs where it is over pairs. */
export function runObjective(config: RunConfig, given: Objective | undefined): Objective {
  const objective = given ?? objectiveOf(config.method);
  const { method } = config;
  if (!isOnPolicy(config)) return objective;
  if (objective.over !== "pairs") return correctedIfStale(objective, config);
  if ("pairs" in method) return onRollouts(objective, method);
  throw new ConfigError(
    `objective ${method.objective}: expected one over pairs, which says how pairs are made, beside the custom objective ${objective.name}.`,
  );
}

/** With completions of an older policy, an objective that can be corrected for that is. */
function correctedIfStale(objective: Objective, config: RunConfig): Objective {
  if (config.max_staleness === 0 || !config.importance_sampling_correction) return objective;
  const isOverCompletions = objective.over === "groups" || objective.over === "completions";
  return isOverCompletions && canBeCorrected(objective) ? corrected(objective, config) : objective;
}

/** The training of a run, and of one whose model gives log-probs. */
type RunTraining = Training<HeadedModel> & TrainedModel<HeadedModel>;
type PolicyTraining = Training & TrainedModel;

/** The configuration of a run whose model is on disk. */
type LocalConfig = ReferenceSettings["config"];

/** Reward functions and the judge, and what evaluations show besides. */
interface OpenRewards {
  functions: Rewards | null;
  judge: Rewards | null;
  gold: Rewards | null;
}

/** An on-policy run's part of what a run does. */
export class OnlineRun implements AsyncDisposable {
  readonly #config: LocalConfig;
  readonly #rewards: OpenRewards;
  readonly #opened: AsyncDisposableStack;
  /** All that scores, once the tokenizer is known. */
  #scorer: Scorer | null = null;
  #sampler: SamplerProcess | null = null;

  private constructor(config: LocalConfig, rewards: OpenRewards, opened: AsyncDisposableStack) {
    this.#config = config;
    this.#rewards = rewards;
    this.#opened = opened;
  }

  /** That of a run; null if it is not on-policy. See `open`. */
  static async ofRun(config: LocalConfig, signal?: AbortSignal): Promise<OnlineRun | null> {
    return isOnPolicy(config) ? OnlineRun.open(config, signal) : null;
  }

  /**
   * Loads the reward functions of `config` and opens its judge.
   *
   * @param sampledAhead - in the sampling process of a run, its `max_staleness`
   * @throws {ConfigError | RewardError} if one cannot be loaded
   */
  static async open(config: LocalConfig, signal?: AbortSignal, sampledAhead: number = 0): Promise<OnlineRun> {
    const { reward_timeout, reward_max_failures, max_completion_length, reward_workers } = config;
    const settings = {
      ...{ reward_timeout, reward_max_failures, max_completion_length },
      ...(reward_workers === null ? {} : { reward_workers }),
      ...(signal === undefined ? {} : { signal }),
    };
    await using opening = new AsyncDisposableStack();
    const { reward_funcs, eval_reward_funcs } = config;
    const load = async (specs: typeof reward_funcs) =>
      specs === null ? null : opening.use(await openRewards(specs, settings));
    const functions = await load(reward_funcs);
    const gold = await load(eval_reward_funcs);
    // what scores rollouts ahead is open in the process that samples them; here it was only tried
    if (config.max_staleness > 0) await functions?.[Symbol.asyncDispose]();
    const ownJudge = config.max_staleness > 0 ? null : config.judge;
    const judge = ownJudge === null ? null : opening.use(judgeOf(config, ownJudge, sampledAhead));
    return new OnlineRun(config, { functions, judge, gold }, opening.move());
  }

  /** SHA-256 of the files of reward functions, for a run's fingerprints. */
  get files(): Record<string, string> {
    const { functions, gold } = this.#rewards;
    const files = [...(functions?.files ?? []), ...(gold?.files ?? [])].flat();
    return Object.fromEntries(files.map(({ path, sha256 }) => [path, sha256]));
  }

  /** @throws {ConfigError} if no row has a column that a reward function reads */
  requireColumns({ examples, evalExamples }: Dataset): void {
    const { functions, gold } = this.#rewards;
    const held = evalExamples ?? [];
    requireColumns("reward_funcs", functions, { rows: examples, what: "the rows that are trained on" });
    requireColumns("reward_funcs", functions, { rows: held, what: "the held-out rows" });
    requireColumns("eval_reward_funcs", gold, { rows: held, what: "the held-out rows" });
  }

  /** All that scores completions: reward functions, the reward model, the judge. Ahead, in the sampling process. */
  scorer(data: Pick<PreparedData, "tokenizer" | "stopIds">, environment: Environment): Scorer {
    const { reward_model, judge: judgeName, max_staleness } = this.#config;
    if (max_staleness > 0) {
      const names = [
        ...(this.#rewards.functions?.names ?? []),
        ...(reward_model === null ? [] : ["reward_model"]),
        ...(judgeName === null ? [] : ["judge"]),
      ];
      return scorerOf(this.#samplerOf(data, environment), names);
    }
    const { tokenizer } = data;
    const { functions, judge } = this.#rewards;
    this.#scorer ??= joined([
      ...(functions === null ? [] : [functions]),
      ...(reward_model === null
        ? []
        : [this.#opened.use(rewardModelScorer(reward_model, tokenizer, environment))]),
      ...(judge === null ? [] : [judge]),
    ]);
    return this.#scorer;
  }

  /** The process that samples and scores ahead, which is started at the first call. */
  #samplerOf({ stopIds }: Pick<PreparedData, "stopIds">, { matmul }: Environment): SamplerProcess {
    const program = programBeside(import.meta, "sampler-child");
    const settings = { config: this.#config, matmul, stopIds };
    this.#sampler ??= this.#opened.use(new SamplerProcess({ program, settings }));
    return this.#sampler;
  }

  /**
   * Rollouts as the source of the run's steps.
   *
   * @param memory - frees the reference and the value model
   * @throws {ConfigError} if the objective cannot learn from rollouts, or a prompt leaves no room for a completion
   */
  steps(
    training: RunTraining,
    environment: Environment,
    data: PreparedData,
    memory: DisposableStack,
  ): OnlineSteps {
    const policy = policyOf(training);
    const { numerics } = training;
    const objective = rolloutObjective(training.objective);
    const { examples } = data.dataset;
    const config = this.#config;
    const reference = needsReference(objective)
      ? memory.use(trainingReference(policy, { config, environment, numerics }))
      : null;
    const isOwn = objective.name !== config.method.objective;
    const valueModel = isOwn ? null : openValueModel(config, { environment, numerics, data });
    if (valueModel !== null) memory.use(valueModel);
    requireRoom([...examples, ...(data.dataset.evalExamples ?? [])], config.max_completion_length, [
      { what: "the model", tokens: contextLength(data.modelConfig) },
      ...(config.reward_model === null ? [] : [rewardModelRoom(config.reward_model)]),
      ...(valueModel === null ? [] : [{ what: "the value model", tokens: valueModel.context }]),
    ]);
    const { max_staleness, output_dir } = config;
    const ahead =
      max_staleness === 0
        ? null
        : memory.use(
            new RolloutsAhead({
              ...{ sampler: this.#samplerOf(data, environment), parameters: policy.parameters, examples },
              ...{ dir: join(output_dir, "sampler"), max_staleness },
            }),
          );
    const scorer = this.scorer(data, environment);
    const parts = { ...this.#parts(policy, data), scorer, examples, objective, reference };
    return new OnlineSteps({ ...parts, valueModel, ahead });
  }

  /** Measures the model by what it answers to held-out prompts, and by good completions of them. */
  measure(training: RunTraining, environment: Environment, data: PreparedData): Measure {
    const policy = policyOf(training);
    const { numerics } = training;
    const config = this.#config;
    const examples = data.dataset.evalExamples ?? [];
    const openReference = () => policyReference(policy, { config, environment, numerics });
    const scorer = this.scorer(data, environment);
    const { gold } = this.#rewards;
    const digests = gold?.files.map((ofOne) => ofOne.map(({ sha256: digest }) => digest)) ?? [];
    const goldKey = sha256(stringifyNumbers([config.eval_reward_funcs, digests]));
    const parts = { ...this.#parts(policy, data), scorer, examples, gold, openReference };
    return async (step, { onBatch, signal }) => {
      const good = goodCompletionLogps(parts, config, onBatch);
      const { metrics, samples, prompts } = await evaluateRollouts(parts, step, {
        signal,
        onProgress: (done, total) => onBatch(done, total, done),
      });
      const value = metrics["gold"];
      const shown = value === undefined ? {} : { gold: { key: goldKey, value } };
      return { metrics, ...good, rejected: null, samples, prompts, ...shown };
    };
  }

  #parts({ model, numerics }: PolicyTraining, { tokenizer, stopIds }: PreparedData) {
    return { config: this.#config, model, numerics, tokenizer, stopIds };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync();
  }
}

/** @throws {ConfigError} if `rows` are without a column that functions of `key` read */
function requireColumns(
  key: "reward_funcs" | "eval_reward_funcs",
  functions: Rewards | null,
  { rows, what }: { rows: readonly Example[]; what: string },
): void {
  // all rows of a data set have the same
  const columns = rows[0]?.reward?.columns;
  if (columns === undefined) return;
  const missing = functions?.columns.find((column) => !Object.hasOwn(columns, column));
  if (missing === undefined) return;
  const found = Object.keys(columns).join(", ") || "none";
  throw new ConfigError(
    `${key}: expected a column "${missing}" with references in ${what}, found ${found}. Name the column that has them in the ` +
      "function's options (column: NAME), or add it to the rows.",
  );
}

/** Requests to a judge at once, their limits and retries: as the commands with a judge have them. */
const judging = { concurrency: 8, limits: { timeoutMs: 120_000, maxRetries: 6 } };

/** The judge of a run, its judgments kept in the run directory. */
function judgeOf(config: LocalConfig, judge: string, max_staleness: number): JudgeReward {
  const {
    judge_price,
    judge_extra,
    judge_mode,
    judge_budget,
    judge_budget_spent,
    reward_max_failures,
    output_dir,
  } = config;
  const usual = { temperature: null, maxTokens: null, retriesWithoutVerdict: 1, extra: judge_extra ?? {} };
  const apiKey = process.env["PREFTUNE_JUDGE_KEY"] ?? null;
  return openJudgeReward({
    ...judging,
    judge: { ...parseEndpoint(judge), ...usual, price: judge_price, apiKey },
    ...{ dir: output_dir, mode: judge_mode, budget: judge_budget, reward_max_failures },
    ...{ onBudgetSpent: judge_budget_spent, max_staleness },
    optionNames: { extra: "judge_extra", maxTokens: "max_tokens in judge_extra" },
  });
}

function policyOf(training: RunTraining): PolicyTraining {
  const { model } = training;
  if (model instanceof CausalLM) return { ...training, model };
  throw new ConfigError("reward_funcs: a model that gives scores samples nothing. Take it out.");
}

/** The objective of a configuration, which learns from rollouts. @throws {ConfigError} if it cannot */
export function rolloutObjectiveOf(config: RunConfig): CompletionObjective {
  return rolloutObjective(runObjective(config, undefined));
}

function rolloutObjective(objective: Objective): CompletionObjective {
  if ((objective.over === "groups" || objective.over === "completions") && objective.prepare !== undefined) {
    return objective;
  }
  throw new ConfigError(
    `objective ${objective.name}: expected one that learns from rollouts (over groups, with prepare), got one over ${objective.over}.`,
  );
}

function needsReference({ columns = {}, usesReference = false }: CompletionObjective): boolean {
  return usesReference || "referenceTokenLogps" in columns || "referenceLogps" in columns;
}
