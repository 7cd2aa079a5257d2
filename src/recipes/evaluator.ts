/** A run's evaluations: metrics on held-out rows, change since the start, and which checkpoint is the best. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { readTextFile, writeFileAtomic } from "../base/files.ts";
import { didYouMean } from "../base/suggest.ts";
import type { Example } from "../data/example.ts";
import type { RunConfig } from "../runs/config-types.ts";
import { parseNumbers, stringifyNumbers } from "../runs/json-numbers.ts";
import type { MetricRow } from "../runs/metrics.ts";
import type { TrainerState } from "../train/checkpoint.ts";
import { displacement, type Evaluated, evaluate } from "../train/evaluate.ts";
import { evaluationBatches } from "../train/plan.ts";
import type { MicroBatch } from "../train/step.ts";

/** Evaluates a training on its held-out rows. */
export class Evaluator {
  readonly batches: MicroBatch[];
  readonly #examples: number;
  readonly #training: Evaluated;
  readonly #config: RunConfig;
  readonly #baselinePath: string;
  #baseline: Float64Array | null = null;

  /** @param runDir - where the log-probs of the start are kept for a resumed run */
  constructor(training: Evaluated, examples: readonly Example[], config: RunConfig, runDir: string) {
    this.#training = training;
    this.#config = config;
    this.#examples = examples.length;
    this.batches = evaluationBatches(examples, config);
    this.#baselinePath = join(runDir, "evaluation-start.json");
    if (existsSync(this.#baselinePath)) {
      const { means } = parseNumbers(readTextFile(this.#baselinePath)) as { means: number[] };
      this.#baseline = means.length === 2 * this.#examples ? Float64Array.from(means) : null;
    }
  }

  /** Metrics at `step` under their `eval_` names. The first evaluation of a run becomes the start others are compared with. */
  row(step: number, epoch: number): MetricRow {
    const began = performance.now();
    const { metrics, means } = evaluate(this.#training, this.batches, this.#examples);
    if (this.#baseline === null) {
      this.#baseline = means;
      writeFileAtomic(this.#baselinePath, `${stringifyNumbers({ step, means: Array.from(means) })}\n`);
    }
    const all = { ...metrics, ...displacement(this.#baseline, means) };
    const named = Object.fromEntries(Object.entries(all).map(([name, value]) => [`eval_${name}`, value]));
    return { global_step: step, epoch, ...named, eval_runtime: (performance.now() - began) / 1000 };
  }

  /**
   * Notes whether `row` is the best so far.
   *
   * @throws {ConfigError} if the row lacks `metric_for_best_model`
   */
  judge(row: MetricRow, state: TrainerState): void {
    const { metric_for_best_model: wanted, greater_is_better: greater } = this.#config;
    const name = wanted.startsWith("eval_") ? wanted : `eval_${wanted}`;
    const value = row[name];
    if (typeof value !== "number") {
      throw new ConfigError(
        `metric_for_best_model: an evaluation has no "${name}".${didYouMean(name, Object.keys(row))} ` +
          `It has ${Object.keys(row)
            .filter((key) => key.startsWith("eval_"))
            .join(", ")}.`,
      );
    }
    const better = state.best === null || (greater ? value > state.best.value : value < state.best.value);
    if (better && !Number.isNaN(value)) {
      state.best = { step: row.global_step, value };
      state.evaluationsWithoutGain = 0;
    } else {
      state.evaluationsWithoutGain += 1;
    }
  }
}
