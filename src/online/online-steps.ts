/** Where an on-policy run's steps come from: what the model samples, scores and learns from, one rollout after the other. */
import { at } from "../base/at.ts";
import { ConfigError, messageOf, TrainingError } from "../base/errors.ts";
import { deriveSeed } from "../base/random.ts";
import type { RunConfig } from "../config/run-config.ts";
import { describeOrigin, type Example } from "../data/example.ts";
import type { MicroBatch } from "../forward/batch.ts";
import type { Numerics } from "../forward/numerics.ts";
import { updatesOf } from "../methods/index.ts";
import type { CompletionObjective } from "../methods/objective.ts";
import type { RolloutColumns } from "../methods/rollout.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import type { RolloutRow, TrainEvent } from "../runs/train-events.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { StepResult } from "../train/step.ts";
import type { NextOptions, StepSource, TrainingStep } from "../train/step-source.ts";
import { replaced } from "./dynamic-sampling.ts";
import { JudgeBudgetError } from "./judge-reward.ts";
import type { PolicyReference } from "./policy-reference.ts";
import { prepareRollout } from "./prepare-rollout.ts";
import { PromptOrder } from "./prompt-order.ts";
import { ReplayRows, withReplayed } from "./replay-rows.ts";
import { type RolloutGroup, rollout } from "./rollout.ts";
import { byCompletion, type RolloutPacking, rolloutBatches } from "./rollout-batches.ts";
import { readRolloutState, writeRolloutState } from "./rollout-file.ts";
import { rolloutRows } from "./rollout-rows.ts";
import { RolloutWarnings } from "./rollout-warnings.ts";
import { samplingDifference } from "./sampling-difference.ts";
import {
  type CurrentRollout,
  deadGroups,
  rolloutMetrics,
  type ScoredGroups,
  type Scorer,
  score,
} from "./scored-rollout.ts";
import type { ValueModel } from "./value-model.ts";

/** What an on-policy run is made of. */
export interface OnlineParts {
  config: RunConfig;
  examples: readonly Example[];
  model: CausalLM;
  numerics: Numerics;
  objective: CompletionObjective;
  scorer: Scorer;
  /** Null where the objective needs none. */
  reference: PolicyReference | null;
  valueModel: ValueModel | null;
  tokenizer: Tokenizer;
  stopIds: ReadonlySet<number>;
}

/** Which of the seeds derived from the run's own is the rollouts'; steps have those from 0. */
const seedIndex = 2 ** 31 + 1;
/** Draws of one rollout: the first, and those of dynamic sampling. */
const drawsARollout = 1024;

/** Samples, scores and packs. A rollout is used for `steps_per_generation` times `num_iterations` steps, or as the method says. */
export class OnlineSteps implements StepSource {
  readonly totalSteps: number;
  readonly #parts: OnlineParts;
  readonly #order: PromptOrder;
  /** Prompts of an optimiser step. */
  readonly #prompts: number;
  /** What is anchored beside the samples, and how many rows a step; null where nothing is. */
  readonly #replay: { rows: ReplayRows; count: number } | null;
  /** Passes over a rollout, and optimiser steps in a pass. */
  readonly #updates: { passes: number; steps: number };
  #current: CurrentRollout | null = null;
  whyStopped: string | null = null;
  /** The micro-batches of the step at hand, where its log-probs are wanted. */
  #batches: MicroBatch[] = [];
  readonly #warnings: RolloutWarnings;
  /** Speeds of the last rollout and step: they are not the run's state, and differ from run to run. */
  readonly #speeds: Record<string, number> = {};

  constructor(parts: OnlineParts) {
    const { config, examples } = parts;
    this.#parts = parts;
    this.#warnings = new RolloutWarnings(config);
    this.#order = new PromptOrder(examples.length, config.seed);
    const completions = config.per_device_train_batch_size * config.gradient_accumulation_steps;
    this.#prompts = completions / config.num_generations;
    const { method } = config;
    const replay = "replay" in method ? Math.round(method.replay * this.#prompts) : 0;
    this.#replay = replay > 0 ? { rows: new ReplayRows(examples, config.seed), count: replay } : null;
    this.#updates = updatesOf(config);
    const rounds = Math.ceil((config.num_train_epochs * examples.length) / this.#promptsARound);
    this.totalSteps = config.max_steps > 0 ? config.max_steps : rounds * this.#stepsARound;
    if (this.#warmupSteps < this.totalSteps || this.#warmupSteps === 0) return;
    throw new ConfigError(
      `value_warmup_steps: expected fewer than the run's ${this.totalSteps} steps, got ${this.#warmupSteps}: the policy would not be ` +
        "trained at all. Lower it, or raise max_steps.",
    );
  }

  /** Steps in which the policy stays, from the first. */
  get #warmupSteps(): number {
    return this.#parts.valueModel?.warmupSteps ?? 0;
  }

  /** How fast the last rollout was sampled and scored, and the last step computed. */
  get metrics(): Readonly<Record<string, number>> {
    return this.#speeds;
  }

  get #stepsARound(): number {
    return this.#updates.steps * this.#updates.passes;
  }

  get #promptsARound(): number {
    return this.#prompts * this.#updates.steps;
  }

