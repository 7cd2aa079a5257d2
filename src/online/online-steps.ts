/** Where an on-policy run's steps come from: what the model samples, scores and learns from, one rollout after the other. */
import { at } from "../base/at.ts";
import { ConfigError, messageOf } from "../base/errors.ts";
import { mayChangeLength } from "../config/resume-changes.ts";
import type { RunConfig } from "../config/run-config.ts";
import { rowsPerStep } from "../config/step-rows.ts";
import type { Example } from "../data/example.ts";
import type { Numerics } from "../forward/numerics.ts";
import { updatesOf } from "../methods/index.ts";
import type { CompletionObjective } from "../methods/objective.ts";
import type { RolloutColumns } from "../methods/rollout.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import type { RolloutRow, TrainEvent } from "../runs/train-events.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { StepResult } from "../train/step.ts";
import type { NextOptions, StepSource, TrainingStep } from "../train/step-source.ts";
import { drawRollout, type RolloutRequest } from "./draw-rollout.ts";
import { finiteLogps } from "./finite-logps.ts";
import { isBudgetSpent } from "./judge-reward.ts";
import { completionLogps, type PolicyReference } from "./policy-reference.ts";
import { prepareRollout } from "./prepare-rollout.ts";
import { PromptOrder } from "./prompt-order.ts";
import { ReplayRows, withReplayed } from "./replay-rows.ts";
import type { RolloutGroup } from "./rollout.ts";
import {
  byCompletion,
  packingOf,
  type RolloutBatch,
  type RolloutPacking,
  rolloutBatches,
} from "./rollout-batches.ts";
import { readRolloutState, writeRolloutState } from "./rollout-file.ts";
import { rolloutRows } from "./rollout-rows.ts";
import { RolloutWarnings } from "./rollout-warnings.ts";
import type { RolloutsAhead } from "./rollouts-ahead.ts";
import { differenceMetrics } from "./sampling-difference.ts";
import { type CurrentRollout, oldLogpsOf, type Scorer } from "./scored-rollout.ts";
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
  /** Rollouts of another process; null: they are drawn here, when their turn comes. */
  ahead: RolloutsAhead | null;
  tokenizer: Tokenizer;
  stopIds: ReadonlySet<number>;
}

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
  #batches: RolloutBatch[] = [];
  /** Log-probs of the parts after the first, by a pass of the policy before the first step; none where nothing needed that pass. */
  #laterLogps: Float32Array[] = [];
  readonly #warnings: RolloutWarnings;
  /** Speeds of the last rollout and step: they are not the run's state, and differ from run to run. */
  readonly #speeds: Record<string, number> = {};

  constructor(parts: OnlineParts) {
    const { config, examples } = parts;
    this.#parts = parts;
    this.#warnings = new RolloutWarnings(config, parts.objective.name);
    this.#order = new PromptOrder(examples.length, config);
    this.#prompts = rowsPerStep(config) / config.num_generations;
    const { method } = config;
    const replay = "replay" in method ? Math.round(method.replay * this.#prompts) : 0;
    this.#replay = replay > 0 ? { rows: new ReplayRows(examples, config), count: replay } : null;
    this.#updates = updatesOf(config);
    const [epochs, prompts] = [config.num_train_epochs, this.#promptsARound];
    // the lesser: rounding errors of either may lift it above a whole number, as 1.1 × 50 / 5 is above 11
    const rounds = Math.ceil(
      Math.min((epochs * examples.length) / prompts, epochs * (examples.length / prompts)),
    );
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

  /** How fast the last rollout was sampled and scored, and the last step computed; how often a judge was asked again so far. */
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
    const { ahead, tokenizer, config } = this.#parts;
    if (ahead !== null) await ahead.ask(step, this.#dueAt(step, ahead), this.totalSteps);
    if (current?.round !== round) {
      this.#current = null;
      current = await this.#renewed(round, how);
      if (current === null) return null;
      this.#current = current;
      rows = rolloutRows(current, { step: step + 1, tokenizer, config });
    }
    const { part, isFirst } = this.#placeOf(step);
    const first = part * this.#prompts;
    const groups = current.groups.slice(first, first + this.#prompts);
    const columns = isFirst
      ? current.columns
      : { ...current.columns, oldLogps: oldLogpsOf(current.groups, current.firstLogps) };
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
      ...(rows === null ? {} : { rollout: rows, notes: this.#notesOf(current) }),
    };
  }

  /**
   * Takes note of the step's log-probs, updates the value model, and gives the metrics of its rollout. At the rollout's first step the
   * sampler's log-probs are compared, with those of that step and of the pass before it: later ones are of other weights.
   */
  stepped(step: number, { logps, tokens, seconds }: StepResult): Record<string, number> {
    const current = this.#current;
    if (current === null) return {};
    this.#speeds["speed/training_tokens_per_second"] = tokens / seconds;
    let difference: Record<string, number> = {};
    if (logps !== null) {
      const all = byCompletion(this.#batches, logps);
      // what is replayed stands behind
      const own = all.slice(0, this.#prompts * this.#parts.config.num_generations);
      current.firstLogps = [...own, ...(this.#samplersAreOld ? [] : this.#laterLogps)];
      const { max_sampling_logp_difference } = this.#parts.config;
      // of rollouts ahead only the first is of the weights that it is compared with
      const isOfSameWeights = this.#parts.ahead === null || current.round === 0;
      const known = [...own, ...this.#laterLogps];
      const most = isOfSameWeights ? max_sampling_logp_difference : null;
      difference = differenceMetrics(current.groups, known, most);
    }
    const values = this.#parts.valueModel?.step(this.#batches, step, this.totalSteps) ?? {};
    this.#parts.reference?.stepped?.(step);
    return { ...current.metrics, ...difference, ...values };
  }

  /**
   * Whether the sampler's log-probs are the old ones of a rollout's later parts. An older policy's are others, and in half precision
   * sampling and training round differently on the same weights: there a pass before the first step gives them, as TRL computes them.
   */
  get #samplersAreOld(): boolean {
    return this.#parts.ahead === null && this.#parts.numerics.dtype === "float32";
  }

  /** The log-probs of a rollout's later parts that are needed as old ones, before its first step. */
  #logpsOfLater(groups: readonly RolloutGroup[]): Float32Array[] {
    if (this.#samplersAreOld || !("oldLogps" in (this.#parts.objective.columns ?? {}))) return [];
    return this.#logps(groups.slice(this.#prompts));
  }

  /** Log-probs of completions under the policy as it is. */
  #logps(groups: readonly RolloutGroup[]): Float32Array[] {
    const { model, numerics, config } = this.#parts;
    return finiteLogps("policy", groups, completionLogps(model, groups, config, numerics));
  }

  /** Which part of its rollout a step takes, and whether the policy has not changed since the rollout. */
  #placeOf(step: number): { part: number; isFirst: boolean } {
    const inRound = step % this.#stepsARound;
    return { part: inRound % this.#updates.steps, isFirst: inRound === 0 };
  }

  /** The next rollout; null where the run stops in it. */
  async #renewed(round: number, how: NextOptions): Promise<CurrentRollout | null> {
    try {
      return await this.#rollOut(round, how);
    } catch (error) {
      if (!this.stopsFor(error) && how.signal?.aborted !== true) throw error;
      return null;
    }
  }

  stopsFor(error: unknown): boolean {
    if (isBudgetSpent(error)) this.whyStopped = messageOf(error);
    return isBudgetSpent(error);
  }

  async #rollOut(round: number, how: NextOptions): Promise<CurrentRollout> {
    const { config, numerics, objective, reference, valueModel, ahead } = this.#parts;
    const drawn =
      ahead === null
        ? await drawRollout({ ...this.#parts, dtype: numerics.dtype }, this.#requestOf(round), how)
        : await ahead.take(round, how);
    const { speeds, ...scored } = drawn;
    const { max_completion_length, mask_truncated_completions } = config;
    for (const [name, value] of Object.entries(speeds)) {
      // rows are written every so many rollouts: what a judge was asked again is counted over all of them
      const before = name.endsWith("/retries") ? (this.#speeds[name] ?? 0) : 0;
      this.#speeds[name] = before + value;
    }
    const referenceLogps =
      reference === null ? null : finiteLogps("reference", scored.groups, reference.logps(scored.groups));
    // a KL in the reward compares two passes of training: the sampler rounds otherwise, and may have been an older policy
    const policyLogps = objective.usesReference === true ? this.#logps(scored.groups) : null;
    const later = policyLogps?.slice(this.#prompts * config.num_generations);
    this.#laterLogps = later ?? this.#logpsOfLater(scored.groups);
    const { columns, metrics } = prepareRollout(objective, scored, {
      ...{ referenceLogps, max_completion_length, mask_truncated_completions },
      ...(policyLogps === null ? {} : { policyLogps }),
      ...(valueModel === null ? {} : { values: valueModel.values(scored.groups) }),
    });
    const all = { ...scored.metrics, ...metrics };
    return { ...scored, round, columns, metrics: all, firstLogps: null };
  }

  /** What is to be reported of a rollout, and of the process that sampled it. */
  #notesOf(current: CurrentRollout): string[] {
    return [...(this.#parts.ahead?.takeNotes() ?? []), ...this.#warnings.of(current)];
  }

  /** The rollouts, as far as none was learned from, that weights of `step` updates or fewer sample; those of a longer run too. */
  #dueAt(step: number, ahead: RolloutsAhead): RolloutRequest[] {
    const due: RolloutRequest[] = [];
    const end = mayChangeLength(this.#parts.config) ? Number.POSITIVE_INFINITY : this.totalSteps;
    let round = Math.ceil(step / this.#stepsARound);
    for (; round * this.#stepsARound < end; round++) {
      if (ahead.weightsFor(round * this.#stepsARound) > step) break;
      due.push(this.#requestOf(round));
    }
    return due;
  }

  /** What rollout `round` is asked for with. */
  #requestOf(round: number): RolloutRequest {
    const indices = this.#order.take(round * this.#promptsARound, this.#promptsARound);
    const prompts = indices.map((index) => ({ index, example: at(this.#parts.examples, index) }));
    return { round, step: round * this.#stepsARound, prompts };
  }

  /** The micro-batches of a step: its part of the rollout, and the rows that are replayed. */
  #pack(
    step: number,
    groups: readonly RolloutGroup[],
    first: number,
    columns: RolloutColumns,
  ): RolloutBatch[] {
    if (this.#replay === null) return this.#packed(groups, first, columns);
    const { rows, count } = this.#replay;
    const { num_generations: n } = this.#parts.config;
    const own = mapped(columns, (values) => values.slice(first * n, (first + groups.length) * n));
    const replayed = rows.groups(step, count);
    const all = withReplayed(own, groups.length * n, replayed);
    return rolloutBatches([...groups, ...replayed], 0, all, this.#packing);
  }

  /** @param first - place of the first of `groups` among the rollout's */
  #packed(groups: readonly RolloutGroup[], first: number, columns: RolloutColumns): RolloutBatch[] {
    const { num_generations: n } = this.#parts.config;
    return rolloutBatches(groups, first * n, columns, this.#packing);
  }

  get #packing(): RolloutPacking {
    const { config, objective } = this.#parts;
    return { ...config, ...packingOf(objective, config) };
  }

  get checkpointBytes(): number {
    const { valueModel, reference, ahead } = this.#parts;
    return [valueModel, reference, ahead].reduce((sum, part) => sum + (part?.checkpointBytes ?? 0), 0);
  }

  saveInto(dir: string, step: number): void {
    this.#parts.valueModel?.saveInto(dir);
    this.#parts.reference?.saveInto?.(dir);
    this.#parts.ahead?.saveInto(dir, step);
    // between two rollouts nothing is needed: the next follows from weights, seed and step
    if (this.#current !== null && step % this.#stepsARound !== 0) writeRolloutState(dir, this.#current);
  }

  resumeFrom(dir: string, step: number): void {
    this.#parts.valueModel?.resumeFrom(dir);
    this.#parts.reference?.resumeFrom?.(dir);
    this.#parts.ahead?.resumeFrom(dir);
    const isWithin = step % this.#stepsARound !== 0;
    this.#current = isWithin ? readRolloutState(dir, this.#parts.examples) : null;
  }

  async *export(): AsyncGenerator<Extract<TrainEvent, { type: "export" }>> {
    if (this.#parts.valueModel !== null) yield* this.#parts.valueModel.export();
  }
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
