/** Checks across keys of a configuration that trains on the model's own answers (a table). */
import { isGreedyAt } from "../base/temperature.ts";
import { comparesOnPolicy, hasRatio, methodOf, startKeysOf } from "../methods/index.ts";
import type { Check } from "../methods/method.ts";
import { error } from "./check.ts";
import { isOnPolicy, REWARD_SOURCES, rewardCount } from "./online-keys.ts";
import { secretAmong } from "./request-fields.ts";
import { rewardSpecProblems } from "./reward-specs.ts";
import type { RunConfig } from "./run-config.ts";
import { rowsPerStep } from "./step-rows.ts";

/** Whether the loss is weighted for completions of an older policy. */
function correctsStaleness({ method, max_staleness, importance_sampling_correction }: RunConfig): boolean {
  return max_staleness > 0 && importance_sampling_correction && hasRatio(method.objective);
}

function hasNoBound(config: RunConfig): boolean {
  return config.importance_sampling_clip_min === null && config.importance_sampling_clip_max === null;
}

/** Whether the completions of a prompt would be in several steps. */
function hasCutGroups(config: RunConfig): boolean {
  return isOnPolicy(config) && rowsPerStep(config) % config.num_generations !== 0;
}

/** Whether the method as it is set weighs a KL between sampled tokens. */
function hasKl(method: RunConfig["method"]): boolean {
  const { klWeight } = methodOf(method.objective);
  return klWeight !== undefined && Number(new Map(Object.entries(method)).get(klWeight) ?? 0) > 0;
}

/** Whether what decides on the best model is the mean of a judge's comparisons, which is 0.5 in every group. */
function goesByComparisons(config: RunConfig): boolean {
  const { judge, judge_mode, reward_funcs, reward_model, metric_for_best_model: metric } = config;
  const isChosenBy = config.load_best_model_at_end || config.early_stopping_patience !== null;
  if (!isChosenBy || judge === null || judge_mode !== "pairs") return false;
  const isAlone = reward_funcs === null && reward_model === null;
  return metric === "eval_rewards/judge/mean" || (metric === "eval_reward" && isAlone);
}

/** Rows that a step replays, not rounded yet; null: the objective replays none. */
function replayedRows(config: RunConfig): number | null {
  const { method, num_generations } = config;
  if (!isOnPolicy(config) || !("replay" in method) || method.replay === 0) return null;
  return (method.replay * rowsPerStep(config)) / num_generations;
}

/** Completions of a step, replayed rows among them; 0: none are replayed. */
function stepWithReplayed(config: RunConfig): number {
  const replayed = replayedRows(config);
  return replayed === null ? 0 : rowsPerStep(config) + Math.round(replayed);
}

