/** Evaluation of an on-policy run: what the model answers to held-out prompts, and what it thinks of good completions of them. */
import { setImmediate } from "node:timers/promises";
import { at } from "../base/at.ts";
import { deriveSeed } from "../base/random.ts";
import type { RunConfig } from "../config/run-config.ts";
import { CompletionValues } from "../data/completion-values.ts";
import { type Example, promptOf } from "../data/example.ts";
import { completionEntropies } from "../evaluate/diversity/completion-entropies.ts";
import { scoreBatch } from "../forward/score-batch.ts";
import { inGroups, mean, scorable } from "../methods/advantages.ts";
import type { EvaluationRecord } from "../runs/evaluation-records.ts";
import { evaluationBatches } from "../train/step-source.ts";
import type { TokenLogps } from "../train/token-changes.ts";
import type { OnlineParts } from "./online-steps.ts";
import { completionLogps, type PolicyReference } from "./policy-reference.ts";
import { type RolloutGroup, rollout, sizesOf } from "./rollout.ts";
import { retriesOf, rolloutMetrics, type Scorer, score, textOf } from "./scored-rollout.ts";

/** Which of the seeds derived from the run's own is that of evaluations: the same draws at each. */
const seedIndex = 2 ** 31 + 2;
/** Prompts whose completions are kept to be shown. */
const mostShown = 16;

/** What is measured with. */
export interface RolloutEvaluation
  extends Pick<OnlineParts, "config" | "model" | "numerics" | "scorer" | "tokenizer" | "stopIds"> {
  /** The held-out prompts. */
  examples: readonly Example[];
  /** Scores by what training does not see; null: nothing does. */
  gold: Scorer | null;
  /** Opens the model as it was at the start. */
  openReference: () => PolicyReference;
}

/** What an evaluation measured. */
export interface RolloutMeasures {
  /** Metrics without `eval_`. */
  metrics: Record<string, number>;
  samples: EvaluationRecord["samples"];
  /** By prompt, means over its completions. */
  prompts: NonNullable<EvaluationRecord["prompts"]>;
}

/** How the completions are sampled. */
interface SamplingOptions {
  onProgress: (done: number, total: number) => void;
  signal: AbortSignal | undefined;
}

/**
 * Samples completions of the held-out prompts, with the same random numbers at every evaluation, and scores them.
 *
 * @throws the signal's reason when that is aborted
 */
export async function evaluateRollouts(
  parts: RolloutEvaluation,
  step: number,
  { onProgress, signal }: SamplingOptions,
): Promise<RolloutMeasures> {
  const { config, model, numerics, tokenizer, stopIds, examples } = parts;
  const n = config.num_generations_eval ?? config.num_generations;
  const total = examples.length * n * config.max_completion_length;
  const groups = await rollout(
    model,
    examples.map((example, index) => ({ example, index })),
    {
      ...config,
      ...{ num_generations: n, stopIds, dtype: numerics.dtype, seed: deriveSeed(config.seed, seedIndex) },
      signal,
      onProgress: (tokens) => onProgress(tokens, total),
    },
  );
  const { rewards, ...scored } = await rewardMetrics(parts, groups, { step, signal });
  await listen(signal);
  const kl = klOf(parts, groups);
  await listen(signal);
  const entropies = completionEntropiesOf(parts, groups);
  const distinct = groups.map(distinctShare);
  const lengths = groups.flatMap(({ completions }) => completions.map(({ ids }) => ids.length));
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const metrics = {
    ...scored.metrics,
    kl_init: meanOf(kl),
    kl_init_per_token: (meanOf(kl) * kl.length) / tokens,
    entropy: meanOf(entropies.flat()),
    "completions/distinct": meanOf(distinct),
  };
  const prompts = {
    ...scored.prompts,
    kl_init: byPrompt(groups, kl),
    entropy: byPrompt(groups, entropies.map(meanOf)),
    distinct,
    length: byPrompt(groups, lengths),
  };
  const samples = groups.slice(0, mostShown).map(({ example, completions }, g) => ({
    prompt: textOf(promptOf(example), tokenizer),
    answers: completions.map(({ ids, ended }, i) => ({
      ...{ text: textOf(ids, tokenizer), ended },
      reward: knownOrNull(at(rewards, g * n + i)),
    })),
  }));
  return { metrics, samples, prompts };
}

