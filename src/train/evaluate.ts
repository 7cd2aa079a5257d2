/** Evaluation during training: the objective's loss and metrics on held-out rows. */
import { at } from "../base/at.ts";
import { CompletionValues } from "../data/completion-values.ts";
import type { Example } from "../data/example.ts";
import { allCompletions, type MicroBatch, toDevice } from "../forward/batch.ts";
import { walk } from "../forward/walk.ts";
import { type Over, roleOf } from "../methods/method.ts";
import { evaluateObjective, objectiveType } from "../methods/objective.ts";
import type { Decoder } from "../models/causal-lm.ts";
import type { LogProbHistogram } from "../runs/evaluation-records.ts";
import { ops, scope, type Tensor } from "../torch/index.ts";
import { columnsOf, completionLogps, countsOf, totalsOf } from "./completion-logps.ts";
import { MetricTally } from "./metric-tally.ts";
import { objectiveHead } from "./objective-head.ts";
import type { BatchListener, Training } from "./step.ts";

/** What evaluating needs of a training. */
export type Evaluated = Pick<Training<Decoder>, "model" | "objective" | "numerics" | "reference">;

/** Result of an evaluation. */
export interface Evaluation {
  /** Loss, metrics and statistics, without the `eval_` prefix. */
  metrics: Record<string, number>;
  /** Mean token log-prob of each completion, or its score. */
  means: CompletionValues;
  /** Log-probs of the rejected completions' tokens; null where there are none, and for scores. */
  rejected: LogProbHistogram | null;
}

/** Nats a bin of the histogram is wide, and how many there are: down to −20, where a token is all but impossible. */
const binWidth = 0.5;
const binCount = 40;

/**
 * The objective on `batches`, its normalisers taken over all of them.
 *
 * @param examples - the dataset that the batches are of
 */
export function evaluate(
  training: Evaluated,
  batches: readonly MicroBatch[],
  examples: readonly Example[],
  onBatch: BatchListener = () => {},
): Evaluation {
  const { model, objective, numerics, reference } = training;
  const { over } = objective;
  const totals = totalsOf(batches, objective);
  const tally = new MetricTally();
  const means = new CompletionValues(examples);
  const rejected: LogProbHistogram = { width: binWidth, counts: new Array<number>(binCount).fill(0) };
  using evaluation = scope();
  const losses: Tensor[] = [];
  let tokens = 0;
  onBatch(0, batches.length, tokens);
  for (const [i, batch] of batches.entries()) {
    using _ = scope();
    const onDevice = toDevice(batch.packed, model.device, batch.keptTokens);
    const slice = allCompletions(onDevice);
    const head = objectiveHead(model, objective, { ...numerics, entropies: true });
    const pass = walk(model, onDevice, head, { ...numerics, trained: null }).head(slice);
    const typed = ops.to(pass.values, objectiveType(model.device));
    const entropies = pass.entropies === null ? null : ops.to(pass.entropies, typed.dtype);
    const columns = columnsOf(objective, batch, reference);
    const completions = { ...completionLogps(objective, typed, slice, columns), entropies };
    const counts = countsOf(slice.spans, over);
    const result = evaluateObjective(objective, completions, { ...totals, micro: counts });
    losses.push(evaluation.adopt(ops.reshape(result.loss, [1])));
    tally.add({ ...result.metrics, ...pass.statistics(counts) }, evaluation);
    const values = pass.values.data() as Float32Array;
    collectMeans(means, batch, values);
    if (over !== "scores") countRejected(rejected, batch, over, values);
    tokens += batch.packed.ids.length;
    onBatch(i + 1, batches.length, tokens);
  }
  const isEmpty = rejected.counts.every((count) => count === 0);
  const { averages, values } = tally.read(losses.length === 0 ? [] : [ops.sum(ops.cat(losses))]);
  return { metrics: { loss: values[0] ?? 0, ...averages }, means, rejected: isEmpty ? null : rejected };
}

function collectMeans(means: CompletionValues, { packed, indices }: MicroBatch, logps: Float32Array): void {
  for (const span of packed.spans) {
    const own = logps.subarray(span.start, span.end);
    means.of(at(indices, span.example))[span.completion] =
      own.reduce((total, x) => total + x, 0) / own.length;
  }
}

/** Log-probs that are NaN are in no bin. */
function countRejected(
  { counts }: LogProbHistogram,
  { packed }: MicroBatch,
  over: Over,
  logps: Float32Array,
): void {
  for (const span of packed.spans) {
    if (roleOf(over, span.completion) !== "rejected") continue;
    for (const logp of logps.subarray(span.start, span.end)) {
      // rounding may put a log-prob a hair above 0
      const bin = Math.max(0, Math.min(binCount - 1, Math.floor(-logp / binWidth)));
      if (!Number.isNaN(bin)) counts[bin] = (counts[bin] ?? 0) + 1;
    }
  }
}