/** Checks of runs on own answers. */
export const ON_POLICY_CHECKS: readonly Check<RunConfig>[] = [
  error(
    "objective" as keyof RunConfig,
    (config) => methodOf(config.method.objective).onPolicy === "only" && !isOnPolicy(config),
    ({ method }) =>
      `${method.objective} trains on completions that the model samples, which something must score. Give reward_funcs, such as reward_funcs: [rewards.ts#brevity].`,
  ),
  ...REWARD_SOURCES.map((key) =>
    error(
      key,
      (config) => config[key] !== null && methodOf(config.method.objective).onPolicy === "never",
      ({ method }) =>
        `${method.objective} trains on rows as they are. Take it out, or set another objective.`,
    ),
  ),
  error(
    "data_order",
    (config) => isOnPolicy(config) && config.data_order === "length",
    "an on-policy run has prompts, and the lengths of what it samples are not known before. Set data_order: shuffled or given.",
  ),
  error(
    "num_generations",
    (config) => isOnPolicy(config) && config.num_generations < 2,
    "a completion is compared with others of its prompt: expected at least 2.",
  ),
  error(
    "train_batch_size",
    (config) => hasCutGroups(config) && config.train_batch_size !== null,
    ({ train_batch_size, num_generations }) =>
      `an optimiser step has ${train_batch_size} completions, no multiple of num_generations ${num_generations}. Change one of the two.`,
  ),
  error(
    "per_device_train_batch_size",
    (config) => hasCutGroups(config) && config.train_batch_size === null,
    (config) =>
      `an optimiser step has ${rowsPerStep(config)} completions (with gradient_accumulation_steps ${config.gradient_accumulation_steps}), no multiple of num_generations ${config.num_generations}. Change one of the three.`,
  ),
  error(
    "per_device_train_batch_size",
    (config) =>
      isOnPolicy(config) &&
      methodOf(config.method.objective).over === "pairs" &&
      config.per_device_train_batch_size % config.num_generations !== 0,
    (config) =>
      `pairs are made inside a micro-batch: expected a multiple of num_generations ${config.num_generations}, got ${config.per_device_train_batch_size}. max_tokens_per_micro_batch cuts between prompts.`,
  ),
  error(
    "ld_alpha" as keyof RunConfig,
    (config) => isOnPolicy(config) && "ld_alpha" in config.method && config.method.ld_alpha !== null,
    "a sampled completion is in several pairs, in each of which another part of it would be weighed. Take it out; it is for rows of pairs.",
  ),
  error(
    "nll_over" as keyof RunConfig,
    (config) => isOnPolicy(config) && "nll_over" in config.method && config.method.nll_over !== "answer",
    "a prompt of the model's own answers is in any number of pairs. Set nll_over: answer (preset: paper).",
  ),
  ...["lambda_start", "chosen_floor"].map((key) =>
    error(
      key as keyof RunConfig,
      (config) => isOnPolicy(config) && startKeysOf(config.method).includes(key),
      "answers that are sampled have no log-probabilities at the start to compare with. Take it out; kl_coef holds own answers near the start.",
    ),
  ),
  error(
    "replay" as keyof RunConfig,
    (config) => Math.round(replayedRows(config) ?? 1) === 0,
    (config) =>
      `of a step's prompts it is ${replayedRows(config)} rows, which is rounded to none. Give at least ${config.num_generations / (2 * rowsPerStep(config))} for one, or 0.`,
  ),
  error(
    "replay" as keyof RunConfig,
    (config) => {
      const { method } = config;
      const weight = "lambda_w" in method ? method.lambda_w : "replay_coef" in method && method.replay_coef;
      return replayedRows(config) !== null && weight === 0;
    },
    ({ method }) => {
      const key = "lambda_w" in method ? "lambda_w" : "replay_coef";
      return `what is replayed is weighed by ${key}, which is 0. Give ${key} a value above 0, or take replay out.`;
    },
  ),
  error(
    "optimizer_in_backward",
    (config) => config.optimizer_in_backward && stepWithReplayed(config) > config.per_device_train_batch_size,
    (config) =>
      `a step has ${rowsPerStep(config)} completions and ${stepWithReplayed(config) - rowsPerStep(config)} replayed rows, more than a ` +
      `micro-batch (per_device_train_batch_size ${config.per_device_train_batch_size}), and gradients of several would be added up. ` +
      `Set per_device_train_batch_size to at least ${stepWithReplayed(config)} with train_batch_size: ${rowsPerStep(config)}, or take replay out.`,
  ),
  error(
    "reward_weights",
    (config) =>
      isOnPolicy(config) &&
      config.reward_weights !== null &&
      config.reward_weights.length !== rewardCount(config),
    (config) =>
      `expected ${rewardCount(config)} numbers, one for each of reward_funcs, then for reward_model and judge where there are any, got ${config.reward_weights?.length}.`,
  ),
  ...(["reward_funcs", "eval_reward_funcs"] as const).map((key) => {
    const problems = (config: RunConfig): string[] =>
      rewardSpecProblems(config[key] ?? [], key === "reward_funcs" ? [] : (config.reward_funcs ?? []));
    return error(
      key,
      (config) => problems(config).length > 0,
      (config) => problems(config).join(" "),
    );
  }),
  error(
    "temperature",
    (config) => isOnPolicy(config) && isGreedyAt(config.temperature),
    ({ temperature, num_generations }) =>
      `at ${temperature} all ${num_generations} completions of a prompt are the same, and nothing is learned. Set it to 1.`,
  ),
  error(
    "top_k",
    (config) => isOnPolicy(config) && config.top_k === 1,
    ({ num_generations }) =>
      `1 leaves only the most probable token, so all ${num_generations} completions of a prompt are the same, and nothing is learned. Take it out.`,
  ),
  error(
    "min_p",
    (config) => isOnPolicy(config) && config.min_p === 1,
    ({ num_generations }) =>
      `1 leaves only the most probable token, so all ${num_generations} completions of a prompt are the same, and nothing is learned. Take it out.`,
  ),
  error(
    "sync_ref_model",
    (config) => isOnPolicy(config) && config.sync_ref_model && !comparesOnPolicy(config.method),
    ({ method }) => {
      const { klWeight } = methodOf(method.objective);
      const give = klWeight === undefined ? "" : `Give ${klWeight} a value above 0, or `;
      return `nothing is compared with a reference here, so there is none to move. ${give}${give === "" ? "Take" : "take"} it out.`;
    },
  ),
  error(
    "sync_ref_model",
    (config) => isOnPolicy(config) && config.sync_ref_model && config.use_peft,
    "with LoRA the reference is the model without its adapter, and a mix of two models with adapters of rank r has no adapter of that rank. " +
      "Train all weights (use_peft: false), or take it out.",
  ),
  error(
    "repetition_penalty",
    (config) => isOnPolicy(config) && hasRatio(config.method.objective) && config.repetition_penalty !== 1,
    ({ repetition_penalty, method }) =>
      `with ${repetition_penalty} completions come from another distribution than the one whose log-probs ${method.objective} trains, so that its ratio would be wrong. Set it to 1.`,
  ),
  error(
    "repetition_penalty",
    (config) =>
      isOnPolicy(config) &&
      !hasRatio(config.method.objective) &&
      hasKl(config.method) &&
      config.repetition_penalty !== 1,
    ({ repetition_penalty, method }) =>
      `with ${repetition_penalty} completions come from another distribution than the one whose KL ${methodOf(method.objective).klWeight} weighs, so that ` +
      "it would be wrong, at the start already. Set it to 1, or the weight to 0.",
  ),
  error(
    "metric_for_best_model",
    goesByComparisons,
    ({ metric_for_best_model }) =>
      `with judge_mode: pairs ${metric_for_best_model} is 0.5 at every evaluation, since completions of one prompt are compared with each other, so it ` +
      "tells no two models from one another. Set judge_mode: rating, or judge evaluations by something else: eval_reward_funcs and metric_for_best_model: eval_gold.",
  ),
  error(
    "num_generations_eval",
    ({ judge, judge_mode, num_generations_eval }) =>
      judge !== null && judge_mode === "pairs" && num_generations_eval === 1,
    "with judge_mode: pairs a completion is compared with others of its prompt: expected at least 2.",
  ),
  error(
    "judge_extra",
    ({ judge_extra }) => secretAmong(judge_extra ?? {}) !== undefined,
    ({ judge_extra }) =>
      `"${secretAmong(judge_extra ?? {})}" would stand in the run's records. Take it out, and give the key by the variable PREFTUNE_JUDGE_KEY.`,
  ),
  error(
    "importance_sampling_clip_min",
    ({ importance_sampling_clip_min: min, importance_sampling_clip_max: max }) =>
      min !== null && max !== null && min >= max,
    ({ importance_sampling_clip_min: min, importance_sampling_clip_max: max }) =>
      `${min} is not below importance_sampling_clip_max ${max}. Make it smaller, or null.`,
  ),
  error(
    "importance_sampling_mode",
    (config) => correctsStaleness(config) && hasNoBound(config),
    ({ importance_sampling_mode }) =>
      `${importance_sampling_mode} needs a bound. Give importance_sampling_clip_max or importance_sampling_clip_min.`,
  ),
  error(
    "importance_sampling_mode",
    (config) =>
      correctsStaleness(config) &&
      methodOf(config.method.objective).ratio === "completion" &&
      config.importance_sampling_mode.startsWith("token"),
    ({ importance_sampling_mode, method }) =>
      `${method.objective} has one ratio for a completion, so ${importance_sampling_mode} cannot be applied. Set sequence_mask or sequence_truncate.`,
  ),
  error(
    "watch_thresholds",
    ({ watch_thresholds, eval_reward_funcs }) =>
      watch_thresholds.gold_fall !== null && eval_reward_funcs === null,
    "gold_fall judges the sum of eval_reward_funcs. Give these, or take it out.",
  ),
  error(
    "watch_thresholds",
    (config) => !isOnPolicy(config) && config.watch_thresholds.kl !== null,
    "kl is measured on-policy only. Give reward_funcs, or take it out.",
  ),
  error(
    "lora_dropout",
    (config) =>
      isOnPolicy(config) && config.use_peft && (config.lora_dropout ?? 0) > 0 && !config.disable_dropout,
    "completions are sampled without dropout, so their log-probs would not be those of the pass that trains on them. Set it to 0.",
  ),
];
