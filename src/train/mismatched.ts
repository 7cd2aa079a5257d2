/**
 * The KL of the model to its reference, estimated on prompts with answers that are not theirs, for objectives on labelled
 * answers: rows, not the answers' labels, decide which answer a prompt gets.
 */
import { at } from "../base/at.ts";
import { ConfigError } from "../base/errors.ts";
import { sha256 } from "../base/files.ts";
import { type BatchOptions, planEpoch } from "../data/batches.ts";
import type { Example } from "../data/example.ts";
import { tokensKeyOf } from "../data/fingerprint.ts";
import { packExamples } from "../data/packing.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import type { MicroBatch } from "../forward/batch.ts";
import type { Numerics } from "../forward/numerics.ts";
import { scoreBatch } from "../forward/score-batch.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import type { ReferenceSource } from "./completion-logps.ts";
import { shareOf } from "./row-shares.ts";
import type { EpochSteps, NextOptions, StepSource, TrainingStep } from "./step-source.ts";

/** A row's prompt and the row whose answer it gets: indices into the data. */
export interface Mismatch {
  prompt: number;
  answer: number;
}

/** The rows that one estimate is for, each with its mismatch. */
export type MismatchGroup = readonly Mismatch[];

/** Each of `rows` with the answer of the one before it; the first with that of `before`, or left out, of the last. */
export function mismatchesOf(rows: readonly number[], before?: number): MismatchGroup {
  return rows.map((prompt, i) => ({ prompt, answer: rows[i - 1] ?? before ?? at(rows, rows.length - 1) }));
}

/**
 * The groups of step `step`. Of a step of one row the answer is that of the row before it in its epoch; a micro-batch of one row has
 * its own, as in TRL.
 */
export function groupsOfStep(
  source: EpochSteps,
  step: number,
  over: "step" | "micro_batch",
): MismatchGroup[] {
  const { plan } = source.planOf(step);
  if (over === "micro_batch")
    return plan.microBatches.filter((rows) => rows.length > 0).map((rows) => mismatchesOf(rows));
  const { examples } = plan;
  return [
    examples.length === 1 ? mismatchesOf(examples, source.exampleBefore(step)) : mismatchesOf(examples),
  ];
}

/**
 * The groups of an evaluation: all rows in their order, or TRL's chunks of `chunk` rows in batches of `batch`.
 *
 * @throws {ConfigError} for one row alone, whose prompt has no other answer
 */
export function groupsOfEvaluation(
  rows: number,
  over: "step" | "micro_batch",
  { chunk, batch }: { chunk: number; batch: number },
): MismatchGroup[] {
  const all = Array.from({ length: rows }, (_, i) => i);
  const cut = <T>(items: readonly T[], size: number): T[][] =>
    Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
  if (over === "step") {
    requireOtherAnswers(rows);
    return [mismatchesOf(all)];
  }
  return cut(
    cut(all, chunk).flatMap((one) => mismatchesOf(one)),
    batch,
  );
}

/** @throws {ConfigError} for one row alone, whose prompt has no other answer */
export function requireOtherAnswers(rows: number): void {
  if (rows !== 1) return;
  throw new ConfigError(
    "the KL estimate takes for each row the answer of another, and there is one row alone. Give more rows, or take the loss_type apo_zero_unpaired, which needs no KL.",
  );
}

/** Every mismatch of a run, once, as an example. */
export class MismatchTable {
  readonly examples: Example[] = [];
  readonly #places: Map<string, number> = new Map();