  async next(step: number, how: NextOptions = {}): Promise<TrainingStep | null> {
    const round = Math.floor(step / this.#stepsARound);
    let rows: RolloutRow[] | null = null;
    let current = this.#current;
    if (current?.round !== round) {
      this.#current = null;
      current = await this.#renewed(round, step, how);
      if (current === null) return null;
      this.#current = current;
      rows = rolloutRows(current, { step: step + 1, tokenizer: this.#parts.tokenizer });
    }
    const { part, isFirst } = this.#placeOf(step);
    const first = part * this.#prompts;
    const groups = current.groups.slice(first, first + this.#prompts);
    const columns = isFirst ? current.columns : { ...current.columns, oldLogps: oldLogpsOf(current) };
    this.#batches = this.#pack(step, groups, first, columns);
    const before = this.#order.epochsAt(round * this.#promptsARound);
    const done = this.#order.epochsAt((round + 1) * this.#promptsARound);
    const endsRound = (step + 1) % this.#stepsARound === 0;
    return {
      batches: this.#batches,
      singles: () => groups.flatMap((group, g) => this.#packed([group], first + g, columns)),
      epoch: endsRound ? done : before,
      endsEpoch: endsRound && Math.floor(done) > Math.floor(before),
      keep_logps: isFirst,
      frozen: step < this.#warmupSteps,
      ...(rows === null ? {} : { rollout: rows, notes: this.#warnings.of(current) }),
    };
  }

  /** Takes note of the step's log-probs, updates the value model, and gives the metrics of its rollout. */
  stepped(step: number, { logps, tokens, seconds }: StepResult): Record<string, number> {
    const current = this.#current;
    if (current === null) return {};
    this.#speeds["speed/training_tokens_per_second"] = tokens / seconds;
    if (logps !== null) {
      const all = this.#batches.flatMap((batch, i) => byCompletion(batch, at(logps, i)));
      // what is replayed stands behind
      const own = all.slice(0, this.#prompts * this.#parts.config.num_generations);
      current.firstLogps = own;
      Object.assign(current.metrics, this.#difference(current, own));
    }
    const values = this.#parts.valueModel?.step(this.#batches, step, this.totalSteps) ?? {};
    this.#parts.reference?.stepped?.(step);
    return { ...current.metrics, ...values };
  }

  /** Which part of its rollout a step takes, and whether the policy has not changed since the rollout. */
  #placeOf(step: number): { part: number; isFirst: boolean } {
    const inRound = step % this.#stepsARound;
    return { part: inRound % this.#updates.steps, isFirst: inRound === 0 };
  }

  /** The next rollout; null where the run stops in it. */
  async #renewed(round: number, step: number, how: NextOptions): Promise<CurrentRollout | null> {
    try {
      return await this.#rollOut(round, step, how);
    } catch (error) {
      if (error instanceof JudgeBudgetError) this.whyStopped = messageOf(error);
      else if (how.signal?.aborted !== true) throw error;
      return null;
    }
  }

  async #rollOut(round: number, step: number, how: NextOptions): Promise<CurrentRollout> {
    const { config, examples, objective, reference, valueModel } = this.#parts;
    const indices = this.#order.take(round * this.#promptsARound, this.#promptsARound);
    const prompts = indices.map((index) => ({ index, example: at(examples, index) }));
    let scored = await this.#draw(prompts, { round, draw: 0, step, how });
    const dead = deadGroups(scored).length;
    for (let draw = 1; draw <= config.dynamic_sampling; draw++) {
      const again = deadGroups(scored);
      if (again.length === 0) break;
      const other = await this.#draw(
        again.map((g) => at(prompts, g)),
        { round, draw, step, how },
      );
      scored = replaced(scored, again, other);
    }
    const referenceLogps = reference?.logps(scored.groups) ?? null;
    const { columns, metrics } = prepareRollout(objective, scored, {
      ...{ referenceLogps, max_completion_length: config.max_completion_length },
      ...(valueModel === null ? {} : { values: valueModel.values(scored.groups) }),
    });
    const redrawn = config.dynamic_sampling > 0 ? { "sampling/frac_redrawn": dead / prompts.length } : {};
    const all = { ...rolloutMetrics(scored), ...redrawn, ...metrics };
    return { ...scored, round, columns, metrics: all, firstLogps: null };
  }

  /** Samples completions of the prompts and scores them. */
  async #draw(
    prompts: readonly { index: number; example: Example }[],
    { round, draw, step, how }: { round: number; draw: number; step: number; how: NextOptions },
  ): Promise<ScoredGroups> {
    const { config, model, numerics, scorer, tokenizer, stopIds } = this.#parts;
    const { signal, onWork = () => {} } = how;
    const most = prompts.length * config.num_generations * config.max_completion_length;
    const seed = deriveSeed(deriveSeed(config.seed, seedIndex), round * drawsARollout + draw);
    const began = performance.now();
    const groups = await rollout(model, prompts, {
      ...config,
      ...{ seed, stopIds, dtype: numerics.dtype, signal },
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
    this.#speeds["speed/sampling_tokens_per_second"] = (1000 * tokens) / (sampled - began);
    this.#speeds["speed/scoring_completions_per_second"] = (1000 * completions.length) / (ended - sampled);
    for (const { name, seconds } of scored.scores.functions)
      this.#speeds[`rewards/${name}/seconds`] = seconds;
    return scored;
  }

  /** The micro-batches of a step: its part of the rollout, and the rows that are replayed. */
  #pack(step: number, groups: readonly RolloutGroup[], first: number, columns: RolloutColumns): MicroBatch[] {
    if (this.#replay === null) return this.#packed(groups, first, columns);
    const { rows, count } = this.#replay;
    const { num_generations: n } = this.#parts.config;
    const own = mapped(columns, (values) => values.slice(first * n, (first + groups.length) * n));
    const replayed = rows.groups(step, count);
    const all = withReplayed(own, groups.length * n, replayed);
    return rolloutBatches([...groups, ...replayed], 0, all, this.#packing);
  }

  /** @param first - place of the first of `groups` among the rollout's */
  #packed(groups: readonly RolloutGroup[], first: number, columns: RolloutColumns): MicroBatch[] {
    const { num_generations: n } = this.#parts.config;
    return rolloutBatches(groups, first * n, columns, this.#packing);
  }

  get #packing(): RolloutPacking {
    const { config, objective } = this.#parts;
    return { ...config, mayCutGroups: objective.mayCutGroups ?? false };
  }

  #difference({ groups }: CurrentRollout, logps: readonly Float32Array[]): Record<string, number> {
    const completions = groups.flatMap((group) =>
      group.completions.map((completion) => ({ group, completion })),
    );
    const difference = samplingDifference(
      completions.slice(0, logps.length).map(({ completion }) => completion.logps),
      logps,
    );
    const { max_sampling_logp_difference } = this.#parts.config;
    const most = max_sampling_logp_difference;
    if (most !== null && !(difference.max <= most)) {
      const { group, completion } = at(completions, difference.completion);
      const id = at(completion.ids, difference.token);
      throw new TrainingError(
        `${describeOrigin(group.example.origin)}: token ${difference.token + 1} of a completion (id ${id}) has log-prob ` +
          `${at(completion.logps, difference.token)} in sampling and ${at(at(logps, difference.completion), difference.token)} in ` +
          `training on the same weights: they differ by more than max_sampling_logp_difference ${most}. The ratio of the two would ` +
          "be noise. Compute in float32 (dtype: float32), or raise the bound.",
      );
    }
    return {
      "sampling/sampling_logp_difference/mean": difference.mean,
      "sampling/sampling_logp_difference/max": difference.max,
    };
  }

  get checkpointBytes(): number {
    const { valueModel, reference } = this.#parts;
    return (valueModel?.checkpointBytes ?? 0) + (reference?.checkpointBytes ?? 0);
  }

  saveInto(dir: string, step: number): void {
    this.#parts.valueModel?.saveInto(dir);
    this.#parts.reference?.saveInto?.(dir);
    // between two rollouts nothing is needed: the next follows from weights, seed and step
    if (this.#current !== null && step % this.#stepsARound !== 0) writeRolloutState(dir, this.#current);
  }

  resumeFrom(dir: string, step: number): void {
    this.#parts.valueModel?.resumeFrom(dir);
    this.#parts.reference?.resumeFrom?.(dir);
    const isWithin = step % this.#stepsARound !== 0;
    this.#current = isWithin ? readRolloutState(dir, this.#parts.examples) : null;
  }

  async *export(): AsyncGenerator<Extract<TrainEvent, { type: "export" }>> {
    if (this.#parts.valueModel !== null) yield* this.#parts.valueModel.export();
  }
}

/** The old log-probs of an update after the first: those of the first pass, where the policy was the sampler's; else the sampler's. */
function oldLogpsOf({ groups, firstLogps }: CurrentRollout): Float32Array[] {
  const sampler = groups.flatMap(({ completions }) => completions.map(({ logps }) => logps));
  // a completion that the loss leaves out has none in the first pass
  return sampler.map((logps, i) => {
    const first = firstLogps?.[i];
    return first?.length === logps.length ? first : logps;
  });
}

/** `columns` with each one's values changed. */
function mapped(
  columns: RolloutColumns,
  change: (values: readonly (number | Float32Array)[]) => readonly (number | Float32Array)[],
): RolloutColumns {
  return Object.fromEntries(
    Object.entries(columns).map(([name, values]) => [name, change(values)]),
  ) as RolloutColumns;
}
