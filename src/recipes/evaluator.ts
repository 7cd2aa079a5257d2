/** A run's evaluations: metrics on held-out rows, change since the start, the collapse watch, and which checkpoint is the best. */
import { at } from "../base/at.ts";
import { ConfigError } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";
import type { RunConfig } from "../config/run-config.ts";
import { CompletionValues, countCompletions } from "../data/completion-values.ts";
import { describeOrigin, type Example } from "../data/example.ts";
import { breachesOf } from "../evaluate/diversity/collapse.ts";
import { methodOf } from "../methods/index.ts";
import type { Over } from "../methods/method.ts";
import { type EvaluationBaseline, readBaseline } from "../runs/evaluation-baseline.ts";
import type { EvaluationRecord } from "../runs/evaluation-records.ts";
import type { MetricRow } from "../runs/metrics.ts";
import type { PairTokens } from "../runs/pair-tokens.ts";
import { loadedLogps, storedLogps } from "../runs/start-logps.ts";
import type { TrainEvent } from "../runs/train-events.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { TrainerState } from "../train/checkpoint.ts";
import { fewOf } from "../train/culprits.ts";
import {
  displacement,
  type LabelledPair,
  labelledChanges,
  labelledDisplacement,
  labelledPairs,
  type PairChange,
  pairAccuracy,
  pairChanges,
} from "../train/displacement.ts";
import type { Evaluation } from "../train/evaluate.ts";
import { pairTokens } from "../train/pair-tokens.ts";
import { bestBy, forgetBest } from "../train/run-checkpoints.ts";
import type { BatchListener } from "../train/step.ts";
import {
  type CompletionChange,
  damage,
  fallenTokens,
  joinedTokens,
  tokenChanges,
} from "../train/token-changes.ts";
import { nextBaseline } from "./next-baseline.ts";
import type { OtherTextMeasure } from "./other-text.ts";
import { changesOf, type RecordedPair, recordedPairs, rounded } from "./recorded-pairs.ts";
import type { CollapseWatch } from "./watch.ts";

/** What an evaluation measures, besides the collapse watch. */
export interface Measured extends Evaluation {
  /** The mean sum of `eval_reward_funcs`, and a hash of these functions: by others it is another metric. */
  gold?: { key: string; value: number };
  samples?: EvaluationRecord["samples"];
  prompts?: EvaluationRecord["prompts"];
}

/** How an evaluation is made. */
export interface MeasureOptions {
  onBatch: BatchListener;
  /** Ends what it waits for. */
  signal?: AbortSignal | undefined;
}

/** Measures the model as it is after `step` steps. */
export type Measure = (step: number, how: MeasureOptions) => Measured | Promise<Measured>;

/** The held-out rows, and what shows their tokens as text. */
export interface HeldOut {
  examples: readonly Example[];
  tokenizer: Pick<Tokenizer, "decode">;
}

/** What is measured besides the held-out rows; null: not. */
export interface Beside {
  watch: CollapseWatch | null;
  other: OtherTextMeasure | null;
}

/** What evaluates a training on its held-out rows; null where there are none. */
export function evaluatorOf(
  measure: Measure,
  held: HeldOut,
  config: RunConfig,
  beside: Beside,
): Evaluator | null {
  return held.examples.length > 0 ? new Evaluator(measure, held, config, beside) : null;
}

/** Evaluates a training on its held-out rows. */
export class Evaluator {
  readonly #measure: Measure;
  readonly #examples: readonly Example[];
  readonly #tokenizer: HeldOut["tokenizer"];
  readonly #config: RunConfig;
  readonly #watch: CollapseWatch | null;
  readonly #other: OtherTextMeasure | null;
  /** The run's first evaluation, which later ones are compared with; null before it. */
  #baseline: EvaluationBaseline | null = null;
  /** The log-probs of its tokens, as they are stored; null: not read yet. */
  #startTokens: Float32Array | null = null;
  #recorded: RecordedPair[] | null = null;
  /** Texts of tokens. */
  readonly #texts: Map<number, string> = new Map();
  #pairs: readonly LabelledPair[] | null = null;

