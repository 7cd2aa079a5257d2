/** Packed batches, and such a batch on the device, ready for the walk. */
import type { PackedBatch, ResponseSpan } from "../data/packing.ts";
import type { BatchCounts } from "../methods/objective.ts";
import type { Segment } from "../nn/packed-attention.ts";
import { onDevice, ops, type Tensor, tensor } from "../torch/index.ts";

/** A packed batch and where its examples stand in the dataset. */
export interface MicroBatch {
  packed: PackedBatch;
  /** Index in the dataset of each example of `packed`. */
  indices: readonly number[];
}

/** T input tokens, R response tokens, A answers. */
export interface DeviceBatch {
  /** (T) int64 */
  ids: Tensor;
  /** (T) int64 */
  positions: Tensor;
  segments: readonly Segment[];
  /** (R) int64: the stream position whose hidden state predicts each response token */
  predictors: Tensor;
  /** (R) int64 */
  targets: Tensor;
  /** (R) int64: the answer of each response token */
  answer: Tensor;
  /** Tokens in the loss of each answer, A of them. */
  lengths: readonly number[];
  counts: BatchCounts;
  /** Rows of each answer, A of them. */
  spans: readonly ResponseSpan[];
}

/** Some answers of a batch, whole examples: rows [start, end) of its R. */
export interface AnswerGroup extends Pick<DeviceBatch, "targets" | "answer" | "lengths" | "counts"> {
  start: number;
  end: number;
  /** Index in the batch of the group's first answer; `answer` counts from it. */
  first: number;
}

/** Moves a packed batch to `device`. */
export function toDevice(batch: PackedBatch, device: string): DeviceBatch {
  const lengths = batch.spans.map((span) => span.end - span.start);
  const answer = new Int32Array(batch.targets.length);
  batch.spans.forEach((span, i) => {
    answer.fill(i, span.start, span.end);
  });
  const place = (values: Int32Array) => onDevice(tensor(values), device, "int64");
  return {
    ids: place(batch.ids),
    positions: place(batch.positions),
    segments: batch.segments,
    predictors: place(batch.predictors),
    targets: place(batch.targets),
    answer: place(answer),
    lengths,
    counts: countsOf(batch),
    spans: batch.spans,
  };
}

/** All answers as one group. */
export function allAnswers(batch: DeviceBatch): AnswerGroup {
  return { ...batch, start: 0, end: batch.targets.numel, first: 0 };
}

/** The answers in groups of whole examples with at most `maxRows` response tokens, or one example where it has more. */
export function answerGroups(batch: DeviceBatch, maxRows: number): AnswerGroup[] {
  const rows = batch.targets.numel;
  if (rows <= maxRows) return [allAnswers(batch)];
  const groups: ResponseSpan[][] = [];
  let rowsOfLast = Number.POSITIVE_INFINITY;
  for (const spans of spansByExample(batch.spans)) {
    const added = spans.reduce((sum, span) => sum + span.end - span.start, 0);
    if (rowsOfLast + added > maxRows) {
      groups.push([]);
      rowsOfLast = 0;
    }
    groups.at(-1)?.push(...spans);
    rowsOfLast += added;
  }
  let first = 0;
  return groups.map((spans) => {
    const group = groupOf(batch, spans, first);
    first += spans.length;
    return group;
  });
}

function spansByExample(spans: readonly ResponseSpan[]): ResponseSpan[][] {
  const examples: ResponseSpan[][] = [];
  for (const span of spans) {
    if (examples.at(-1)?.[0]?.example === span.example) examples.at(-1)?.push(span);
    else examples.push([span]);
  }
  return examples;
}

function groupOf(batch: DeviceBatch, spans: readonly ResponseSpan[], first: number): AnswerGroup {
  const start = spans[0]?.start ?? 0;
  const end = spans.at(-1)?.end ?? start;
  return {
    targets: ops.slice(batch.targets, 0, start, end),
    answer: ops.sub(ops.slice(batch.answer, 0, start, end), first),
    lengths: batch.lengths.slice(first, first + spans.length),
    counts: countsOfSpans(spans),
    start,
    end,
    first,
  };
}

/** Examples and loss tokens of a packed batch; the second answer of an example is the rejected one. */
export function countsOf(batch: PackedBatch): BatchCounts {
  return countsOfSpans(batch.spans);
}

function countsOfSpans(spans: readonly ResponseSpan[]): BatchCounts {
  const tokens = [0, 0];
  for (const span of spans) tokens[span.completion] = (tokens[span.completion] ?? 0) + span.end - span.start;
  const examples = new Set(spans.map((span) => span.example)).size;
  return { examples, chosenTokens: tokens[0] ?? 0, rejectedTokens: tokens[1] ?? 0 };
}
