/** A run's evaluations: metrics on held-out rows, change since the start, the collapse watch, and which checkpoint is the best. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { remove, writeFileAtomic } from "../base/files.ts";
import { parseNumbers, stringifyNumbers } from "../base/json-numbers.ts";
import { readSealed, sealed } from "../base/sealed.ts";
import { didYouMean } from "../base/suggest.ts";
import type { RunConfig } from "../config/run-config.ts";
import { CompletionValues, countCompletions } from "../data/completion-values.ts";
import { describeOrigin, type Example } from "../data/example.ts";
import { breachesOf } from "../evaluate/diversity/collapse.ts";
import type { MicroBatch } from "../forward/batch.ts";
import { appendEvaluation, truncateEvaluations } from "../runs/evaluation-records.ts";
import type { MetricRow } from "../runs/metrics.ts";
import type { RunPaths } from "../runs/run-directory.ts";
import type { TrainerState } from "../train/checkpoint.ts";
import { displacement, pairChanges } from "../train/displacement.ts";
import { type Evaluated, evaluate } from "../train/evaluate.ts";
import { evaluationBatches } from "../train/plan.ts";
import type { BatchListener } from "../train/step.ts";
import type { CollapseWatch } from "./watch.ts";

/** The run's first evaluation, which later ones are compared with; kept for a resumed run. */
interface Start {
  step: number;
  /** Mean token log-prob of each completion, in the order of the rows. */
  means: number[];
  /** What the watch saw when it first looked; null before that. */
  watch: { key: string; step: number; figures: Record<string, number> } | null;
}

/** What an evaluator works with. */
export interface EvaluatorOptions {
  training: Evaluated;
  examples: readonly Example[];
  config: RunConfig;
  paths: Pick<RunPaths, "dir" | "evaluations">;
  watch: CollapseWatch | null;
}

/** Pairs whose change is recorded at most. */
const mostPairs = 500;

/** Evaluates a training on its held-out rows. */
export class Evaluator {
  readonly batches: MicroBatch[];
  readonly #examples: readonly Example[];
  readonly #training: Evaluated;
  readonly #config: RunConfig;
  readonly #watch: CollapseWatch | null;
  readonly #records: string;
  readonly #startPath: string;
  #start: Start | null = null;

  constructor({ training, examples, config, paths, watch }: EvaluatorOptions) {
    this.#training = training;
    this.#config = config;
    this.#examples = examples;
    this.batches = evaluationBatches(examples, config);
    this.#watch = watch;
    this.#records = paths.evaluations;
    this.#startPath = join(paths.dir, "evaluation-start.json");
    this.#start = existsSync(this.#startPath)
      ? readStart(this.#startPath, countCompletions(this.#examples))
      : null;
  }

  /** Whether there is an evaluation that later ones are compared with. */
  get hasStart(): boolean {
    return this.#start !== null;
  }

  /** Forgets the first evaluation: the run begins again. */
  startOver(): void {
    this.#start = null;
    remove(this.#startPath);
  }

  /**
   * Metrics at `step` under their `eval_` names, the rows with a log-prob that is not finite, and the thresholds of the watch
   * that the metrics are beyond, a sentence each. The first evaluation of a run becomes the start that others are compared with.
   */
  async evaluate(
    step: number,
    epoch: number,
    onBatch: BatchListener,
  ): Promise<{ row: MetricRow; unsound: string[]; breaches: string[] }> {
    const began = performance.now();
    const { metrics, means, rejected } = evaluate(this.#training, this.batches, this.#examples, onBatch);
    const watched = (await this.#watch?.look()) ?? null;
    const first = watched === null ? null : { key: this.#watch?.key ?? "", step, figures: watched.figures };
    const start = this.#startOr({ step, means: Array.from(means.all), watch: first });
    const before = new CompletionValues(this.#examples, start.means);
    const all = { ...metrics, ...displacement(before, means), ...watched?.figures };
    appendEvaluation(this.#records, {
      global_step: step,
      rejected_logps: rejected,
      pair_changes: pairChanges(before, means)
        .slice(0, mostPairs)
        .filter(({ chosen, rejected: other }) => Number.isFinite(chosen) && Number.isFinite(other))
        .map(({ chosen, rejected: other }) => [rounded(chosen), rounded(other)]),
      samples: watched?.samples ?? [],
    });
    const named = Object.fromEntries(Object.entries(all).map(([name, value]) => [`eval_${name}`, value]));
    const row = { global_step: step, epoch, ...named, eval_runtime: (performance.now() - began) / 1000 };
    const breaches = watched === null ? [] : this.#breaches(all, start);
    return { row, unsound: this.#unsound(means), breaches };
  }

  /** `file:line` of the rows of which an answer's mean log-prob is not finite. */
  #unsound(means: CompletionValues): string[] {
    return this.#examples.flatMap(({ origin }, row) =>
      means.of(row).every(Number.isFinite) ? [] : [describeOrigin(origin)],
    );
  }

  #breaches(now: Record<string, number>, { step, watch }: Start): string[] {
    const before = { step, watchStep: watch?.step ?? step, figures: watch?.figures ?? {} };
    return breachesOf(now, before, this.#config.watch_thresholds).map(({ text }) => text);
  }

  /**
   * The start of the run; `now` where it has none yet. The watch starts anew when it asks otherwise than before: its answers
   * could not be compared.
   */
  #startOr(now: Start): Start {
    const known = this.#start;
    const isSame = now.watch === null || known?.watch?.key === now.watch.key;
    if (known !== null && isSame) return known;
    const start = known === null ? now : { ...known, watch: now.watch };
    writeFileAtomic(this.#startPath, sealed(stringifyNumbers(start)));
    this.#start = start;
    return start;
  }

  /** Forgets what evaluations after `step` left besides metrics: a resumed run makes them again. */
  truncateAfterStep(step: number): void {
    truncateEvaluations(this.#records, step);
  }

  /**
   * Notes whether `row` is the best so far. One that collapsed never is.
   *
   * @throws {ConfigError} if the row lacks `metric_for_best_model`
   */
  judge(row: MetricRow, state: TrainerState, isCollapsed: boolean): void {
    const { metric_for_best_model, greater_is_better } = this.#config;
    const name = metric_for_best_model.replace(/^(?!eval_)/, "eval_");
    const value = row[name];
    if (typeof value !== "number") {
      throw new ConfigError(
        `metric_for_best_model: an evaluation has no "${name}".${didYouMean(name, Object.keys(row))} ` +
          `It has ${Object.keys(row)
            .filter((key) => key.startsWith("eval_"))
            .join(", ")}.`,
      );
    }
    const better =
      state.best === null || (greater_is_better ? value > state.best.value : value < state.best.value);
    if (better && !isCollapsed && !Number.isNaN(value)) {
      state.best = { step: row.global_step, value };
      state.evaluationsWithoutGain = 0;
    } else {
      state.evaluationsWithoutGain += 1;
    }
  }
}

/** The start in a file; null when it is of other rows, or no start. */
function readStart(path: string, completions: number): Start | null {
  const start = readSealed(path, parseNumbers) as unknown as Start;
  const isStart = Array.isArray(start.means) && start.means.length === completions;
  return isStart && typeof start.step === "number" && start.watch !== undefined ? start : null;
}

/** Four decimals: a picture shows no more. */
function rounded(value: number): number {
  return Math.round(value * 1e4) / 1e4;
}
