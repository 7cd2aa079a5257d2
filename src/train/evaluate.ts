/** Evaluation during training: the objective's loss and metrics on held-out rows. */
import { at } from "../base/at.ts";
import { CompletionValues } from "../data/completion-values.ts";
import type { Example } from "../data/example.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import { allCompletions, type MicroBatch, toDevice } from "../forward/batch.ts";
import { walk } from "../forward/walk.ts";
import { type Over, roleOf } from "../methods/method.ts";
import type { Decoder } from "../models/causal-lm.ts";
import type { LogProbHistogram } from "../runs/evaluation-records.ts";
import { ops, scope, type Tensor } from "../torch/index.ts";
import { columnsOf, objectiveOn, sliceCounts, totalsOf } from "./completion-logps.ts";
import { addSums, averagesOf, type MetricSums, MetricTally } from "./metric-tally.ts";
import { objectiveHead } from "./objective-head.ts";
import { exchangeFound, shareOf } from "./row-shares.ts";
import type { BatchListener, Training } from "./step.ts";
import type { TokenLogps } from "./token-changes.ts";

/** What evaluating needs of a training. */
export interface Evaluated extends Pick<Training<Decoder>, "model" | "objective" | "numerics" | "reference"> {
  /** The ranks that share the batches; left out: this process is the only one. */
  group?: RankGroup | null;
}

/** Result of an evaluation. */
export interface Evaluation {
  /** Loss, metrics and statistics, without the `eval_` prefix. */
  metrics: Record<string, number>;
  /** Mean token log-prob of each completion, or its score. */
  means: CompletionValues;
  /** Log-probs of the loss tokens of each completion; none of scores. */
  tokens: TokenLogps;
  /** Log-probs of the tokens of rejected completions and of those labelled bad; null where there are none, and for scores. */
  rejected: LogProbHistogram | null;
}

/** Nats a bin of the histogram is wide, and how many there are: down to −20, where a token is all but impossible. */
const binWidth = 0.5;
const binCount = 40;

/**
 * The objective on `batches`, its normalisers taken over all of them. Where there are several ranks each takes some of them, and
 * all have the result.
 *
 * @param examples - the dataset that the batches are of
 */
export function evaluate(
  training: Evaluated,
  batches: readonly MicroBatch[],
  examples: readonly Example[],
  onBatch: BatchListener = () => {},
): Evaluation {
  const { model, objective, numerics } = training;
  const { group = null } = training;
  const share = shareOf(batches, group);
  const totals = totalsOf(batches, objective);
  const means = new CompletionValues(examples);
  const perToken = examples.map(() => [] as Float32Array[]);
  const rejected = new Array<number>(binCount).fill(0);
  const tally = new MetricTally();
  using evaluation = scope();
  const losses: Tensor[] = [];
  let tokens = 0;
  onBatch(0, share.length, tokens);
  for (const [i, batch] of share.entries()) {
    using _ = scope();
    const onDevice = toDevice(batch.packed, model.device, batch.keptTokens);
    const slice = allCompletions(onDevice);
    const head = objectiveHead(model, objective, { ...numerics, entropies: true });
    const run = walk(model, onDevice, head, { ...numerics, trained: null });
    const pass = run.head(slice);
    const columns = columnsOf(objective, batch, training.reference);
    if (batch.isIdle !== true) {
      const counts = sliceCounts(objective, slice, columns);
      const result = objectiveOn(objective, pass, { slice, columns, totals: { ...totals, micro: counts } });
      losses.push(evaluation.adopt(ops.reshape(result.loss, [1])));
      tally.add({ ...result.metrics, ...pass.statistics(counts) }, evaluation);
      const values = pass.values.data() as Float32Array;
      collectMeans(means, batch, values);
      if (objective.over !== "scores") {
        countRejected(rejected, batch, objective.over, values);
        collectTokens(perToken, batch, values);
      }
    }
    tokens += batch.packed.ids.length;
    onBatch(i + 1, share.length, tokens);
  }
  const { sums, values } = tally.read(losses.length === 0 ? [] : [ops.sum(ops.cat(losses))]);
  const own = { loss: values[0] ?? 0, sums, rejected };
  const all = group === null ? [own] : exchangeFound(group, own, share, { means, tokens: perToken });
  return evaluationOf(all, means, perToken);
}

/** What a rank found of its share. */
interface ShareOutcome {
  loss: number;
  sums: MetricSums;
  /** Counts of the histogram. */
  rejected: number[];
}

function evaluationOf(all: readonly ShareOutcome[], means: CompletionValues, tokens: TokenLogps): Evaluation {
  const sums: MetricSums = {};
  for (const one of all) addSums(sums, one.sums);
  const counts = Array.from({ length: binCount }, (_, bin) =>
    all.reduce((sum, { rejected }) => sum + (rejected[bin] ?? 0), 0),
  );
  const loss = all.reduce((sum, one) => sum + one.loss, 0);
  const isEmpty = counts.every((count) => count === 0);
  return {
    metrics: { loss, ...averagesOf(sums) },
    means,
    tokens,
    rejected: isEmpty ? null : { width: binWidth, counts },
  };
}

function collectMeans(means: CompletionValues, { packed, indices }: MicroBatch, logps: Float32Array): void {
  for (const span of packed.spans) {
    const own = logps.subarray(span.start, span.end);
    means.of(at(indices, span.example))[span.completion] =
      own.reduce((total, x) => total + x, 0) / own.length;
  }
}

function collectTokens(tokens: Float32Array[][], { packed, indices }: MicroBatch, logps: Float32Array): void {
  for (const span of packed.spans) {
    at(tokens, at(indices, span.example))[span.completion] = logps.slice(span.start, span.end);
  }
}

/** Log-probs that are NaN are in no bin. */
function countRejected(counts: number[], { packed }: MicroBatch, over: Over, logps: Float32Array): void {
  for (const span of packed.spans) {
    const isBad = packed.examples[span.example]?.label === false;
    if (!isBad && roleOf(over, span.completion) !== "rejected") continue;
    for (const logp of logps.subarray(span.start, span.end)) {
      // rounding may put a log-prob a hair above 0
      const bin = Math.max(0, Math.min(binCount - 1, Math.floor(-logp / binWidth)));
      if (!Number.isNaN(bin)) counts[bin] = (counts[bin] ?? 0) + 1;
    }
  }
}