/** Lets a signal be heard, which it is once the event loop has turned. @throws its reason when it is aborted */
async function listen(signal: AbortSignal | undefined): Promise<void> {
  await setImmediate();
  signal?.throwIfAborted();
}

function knownOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

async function rewardMetrics(
  { config, scorer, gold, tokenizer }: RolloutEvaluation,
  groups: RolloutGroup[],
  when: { step: number; signal: AbortSignal | undefined },
): Promise<{ rewards: number[] } & Pick<RolloutMeasures, "metrics" | "prompts">> {
  const { reward_weights, missing_eos_penalty } = config;
  const { rewards, ...scored } = await score(scorer, groups, {
    ...{ reward_weights, missing_eos_penalty, tokenizer, isHeldOut: true, ...when },
  });
  const own = {
    ...rolloutMetrics({ ...scored, rewards }),
    ...retriesOf(scored.scores),
    reward: meanOf(rewards),
  };
  const reward = byPrompt(groups, rewards);
  if (gold === null) return { rewards, metrics: own, prompts: { reward } };
  const other = await score(gold, groups, {
    ...{ reward_weights: null, missing_eos_penalty: null, tokenizer, isHeldOut: true, ...when },
  });
  return {
    rewards,
    metrics: { ...own, ...rolloutMetrics(other), gold: meanOf(other.rewards) },
    prompts: { reward, gold: byPrompt(groups, other.rewards) },
  };
}

/** The mean of those that are numbers. */
function meanOf(values: readonly number[]): number {
  return mean(scorable(values));
}

/** The mean of each group's completions. */
function byPrompt(groups: readonly RolloutGroup[], values: readonly number[]): number[] {
  return inGroups(values, sizesOf(groups)).map(meanOf);
}

/** KL from the start, estimated on each completion (k1), nats. */
function klOf(
  { openReference, config, model, numerics }: RolloutEvaluation,
  groups: readonly RolloutGroup[],
): number[] {
  using reference = openReference();
  const before = reference.logps(groups);
  // not the sampler's: it rounds otherwise, and with a penalty its law is another one
  const now = completionLogps(model, groups, config, numerics);
  return now.map((logps, i) => logps.reduce((sum, logp, t) => sum + logp - at(at(before, i), t), 0));
}

/** (completion)(token) entropy of the next token at temperature 1, nats. */
function completionEntropiesOf(
  { model, numerics }: RolloutEvaluation,
  groups: readonly RolloutGroup[],
): number[][] {
  const answers = groups.flatMap(({ completions }, prompt) =>
    completions.map(({ ids }) => ({ prompt, ids, stopId: null })),
  );
  const prompts = groups.map(({ example }) => promptOf(example));
  return completionEntropies(model, prompts, answers, numerics);
}

/** Fraction of a prompt's completions that are different from each other. */
function distinctShare({ completions }: RolloutGroup): number {
  return new Set(completions.map(({ ids }) => ids.join(" "))).size / completions.length;
}

/** Log-probs of each held-out good completion, means and by token, at temperature 1; rows without one have none. */
export function goodCompletionLogps(
  { model, numerics, examples }: Pick<RolloutEvaluation, "model" | "numerics" | "examples">,
  config: Pick<RunConfig, "per_device_eval_batch_size" | "share_prompt">,
  onBatch: (done: number, total: number, tokens: number) => void,
): { means: CompletionValues; tokens: TokenLogps } {
  const means = new CompletionValues(examples);
  const perToken = examples.map(() => [] as Float32Array[]);
  const places = examples.flatMap(({ completions }, i) => (completions.length > 0 ? [i] : []));
  const batches = evaluationBatches(
    places.map((i) => at(examples, i)),
    config,
  );
  let tokens = 0;
  for (const [i, batch] of batches.entries()) {
    for (const { index, completion, sum, logps } of scoreBatch(model, batch, {
      ...numerics,
      temperature: 1,
    })) {
      means.of(at(places, index))[completion] = sum / logps.length;
      at(perToken, at(places, index))[completion] = logps;
    }
    tokens += batch.packed.ids.length;
    onBatch(i + 1, batches.length, tokens);
  }
  return { means, tokens: perToken };
}
