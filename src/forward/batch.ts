/** Packed batches with what comes with them, and such a batch on the device, ready for the walk. */
import type { PackedBatch, ResponseSpan } from "../data/packing.ts";
import type { Segment } from "../nn/packed-attention.ts";
import { onDevice, ops, type Tensor, tensor } from "../torch/index.ts";
import { checkKeptTokens, type KeptTokens } from "./kept-tokens.ts";

/** Numbers by name: one for each completion of a batch, or one for each of its tokens in the loss, in their order. */
export type Columns = Readonly<Record<string, readonly number[] | Float32Array | Float64Array>>;

/** A packed batch and where its examples stand in the dataset. */
export interface MicroBatch {
  packed: PackedBatch;
  /** Index in the dataset of each example of `packed`. */
  indices: readonly number[];
  /** Where several examples of the data share a prompt: index in the dataset of the first example with that of each; left out: `indices`. */
  prompts?: readonly number[];
  /** What came with its completions: labels, rewards, advantages, log-probs of the policy that sampled them. */
  columns?: Columns;
  /**
   * For each of its R tokens in the loss those that top-k, top-p or min-p kept in its place, which log-probs are renormalised
   * over; an entry is null where all were kept. Null or left out: all everywhere.
   */
  keptTokens?: KeptTokens | null;
  /** True for a batch that stands for none: the rank that gets it has nothing to do where others have, and takes part all the same. */
  isIdle?: boolean;
  /** True where the loss has no gradient in any of its tokens: it goes forward alone, for its loss, log-probs and metrics. */
  hasNoGradient?: boolean;
}

/** T input tokens, R response tokens, C completions. */
export interface DeviceBatch {
  /** (T) int64, on the computer: the embedding looks them up where its table is */
  ids: Tensor;
  /** (T) int64 */
  positions: Tensor;
  segments: readonly Segment[];
  /** (R) int64: the stream position whose hidden state predicts each response token */
  predictors: Tensor;
  /** (R) int64 */
  targets: Tensor;
  /** (R) int64: the completion of each response token; 0 for rows of prompts */
  completion: Tensor;
  /** Rows of each completion, C of them. */
  spans: readonly ResponseSpan[];
  /** Of the R rows, how many at the end are prompts' tokens and belong to no completion. */
  promptRows: number;
  /** R sets, on the computer: what log-probs are renormalised over; null: all tokens. */
  keptTokens: KeptTokens | null;
}

/** Some completions of a batch, in complete groups: rows [start, end) of its R. */
export interface CompletionSlice
  extends Pick<DeviceBatch, "targets" | "completion" | "spans" | "promptRows" | "keptTokens"> {
  start: number;
  end: number;
  /** Index in the batch of the slice's first completion; `completion` counts from it. */
  first: number;
  /** Whether it ends with the batch's last row. */
  isLast: boolean;
}

/**
 * Moves a packed batch to `device`, with the tokens that were kept at its places.
 *
 * @throws {ShapeError} if `keptTokens` are not those of the batch's tokens
 */
export function toDevice(
  batch: PackedBatch,
  device: string,
  keptTokens: KeptTokens | null = null,
): DeviceBatch {
  if (keptTokens !== null) checkKeptTokens(keptTokens, batch.targets);
  const completion = new Int32Array(batch.targets.length);
  batch.spans.forEach((span, i) => {
    completion.fill(i, span.start, span.end);
  });
  const place = (values: Int32Array) => onDevice(tensor(values), device, "int64");
  return {
    ids: ops.to(tensor(batch.ids), "int64"),
    positions: place(batch.positions),
    segments: batch.segments,
    predictors: place(batch.predictors),
    targets: place(batch.targets),
    completion: place(completion),
    spans: batch.spans,
    promptRows: batch.promptRows,
    keptTokens,
  };
}

/** All completions as one slice. */
export function allCompletions(batch: DeviceBatch): CompletionSlice {
  return { ...batch, start: 0, end: batch.targets.numel, first: 0, isLast: true };
}

/** The completions in slices of at most `maxRows` response tokens, or of one group where it has more; in one with rows of prompts. */
export function completionSlices(batch: DeviceBatch, maxRows: number): CompletionSlice[] {
  if (batch.targets.numel <= maxRows || batch.promptRows > 0) return [allCompletions(batch)];
  const slices: ResponseSpan[][] = [];
  let rowsOfLast = Number.POSITIVE_INFINITY;
  for (const spans of groupsOf(batch.spans)) {
    const added = spans.reduce((sum, span) => sum + span.end - span.start, 0);
    if (rowsOfLast + added > maxRows) {
      slices.push([]);
      rowsOfLast = 0;
    }
    slices.at(-1)?.push(...spans);
    rowsOfLast += added;
  }
  let first = 0;
  return slices.map((spans) => {
    const slice = sliceOf(batch, spans, first);
    first += spans.length;
    return slice;
  });
}

/** The spans of each group: the completions of one example. */
export function groupsOf(spans: readonly ResponseSpan[]): ResponseSpan[][] {
  const groups: ResponseSpan[][] = [];
  for (const span of spans) {
    if (groups.at(-1)?.[0]?.example === span.example) groups.at(-1)?.push(span);
    else groups.push([span]);
  }
  return groups;
}

function sliceOf(batch: DeviceBatch, spans: readonly ResponseSpan[], first: number): CompletionSlice {
  const start = spans[0]?.start ?? 0;
  const end = spans.at(-1)?.end ?? start;
  return {
    targets: ops.slice(batch.targets, 0, start, end),
    completion: ops.sub(ops.slice(batch.completion, 0, start, end), first),
    spans,
    promptRows: 0,
    keptTokens: batch.keptTokens?.slice(start, end) ?? null,
    start,
    end,
    first,
    isLast: end === batch.targets.numel,
  };
}
