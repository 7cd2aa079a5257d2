/** Evaluation during training: the objective's loss and metrics on held-out rows, and displacement since the start. */
import { at } from "../base/at.ts";
import { allAnswers, countsOf, type MicroBatch, toDevice } from "../forward/batch.ts";
import { walk } from "../forward/walk.ts";
import type { LogProbHistogram } from "../runs/evaluation-records.ts";
import { ops, scope, type Tensor } from "../torch/index.ts";
import {
  answerLogps,
  type BatchListener,
  evaluateObjective,
  MetricTally,
  objectiveType,
  sumCounts,
  type Training,
  tokenStatistics,
} from "./step.ts";

/** What evaluating needs of a training. */
export type Evaluated = Pick<Training, "model" | "objective" | "numerics" | "reference">;

/** Result of an evaluation. */
export interface Evaluation {
  /** Loss, metrics and statistics, without the `eval_` prefix. */
  metrics: Record<string, number>;
  /** Mean token log-prob of each answer, by 2·index + completion. */
  means: Float64Array;
  /** Log-probs of the rejected answers' tokens; null where there are none. */
  rejected: LogProbHistogram | null;
}

/** Nats a bin of the histogram is wide, and how many there are: down to −20, where a token is all but impossible. */
const binWidth = 0.5;
const binCount = 40;

/**
 * The objective on `batches`, its normalisers taken over all of them.
 *
 * @param examples - number of examples in the batches
 */
export function evaluate(
  training: Evaluated,
  batches: readonly MicroBatch[],
  examples: number,
  onBatch: BatchListener = () => {},
): Evaluation {
  const { model, objective, numerics, reference } = training;
  const totals = sumCounts(batches.map((b) => countsOf(b.packed)));
  const tally = new MetricTally();
  const means = new Float64Array(2 * examples).fill(Number.NaN);
  const rejected: LogProbHistogram = { width: binWidth, counts: new Array<number>(binCount).fill(0) };
  using whole = scope();
  const losses: Tensor[] = [];
  let tokens = 0;
  onBatch(0, batches.length, tokens);
  for (const [i, batch] of batches.entries()) {
    using _ = scope();
    const onDevice = toDevice(batch.packed, model.device);
    const group = allAnswers(onDevice);
    const pass = walk(model, onDevice, { ...numerics, training: false, entropies: true }).head(group);
    const type = objectiveType(model.device);
    const answers = answerLogps(ops.to(pass.logps, type), onDevice, reference?.(batch) ?? null);
    const result = evaluateObjective(objective, answers, { ...totals, micro: onDevice.counts });
    losses.push(whole.adopt(ops.reshape(result.loss, [1])));
    tally.add({ ...result.metrics, ...tokenStatistics(pass, group) }, whole);
    const logps = pass.logps.data() as Float32Array;
    collectMeans(means, batch, logps);
    countRejected(rejected, batch, logps);
    tokens += batch.packed.ids.length;
    onBatch(i + 1, batches.length, tokens);
  }
  const isEmpty = rejected.counts.every((count) => count === 0);
  const { averages, values } = tally.read(losses.length === 0 ? [] : [ops.sum(ops.cat(losses))]);
  return { metrics: { loss: values[0] ?? 0, ...averages }, means, rejected: isEmpty ? null : rejected };
}

function collectMeans(means: Float64Array, { packed, indices }: MicroBatch, logps: Float32Array): void {
  for (const span of packed.spans) {
    const own = logps.subarray(span.start, span.end);
    const place = 2 * at(indices, span.example) + span.completion;
    means[place] = own.reduce((total, x) => total + x, 0) / own.length;
  }
}

/** Log-probs that are NaN are in no bin. */
function countRejected({ counts }: LogProbHistogram, { packed }: MicroBatch, logps: Float32Array): void {
  for (const span of packed.spans) {
    if (span.completion === 0) continue;
    for (const logp of logps.subarray(span.start, span.end)) {
      // rounding may put a log-prob a hair above 0
      const bin = Math.max(0, Math.min(binCount - 1, Math.floor(-logp / binWidth)));
      if (!Number.isNaN(bin)) counts[bin] = (counts[bin] ?? 0) + 1;
    }
  }
}

/**
 * Likelihood displacement: how the answers' mean token log-probs moved since `before`, on the same rows.
 *
 * `frac_chosen_down` is the share of pairs whose chosen answer lost likelihood, `frac_both_down` and `frac_both_up` of
 * those where both moved one way. Pairs that are missing in either are left out; no pairs, no metrics.
 */
export function displacement(before: Float64Array, now: Float64Array): Record<string, number> {
  const pairs = pairChanges(before, now);
  if (pairs.length === 0) return {};
  const average = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const share = (test: (pair: { chosen: number; rejected: number }) => boolean) =>
    pairs.filter(test).length / pairs.length;
  const chosenOnly: Record<string, number> = {
    "logps/chosen_delta_init": average(pairs.map((p) => p.chosen)),
    "displacement/frac_chosen_down": share((p) => p.chosen < 0),
  };
  if (pairs.some((p) => Number.isNaN(p.rejected))) return chosenOnly;
  return {
    ...chosenOnly,
    "logps/rejected_delta_init": average(pairs.map((p) => p.rejected)),
    "displacement/frac_both_down": share((p) => p.chosen < 0 && p.rejected < 0),
    "displacement/frac_both_up": share((p) => p.chosen > 0 && p.rejected > 0),
  };
}

/** Change of the mean token log-prob of each pair's answers; `rejected` is NaN for rows without one. */
export function pairChanges(before: Float64Array, now: Float64Array): { chosen: number; rejected: number }[] {
  const out: { chosen: number; rejected: number }[] = [];
  for (let i = 0; i + 1 < Math.min(before.length, now.length); i += 2) {
    const chosen = at(now, i) - at(before, i);
    if (!Number.isNaN(chosen)) out.push({ chosen, rejected: at(now, i + 1) - at(before, i + 1) });
  }
  return out;
}
