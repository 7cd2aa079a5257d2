/** A packed batch on the device, ready for the walk. */
import type { PackedBatch } from "../data/packing.ts";
import type { Segment } from "../nn/packed-attention.ts";
import type { BatchCounts } from "../objectives/objective.ts";
import { ops, type Tensor, tensor } from "../torch/index.ts";

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
}

/** Moves a packed batch to `device`. */
export function toDevice(batch: PackedBatch, device: string): DeviceBatch {
  const lengths = batch.spans.map((span) => span.end - span.start);
  const answer = new Int32Array(batch.targets.length);
  batch.spans.forEach((span, i) => {
    answer.fill(i, span.start, span.end);
  });
  const place = (values: Int32Array) => ops.toDevice(tensor(values), device, "int64");
  return {
    ids: place(batch.ids),
    positions: place(batch.positions),
    segments: batch.segments,
    predictors: place(batch.predictors),
    targets: place(batch.targets),
    answer: place(answer),
    lengths,
    counts: countsOf(batch),
  };
}

/** Examples and loss tokens of a packed batch; the second answer of an example is the rejected one. */
export function countsOf(batch: PackedBatch): BatchCounts {
  const tokens = [0, 0];
  for (const span of batch.spans)
    tokens[span.completion] = (tokens[span.completion] ?? 0) + span.end - span.start;
  return { examples: batch.examples.length, chosenTokens: tokens[0] ?? 0, rejectedTokens: tokens[1] ?? 0 };
}
