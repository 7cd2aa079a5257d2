/** What an on-policy run has besides others: reward functions, a reference in memory, rollouts as the source of its steps. */
import { ConfigError } from "../base/errors.ts";
import { isOnPolicy } from "../config/online-keys.ts";
import type { RunConfig } from "../config/run-config.ts";
import { describeOrigin, type Example } from "../data/example.ts";
import { contextLength } from "../formats/model-config.ts";
import type { Environment } from "../forward/environment.ts";
import { objectiveOf } from "../methods/losses.ts";
import type { CompletionObjective, Objective } from "../methods/objective.ts";
import { onRollouts } from "../methods/pairing/on-rollouts.ts";
import { CausalLM } from "../models/causal-lm.ts";
import { evaluateRollouts, goodCompletionMeans } from "../online/evaluate-rollouts.ts";
import { OnlineSteps } from "../online/online-steps.ts";
import { policyReference, type ReferenceSettings } from "../online/policy-reference.ts";
import { ValueModel } from "../online/value-model.ts";
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
  if (!isOnPolicy(config) || objective.over !== "pairs") return objective;
  if ("pairs" in method) return onRollouts(objective, method);
  throw new ConfigError(
    `objective ${method.objective}: expected one over pairs, which says how pairs are made, beside the custom objective ${objective.name}.`,
  );
}

/** The training of a run, and of one whose model gives log-probs. */
type RunTraining = Training<HeadedModel> & TrainedModel<HeadedModel>;
type PolicyTraining = Training & TrainedModel;

/** The configuration of a run whose model is on disk. */
type LocalConfig = ReferenceSettings["config"];

/** An on-policy run's part of what a run does. */
export class OnlineRun implements AsyncDisposable {
  readonly #config: LocalConfig;
  readonly #rewards: Rewards;
  readonly #gold: Rewards | null;

  private constructor(config: LocalConfig, rewards: Rewards, gold: Rewards | null) {
    this.#config = config;
    this.#rewards = rewards;
    this.#gold = gold;
  }

  /**
   * Loads the reward functions of `config`; null for a run that is not on-policy.
   *
   * @throws {ConfigError | RewardError} if one cannot be loaded
   */
  static async open(config: LocalConfig, signal?: AbortSignal): Promise<OnlineRun | null> {
    if (config.reward_funcs === null) return null;
    const { reward_timeout, reward_max_failures, max_completion_length, reward_workers } = config;
    const settings = {
      ...{ reward_timeout, reward_max_failures, max_completion_length },
      ...(reward_workers === null ? {} : { reward_workers }),
      ...(signal === undefined ? {} : { signal }),
    };
    await using opened = new AsyncDisposableStack();
    const rewards = opened.use(await openRewards(config.reward_funcs, settings));
    const { eval_reward_funcs } = config;
    const gold =
      eval_reward_funcs === null ? null : opened.use(await openRewards(eval_reward_funcs, settings));
    opened.move();
    return new OnlineRun(config, rewards, gold);
  }

  /** SHA-256 of the files of reward functions, for a run's fingerprints. */
  get files(): Record<string, string> {
    return Object.fromEntries(
      [...this.#rewards.files, ...(this.#gold?.files ?? [])].flat().map(({ path, sha256 }) => [path, sha256]),
    );
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
    requireRoom(examples, config.max_completion_length, contextLength(data.modelConfig));
    const reference = needsReference(objective)
      ? memory.use(policyReference(policy, { config, environment, numerics }))
      : null;
    const { method } = config;
    const valueModel =
      method.objective === "ppo" && objective.name === "ppo"
        ? memory.use(new ValueModel({ config: { ...config, method }, environment, numerics, data }))
        : null;
    return new OnlineSteps({ ...this.#parts(policy, data), examples, objective, reference, valueModel });
  }

  /** Measures the model by what it answers to held-out prompts, and by good completions of them. */
  measure(training: RunTraining, environment: Environment, data: PreparedData): Measure {
    const policy = policyOf(training);
    const { numerics } = training;
    const config = this.#config;
    const examples = data.dataset.evalExamples ?? [];
    const openReference = () => policyReference(policy, { config, environment, numerics });
    const parts = { ...this.#parts(policy, data), examples, gold: this.#gold, openReference };
    return async (step, onBatch) => {
      const means = goodCompletionMeans(parts, config, onBatch);
      const { metrics, samples } = await evaluateRollouts(parts, step, (done, total) =>
        onBatch(done, total, done),
      );
      const figures =
        "gold" in metrics ? { gold: metrics["gold"] as number } : { kl_init: metrics["kl_init"] as number };
      return { metrics, means, rejected: null, samples, figures };
    };
  }

  #parts({ model, numerics }: PolicyTraining, { tokenizer, stopIds }: PreparedData) {
    return { config: this.#config, model, numerics, scorer: this.#rewards, tokenizer, stopIds };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rewards[Symbol.asyncDispose]();
    await this.#gold?.[Symbol.asyncDispose]();
  }
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

/** @throws {ConfigError} naming the first prompt after which a completion may not fit into the model's context */
function requireRoom(examples: readonly Example[], longest: number, context: number | null): void {
  if (context === null) return;
  const full = examples.find(({ promptIds }) => promptIds.length + longest > context);
  if (full === undefined) return;
  const room = Math.max(1, context - full.promptIds.length);
  throw new ConfigError(
    `${describeOrigin(full.origin)}: the prompt has ${full.promptIds.length} tokens, and max_completion_length allows ${longest} ` +
      `more; the model was made for ${context} in all. Set max_completion_length to at most ${room}, or leave the row out.`,
  );
}
