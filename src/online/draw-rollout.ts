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
import { type RolloutGroup, rollout } from "./rollout.ts";
import {
  deadGroups,
  retriesOf,
  rolloutMetrics,
  type ScoredGroups,
  type Scorer,
  score,
} from "./scored-rollout.ts";

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
  /** How fast it was sampled and scored, and what its judge was asked again: never the same twice. */
  speeds: Record<string, number>;
}

/** Which of the seeds derived from the run's own is the rollouts'; steps have those from 0. */
const seedIndex = 2 ** 31 + 1;
/** Most draws of one rollout: the first, and those of dynamic sampling, which its key bounds. */
const drawsARollout = 1024;

/** When the two kinds of work of a rollout are done: at once, or in the order of the rollouts that are under way. */
export interface Turns {
  sampling<R>(work: () => Promise<R>): Promise<R>;
  /** From the first score to the last, with the draws between them. */
  scoring<R>(work: () => Promise<R>): Promise<R>;
}

const atOnce: Turns = { sampling: (work) => work(), scoring: (work) => work() };

/** Samples `num_generations` completions of each prompt and scores them, by the weights as they are. */
export async function drawRollout(
  parts: RolloutParts,
  request: RolloutRequest,
  how: NextOptions,
  turns: Turns = atOnce,
): Promise<DrawnRollout> {
  const { dynamic_sampling } = parts.config;
  const { prompts } = request;
  const speeds = new Speeds();
  const draw = (number: number, some: RolloutRequest["prompts"]) =>
    turns.sampling(() => sampled(parts, { ...request, prompts: some, draw: number }, { ...how, speeds }));
  const first = draw(0, prompts);
  // awaited in its turn, and rejected there
  first.catch(() => {});
  return turns.scoring(async () => {
    const rolloutSize = prompts.length * parts.config.num_generations;
    const score = async (groups: RolloutGroup[]) =>
      scoredGroups(parts, groups, { ...how, step: request.step, rolloutSize, speeds });
    let scored = await score(await first);
    const dead = deadGroups(scored).length;
    for (let number = 1; number <= dynamic_sampling; number++) {
      const again = deadGroups(scored);
      if (again.length === 0) break;
      const others = again.map((g) => at(prompts, g));
      scored = replaced(scored, again, await score(await draw(number, others)));
    }
    const redrawn = dynamic_sampling > 0 ? { "sampling/frac_redrawn": dead / prompts.length } : {};
    return { ...scored, metrics: { ...rolloutMetrics(scored), ...redrawn }, speeds: speeds.metrics };
  });
}

/** How fast the draws of a rollout were sampled and scored, all of them together. */
class Speeds {
  readonly #work: Map<string, { count: number; ms: number }> = new Map();
  readonly #sums: Record<string, number> = {};

  /** Adds what was done since `began`, counted in one way or several. */
  add(counts: Readonly<Record<string, number>>, began: number): void {
    const took = performance.now() - began;
    for (const [name, count] of Object.entries(counts)) {
      const before = this.#work.get(name) ?? { count: 0, ms: 0 };
      this.#work.set(name, { count: before.count + count, ms: before.ms + took });
    }
  }

  addTo(name: string, amount: number): void {
    this.#sums[name] = (this.#sums[name] ?? 0) + amount;
  }

  get metrics(): Record<string, number> {
    const work = [...this.#work].map(([name, { count, ms }]) => [name, (1000 * count) / ms]);
    return { ...Object.fromEntries(work), ...this.#sums };
  }
}

async function sampled(
  { config, model, dtype, stopIds }: RolloutParts,
  { round, prompts, draw }: RolloutRequest & { draw: number },
  { signal, onWork = () => {}, speeds }: NextOptions & { speeds: Speeds },
): Promise<RolloutGroup[]> {
  const most = prompts.length * config.num_generations * config.max_completion_length;
  const seed = deriveSeed(deriveSeed(config.seed, seedIndex), round * drawsARollout + draw);
  const began = performance.now();
  const groups = await rollout(model, prompts, {
    ...config,
    ...{ seed, stopIds, dtype, signal },
    onProgress: (tokens) => onWork("sampling", tokens, most),
  });
  speeds.add({ "speed/sampling_tokens_per_second": tokensOf(groups) }, began);
  return groups;
}

/** Completion tokens, end tokens counted. */
function tokensOf(groups: readonly RolloutGroup[]): number {
  return groups.flatMap(({ completions }) => completions).reduce((sum, { ids }) => sum + ids.length, 0);
}

/** What draws of a rollout are scored with. */
interface ScoredBy {
  step: number;
  /** Completions of the rollout, those of other draws among them. */
  rolloutSize: number;
  speeds: Speeds;
}

async function scoredGroups(
  { config, scorer, tokenizer }: RolloutParts,
  groups: RolloutGroup[],
  { signal, onWork = () => {}, speeds, ...of }: NextOptions & ScoredBy,
): Promise<ScoredGroups> {
  const { reward_weights, missing_eos_penalty } = config;
  const began = performance.now();
  onWork("scoring", 0, groups.length);
  const sum = { reward_weights, missing_eos_penalty };
  const scored = await score(scorer, groups, { ...sum, ...of, tokenizer, signal });
  onWork("scoring", groups.length, groups.length);
  const counts = {
    "speed/scoring_completions_per_second": scored.rewards.length,
    "speed/scoring_tokens_per_second": tokensOf(groups),
  };
  speeds.add(counts, began);
  for (const { name, seconds } of scored.scores.functions) {
    speeds.addTo(`rewards/${name}/seconds`, seconds);
  }
  for (const [name, retries] of Object.entries(retriesOf(scored.scores))) speeds.addTo(name, retries);
  return scored;
}
