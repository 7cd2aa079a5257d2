/** A rollout from prompts to rewards: sampled, scored, and where nothing would be learned drawn again. */
import { at } from "../base/at.ts";
import { deriveSeed } from "../base/random.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { Example } from "../data/example.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { DType } from "../torch/index.ts";
import type { NextOptions } from "../train/step-source.ts";
import { replaced } from "./dynamic-sampling.ts";
import { rollout } from "./rollout.ts";
import { deadGroups, rolloutMetrics, type ScoredGroups, type Scorer, score } from "./scored-rollout.ts";

/** What samples and scores. */
export interface RolloutParts {
  config: RunConfig;
  model: CausalLM;
  /** Type of the activations. */
  dtype: DType;
  scorer: Scorer;
  tokenizer: Tokenizer;
  stopIds: ReadonlySet<number>;
}

/** Which of a run's rollouts is drawn. */
export interface RolloutRequest {
  /** From 0. With the run's seed it decides the draws. */
  round: number;
  /** The first optimiser step that learns from it, from 0. */
  step: number;
  prompts: readonly { index: number; example: Example }[];
}

/** A rollout with its rewards. */
export interface DrawnRollout extends ScoredGroups {
  metrics: Record<string, number>;
  /** How fast it was sampled and scored: measured, so never the same twice. */
  speeds: Record<string, number>;
}

/** Which of the seeds derived from the run's own is the rollouts'; steps have those from 0. */
const seedIndex = 2 ** 31 + 1;
/** Draws of one rollout: the first, and those of dynamic sampling. */
const drawsARollout = 1024;

/** Samples `num_generations` completions of each prompt and scores them, by the weights as they are. */
export async function drawRollout(
  parts: RolloutParts,
  request: RolloutRequest,
  how: NextOptions,
): Promise<DrawnRollout> {
  const { dynamic_sampling } = parts.config;
  const { prompts } = request;
  const speeds: Record<string, number> = {};
  let scored = await drawOnce(parts, { ...request, draw: 0 }, { ...how, speeds });
  const dead = deadGroups(scored).length;
  for (let draw = 1; draw <= dynamic_sampling; draw++) {
    const again = deadGroups(scored);
    if (again.length === 0) break;
    const others = again.map((g) => at(prompts, g));
    scored = replaced(
      scored,
      again,
      await drawOnce(parts, { ...request, prompts: others, draw }, { ...how, speeds }),
    );
  }
  const redrawn = dynamic_sampling > 0 ? { "sampling/frac_redrawn": dead / prompts.length } : {};
  return { ...scored, metrics: { ...rolloutMetrics(scored), ...redrawn }, speeds };
}

/** @param how - `speeds` takes those of this draw */
async function drawOnce(
  { config, model, dtype, scorer, tokenizer, stopIds }: RolloutParts,
  { round, step, prompts, draw }: RolloutRequest & { draw: number },
  { signal, onWork = () => {}, speeds }: NextOptions & { speeds: Record<string, number> },
): Promise<ScoredGroups> {
  const most = prompts.length * config.num_generations * config.max_completion_length;
  const seed = deriveSeed(deriveSeed(config.seed, seedIndex), round * drawsARollout + draw);
  const began = performance.now();
  const groups = await rollout(model, prompts, {
    ...config,
    ...{ seed, stopIds, dtype, signal },
    onProgress: (tokens) => onWork("sampling", tokens, most),
  });
  const sampled = performance.now();
  onWork("scoring", 0, groups.length);
  const { reward_weights, missing_eos_penalty } = config;
  const sum = { reward_weights, missing_eos_penalty };
  const scored = await score(scorer, groups, { ...sum, tokenizer, step, signal });
  onWork("scoring", groups.length, groups.length);
  const ended = performance.now();
  const completions = groups.flatMap((group) => group.completions);
  const tokens = completions.reduce((sum, { ids }) => sum + ids.length, 0);
  speeds["speed/sampling_tokens_per_second"] = (1000 * tokens) / (sampled - began);
  speeds["speed/scoring_completions_per_second"] = (1000 * completions.length) / (ended - sampled);
  for (const { name, seconds } of scored.scores.functions) speeds[`rewards/${name}/seconds`] = seconds;
  return scored;
}