  /** @param most - tokens of prompt and answer, from which on an answer is cut; null: any */
  constructor(rows: readonly Example[], groups: Iterable<MismatchGroup>, most: number | null) {
    for (const group of groups) {
      for (const mismatch of group) {
        const key = keyOf(mismatch);
        if (this.#places.has(key)) continue;
        this.#places.set(key, this.examples.length);
        this.examples.push(mismatched(at(rows, mismatch.prompt), at(rows, mismatch.answer), most));
      }
    }
  }

  /** Where a mismatch stands in `examples`. */
  placeOf(mismatch: Mismatch): number {
    const place = this.#places.get(keyOf(mismatch));
    if (place === undefined) throw new Error(`no mismatch of rows ${keyOf(mismatch)} was planned`);
    return place;
  }

  /** SHA-256 of which rows are put together, in order. */
  digest(): string {
    return sha256([...this.#places.keys()].join(" "));
  }
}

function keyOf({ prompt, answer }: Mismatch): string {
  return `${prompt}:${answer}`;
}

/** The prompt of one row with the answer of another, read where they are needed. */
function mismatched(asked: Example, answered: Example, most: number | null): Example {
  const completion = () => {
    const { ids, mask } = at(answered.completions, 0);
    const kept = most === null ? ids.length : Math.max(1, most - asked.promptIds.length);
    return { ids: ids.slice(0, kept), ...(mask === undefined ? {} : { mask: mask.slice(0, kept) }) };
  };
  return {
    origin: asked.origin,
    get promptIds() {
      return asked.promptIds;
    },
    get completions() {
      return [completion()];
    },
  };
}

/** What an estimate is made with. */
export interface KlParts {
  table: MismatchTable;
  model: CausalLM;
  numerics: Numerics;
  /** Of the table's examples, by their places. */
  reference: ReferenceSource;
  keys: BatchOptions;
  /** The ranks that share the passes; null: this process does all of them. */
  group: RankGroup | null;
}

/** Estimates of the KL under the model as it is. */
export class KlEstimator {
  readonly #parts: KlParts;

  constructor(parts: KlParts) {
    this.#parts = parts;
  }

  /** For each group max(0, mean of log π − log ref), sums over the answers' tokens. */
  estimates(groups: readonly MismatchGroup[]): number[] {
    const { table } = this.#parts;
    const places = groups.map((group) => group.map((mismatch) => table.placeOf(mismatch)));
    const ratios = this.#ratios([...new Set(places.flat())]);
    return places.map((own) => {
      const sum = own.reduce((total, place) => total + (ratios.get(place) ?? Number.NaN), 0);
      const mean = sum / own.length;
      // what is not finite has to reach the loss, which then is not either
      return Number.isNaN(mean) ? mean : Math.max(0, mean);
    });
  }

  /** log π − log ref of the table's examples at `places`. */
  #ratios(places: readonly number[]): Map<number, number> {
    const { table, model, numerics, reference, keys, group } = this.#parts;
    const found: [place: number, ratio: number][] = [];
    for (const batch of shareOf(batchesOf(table.examples, places, keys), group)) {
      const sums = scoreBatch(model, batch, numerics).map(({ sum }) => sum);
      const others = reference(batch)["referenceLogps"] ?? [];
      if (batch.isIdle === true) continue;
      for (const [i, place] of batch.indices.entries()) found.push([place, at(sums, i) - at(others, i)]);
    }
    return new Map(group === null ? found : group.gather(found).flat());
  }
}

/** Micro-batches of the training's size, rows of one prompt side by side, so that they share it. */
export function batchesOf(
  examples: readonly Example[],
  places: readonly number[],
  keys: BatchOptions,
): MicroBatch[] {
  if (places.length === 0) return [];
  const byPrompt = Map.groupBy(places, (place) => tokensKeyOf(at(examples, place).promptIds));
  const whole = { ...keys, train_batch_size: places.length, tokens_per_step: null, ranks: 1 };
  const { cost: _, ...options } = whole;
  return planEpoch(examples, [...byPrompt.values()].flat(), options)
    .flatMap(({ microBatches }) => microBatches)
    .map((indices) => ({
      packed: packExamples(
        indices.map((place) => at(examples, place)),
        { share_prompt: keys.share_prompt ?? true, joins: true },
      ),
      indices,
    }));
}

/** `batches` with the estimate of each row's group. */
export function withKl(
  batches: readonly MicroBatch[],
  groups: readonly MismatchGroup[],
  estimates: readonly number[],
): MicroBatch[] {
  const ofRow = new Map(
    groups.flatMap((group, i) => group.map(({ prompt }) => [prompt, at(estimates, i)] as const)),
  );
  return batches.map((batch) => {
    const kl = batch.packed.spans.map(({ example }) => ofRow.get(at(batch.indices, example)) ?? Number.NaN);
    return { ...batch, columns: { ...batch.columns, kl } };
  });
}

/** Steps on rows, each with the KL estimate that its loss compares with. */
export class EstimatedSteps implements StepSource {
  readonly totalSteps: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly #source: EpochSteps;
  readonly #estimator: KlEstimator;
  readonly #over: "step" | "micro_batch";

  constructor(source: EpochSteps, estimator: KlEstimator, over: "step" | "micro_batch") {
    this.totalSteps = source.totalSteps;
    this.metrics = source.metrics;
    this.#source = source;
    this.#estimator = estimator;
    this.#over = over;
  }

  next(step: number, _options?: NextOptions): TrainingStep {
    const made = this.#source.next(step);
    const groups = groupsOfStep(this.#source, step, this.#over);
    const estimates = this.#estimator.estimates(groups);
    const estimated = (batches: readonly MicroBatch[]) => withKl(batches, groups, estimates);
    return {
      ...made,
      batches: estimated(made.batches),
      singles: () => estimated(made.singles()),
    };
  }
}