  constructor(
    measure: Measure,
    { examples, tokenizer }: HeldOut,
    config: RunConfig,
    { watch, other }: Beside,
  ) {
    this.#measure = measure;
    this.#examples = examples;
    this.#tokenizer = tokenizer;
    this.#config = config;
    this.#watch = watch;
    this.#other = other;
  }

  get #over(): Over {
    return methodOf(this.#config.method.objective).over;
  }

  /** The good and bad answers to one prompt among labelled ones; null where rows are not labelled. */
  get #labelled(): readonly LabelledPair[] | null {
    if (this.#over !== "labelled") return null;
    this.#pairs ??= labelledPairs(this.#examples);
    return this.#pairs;
  }

  #changes(before: CompletionValues, now: CompletionValues): PairChange[] {
    if (this.#over === "scores") return [];
    return this.#labelled === null ? pairChanges(before, now) : labelledChanges(this.#labelled, before, now);
  }

  #displaced(
    before: CompletionValues,
    now: CompletionValues,
    changes: readonly PairChange[],
  ): Record<string, number> {
    if (this.#over === "scores") return {};
    if (this.#labelled !== null) return labelledDisplacement(this.#examples, changes, before, now);
    return { ...displacement(before, now), ...pairAccuracy(now) };
  }

  /** Continues with the baseline in the file at `path`. @returns false when it has none of these rows */
  resume(path: string): boolean {
    this.#baseline = readBaseline(path, countCompletions(this.#examples));
    return this.#baseline !== null;
  }

  /**
   * Evaluates after `state.step` steps, and notes in `state` whether it is the best so far. The first evaluation of a run
   * becomes the baseline that others are compared with.
   *
   * @returns the row of metrics, and what the run is to end for: the thresholds of the watch that were exceeded, a sentence each
   */
  async *evaluate(
    state: TrainerState,
    epoch: number,
    how: MeasureOptions,
  ): AsyncGenerator<TrainEvent, { row: MetricRow; breaches: string[] }> {
    const began = performance.now();
    const { step } = state;
    const measured = await this.#measure(step, how);
    const { metrics, means, tokens, rejected } = measured;
    const other = this.#measureOther(step);
    const watched = (await this.#watch?.look()) ?? null;
    const figures = watched?.figures ?? {};
    const isWatched = Object.keys(figures).length > 0;
    const first = isWatched ? { key: this.#watch?.key ?? "", step, figures } : null;
    const start = this.#over === "scores" ? {} : { tokens: storedLogps(joinedTokens(tokens)) };
    const gold = measured.gold === undefined ? {} : { gold: { step, ...measured.gold } };
    const now = { step, means: Array.from(means.all), ...start, ...other, ...gold, watch: first };
    const { baseline, isNew, notes } = nextBaseline(this.#baseline, now);
    if (isNew) [this.#baseline, this.#startTokens] = [baseline, null];
    const before = new CompletionValues(this.#examples, baseline.means);
    // a change of scores is no displacement of likelihood: a reward has no zero and no unit
    const changes = this.#changes(before, means);
    const moved = tokenChanges(this.#tokensOf(baseline), tokens, this.#examples);
    const displaced = {
      ...this.#displaced(before, means, changes),
      ...damage(moved),
      ...otherChange(baseline, other),
    };
    const all = { ...metrics, ...displaced, ...watched?.figures, ...watched?.cost };
    const record = {
      global_step: step,
      rejected_logps: rejected,
      ...changesOf(changes, this.#recordedPairs),
      ...this.#fallenOf(moved),
      ...this.#otherOf(baseline),
      ...startsOf(baseline),
      samples: watched?.samples ?? measured.samples ?? [],
      ...(measured.prompts === undefined
        ? {}
        : { prompts: { ...measured.prompts, chosen_delta: chosenDeltas(before, means) } }),
    };
    const named = Object.fromEntries(Object.entries(all).map(([name, value]) => [`eval_${name}`, value]));
    const row = { global_step: step, epoch, ...named, eval_runtime: (performance.now() - began) / 1000 };
    const breaches = this.#breaches(all, baseline, isWatched);
    const kept = this.#tokensOfPairs(moved, { start: baseline.tokens_step ?? baseline.step, step });
    yield { type: "evaluation", row, record, baseline: isNew ? baseline : null, tokens: kept };
    const value = this.#valueOf(row);
    const forgotten = this.#forgetOtherBest(state, measured);
    if (step > 0) this.#compareWithBest({ step, value }, state, breaches.length > 0);
    for (const text of [...notes, ...forgotten, ...this.#nonFiniteNotes(step, means)])
      yield { type: "note", text };
    const { watch_action } = this.#config;
    if (breaches.length > 0) yield { type: "collapse", step, breaches, action: watch_action };
    return { row, breaches: watch_action === "warn" ? [] : breaches };
  }

  get #recordedPairs(): readonly RecordedPair[] {
    this.#recorded ??= recordedPairs(this.#examples, this.#labelled);
    return this.#recorded;
  }

  /** The tokens of the recorded pairs; null where the rows are no pairs, or nothing is known of the start. */
  #tokensOfPairs(
    moved: readonly CompletionChange[],
    steps: Pick<PairTokens, "start" | "step">,
  ): PairTokens | null {
    if (this.#over !== "pairs" || moved.length === 0) return null;
    const pairs = this.#recordedPairs.map(({ at: place, row: [, key] }) => ({ at: place, key }));
    const textOf = (id: number): string => {
      const known = this.#texts.get(id) ?? this.#tokenizer.decode([id], { skipSpecialTokens: false });
      this.#texts.set(id, known);
      return known;
    };
    return { ...steps, pairs: pairTokens(moved, pairs, this.#examples, textOf) };
  }

  /** Says of which rows a completion's mean log-prob, or reward, is not finite. */
  #nonFiniteNotes(step: number, means: CompletionValues): string[] {
    const rows = this.#examples.flatMap(({ origin }, row) =>
      means.of(row).every(Number.isFinite) ? [] : [describeOrigin(origin)],
    );
    if (rows.length === 0) return [];
    const what = this.#over === "scores" ? "rewards" : "log-probs";
    return [`evaluation at step ${step}: ${what} that are not finite in ${fewOf(rows)}`];
  }

  /** What other text is measured, and since when: another is compared from its first evaluation on. */
  #otherOf({ other }: EvaluationBaseline): Pick<EvaluationRecord, "other_text" | "other_text_start"> {
    if (this.#other === null || other === undefined) return {};
    return { other_text: this.#other.name, other_text_start: other.step };
  }

  #measureOther(step: number): Pick<EvaluationBaseline, "other"> {
    if (this.#other === null) return {};
    return { other: { key: this.#other.key, step, mean: this.#other.mean() } };
  }

  /** Without sampled answers their metrics are missing, and bounds on them not judged; a model that gives scores has no others. */
  #breaches(now: Record<string, number>, baseline: EvaluationBaseline, isWatched: boolean): string[] {
    if (this.#over === "scores" && !isWatched) return [];
    const { step, watch, gold, tokens_step: tokensStep = step } = baseline;
    const before = {
      ...{ step, tokensStep, watchStep: watch?.step ?? step },
      ...(gold === undefined ? {} : { goldStep: gold.step }),
      metrics: { ...watch?.figures, ...(gold === undefined ? {} : { gold: gold.value }) },
    };
    return breachesOf(now, before, this.#config.watch_thresholds).map(({ text }) => text);
  }

  /** The start's log-probs by token; null where the run has none. */
  #tokensOf({ tokens }: EvaluationBaseline): Float32Array | null {
    if (tokens === undefined) return null;
    this.#startTokens ??= loadedLogps(tokens);
    return this.#startTokens;
  }

  #fallenOf(changes: readonly CompletionChange[]): Pick<EvaluationRecord, "fallen_tokens"> {
    const decode = (ids: readonly number[]) => this.#tokenizer.decode(ids, { skipSpecialTokens: false });
    const fallen = fallenTokens(changes, this.#examples, decode).map(({ row, change, logp, ...text }) => ({
      row: describeOrigin(at(this.#examples, row).origin),
      ...text,
      change: rounded(change),
      logp: rounded(logp),
    }));
    return fallen.length === 0 ? {} : { fallen_tokens: fallen };
  }

  /** What decides on the best model, which every evaluation of a run has alike. @throws {ConfigError} if `row` lacks it */
  #valueOf(row: MetricRow): number {
    const name = this.#config.metric_for_best_model.replace(/^(?!eval_)/, "eval_");
    const value = row[name];
    if (typeof value === "number") return value;
    const known = Object.keys(row).filter((key) => key.startsWith("eval_"));
    throw new ConfigError(
      `metric_for_best_model: an evaluation has no "${name}".${didYouMean(name, known)} It has ${known.join(", ")}.`,
    );
  }

  /** The best by other functions, or on other prompts, is none: the values cannot be compared. @returns what to say of it */
  #forgetOtherBest(state: TrainerState, { gold }: Measured): string[] {
    const name = this.#config.metric_for_best_model.replace(/^eval_/, "");
    const now = name === "gold" ? gold?.key : name.startsWith("samples/") ? this.#watch?.key : undefined;
    const { best, bestOf: before = now } = state;
    if (before !== now) forgetBest(state);
    if (now !== undefined) state.bestOf = now;
    if (before === now || best === null) return [];
    const what = name === "gold" ? "other eval_reward_funcs" : "other watched prompts or sampling";
    return [`step ${best.step} was the best so far by eval_${name} of ${what}: the best from here on counts`];
  }

  /** Notes whether `now` is a gain, and whether it is the best so far, which one that collapsed never is. */
  #compareWithBest(now: NonNullable<TrainerState["best"]>, state: TrainerState, isCollapsed: boolean): void {
    const { greater_is_better } = this.#config;
    const { value } = now;
    const isBetterThan = (other: number | undefined): boolean => {
      if (other === undefined) return !Number.isNaN(value);
      return greater_is_better ? value > other : value < other;
    };
    const { bestValue = state.best?.value } = state;
    if (isBetterThan(bestValue)) {
      Object.assign(state, { bestValue: value, bestBy: bestBy(this.#config), evaluationsWithoutGain: 0 });
    } else state.evaluationsWithoutGain += 1;
    if (!isCollapsed && isBetterThan(state.best?.value)) state.best = now;
  }
}

/** Since when gold and samples are of one kind. */
function startsOf({ gold, watch }: EvaluationBaseline): Pick<EvaluationRecord, "gold_start" | "watch_start"> {
  return { ...(gold && { gold_start: gold.step }), ...(watch && { watch_start: watch.step }) };
}

/** By how much the mean log-prob of other text changed; nothing where none is measured. */
function otherChange(
  { other: before }: EvaluationBaseline,
  { other: now }: Pick<EvaluationBaseline, "other">,
): Record<string, number> {
  if (before === undefined || now === undefined) return {};
  return { "displacement/other_text_change": now.mean - before.mean };
}

/** By row, how the first completion's mean log-prob moved since `before`; NaN for rows without one. */
function chosenDeltas(before: CompletionValues, now: CompletionValues): number[] {
  return Array.from(
    { length: now.rows },
    (_, row) => (now.of(row)[0] ?? Number.NaN) - (before.of(row)[0] ?? Number.NaN),
  );
}
