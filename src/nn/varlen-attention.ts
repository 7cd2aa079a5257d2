/**
 * Attention over all segments of a stream in one call a layer: torch's variable-length flash attention, in half precision on
 * CUDA. The queries of a segment are contiguous in the stream; its keys and values, its parent's before its own, are gathered.
 */
import { TorchError } from "../base/errors.ts";
import {
  type DType,
  enableGrad,
  gradients,
  isGpu,
  onDevice,
  ops,
  scope,
  type Tensor,
  tensor,
} from "../torch/index.ts";

/** A segment and its parent as ranges of the stream; no parent is an empty range. */
export interface SegmentBounds {
  start: number;
  end: number;
  parentStart: number;
  parentEnd: number;
}

/** What the kernel needs to know of S segments, made once a batch. */
export interface VarlenPlan {
  /** (N) int64: the rows of the stream that are keys, segment by segment; null where that is the stream as it is. */
  keyRows: Tensor | null;
  /** (S + 1) int32: where each segment's queries begin, and the end of the last. */
  queryOffsets: Tensor;
  /** (S + 1) int32: the same of its keys. */
  keyOffsets: Tensor;
  /** Bounds on the queries and keys of a segment. */
  longestQueries: number;
  longestKeys: number;
  /** Tokens before itself that a token sees; null for all. */
  reach: number | null;
  /** Factor on q·k before the softmax. */
  scale: number;
}

/** Where segments are among gathered keys, on the host. */
export interface VarlenLayout {
  keyRows: Int32Array<ArrayBuffer>;
  queryOffsets: Int32Array<ArrayBuffer>;
  keyOffsets: Int32Array<ArrayBuffer>;
}

/** Offsets of queries and keys, and which rows of the stream the keys are. */
export function varlenLayout(segments: readonly SegmentBounds[]): VarlenLayout {
  const keysOf = (s: SegmentBounds) => s.parentEnd - s.parentStart + s.end - s.start;
  const keyRows = new Int32Array(segments.reduce((sum, segment) => sum + keysOf(segment), 0));
  const queryOffsets = new Int32Array(segments.length + 1);
  const keyOffsets = new Int32Array(segments.length + 1);
  let filled = 0;
  for (const [i, { start, end, parentStart, parentEnd }] of segments.entries()) {
    for (let row = parentStart; row < parentEnd; row++) keyRows[filled++] = row;
    for (let row = start; row < end; row++) keyRows[filled++] = row;
    queryOffsets[i + 1] = end;
    keyOffsets[i + 1] = filled;
  }
  return { keyRows, queryOffsets, keyOffsets };
}

/** The plan for segments that cover the stream without gaps. `window`: tokens a token sees, itself included; null for all. */
export function planVarlen(
  segments: readonly SegmentBounds[],
  { device, window, scale }: { device: string; window: number | null; scale: number },
): VarlenPlan {
  using making = scope();
  const { keyRows, queryOffsets, keyOffsets } = varlenLayout(segments);
  const place = (values: Int32Array<ArrayBuffer>, dtype: DType) =>
    making.keep(onDevice(tensor(values), device, dtype));
  const gathers = segments.some(({ parentStart, parentEnd }) => parentEnd > parentStart);
  return {
    keyRows: gathers ? place(keyRows, "int64") : null,
    queryOffsets: place(queryOffsets, "int32"),
    keyOffsets: place(keyOffsets, "int32"),
    // with a bound of 1 the kernel takes a path for decoding, which is not made for training
    longestQueries: Math.max(2, ...segments.map(({ start, end }) => end - start)),
    longestKeys: longest(keyOffsets),
    reach: window === null ? null : window - 1,
    scale,
  };
}

function longest(offsets: Int32Array): number {
  let most = 0;
  for (let i = 1; i < offsets.length; i++) most = Math.max(most, (offsets[i] ?? 0) - (offsets[i - 1] ?? 0));
  return most;
}

/**
 * Softmax attention of every segment. The i-th of a segment's n queries is at the (m − n + i)-th of its m keys: it
 * sees that one, and those before it as far as the plan's reach.
 *
 * Paper: Dao 2023, arXiv:2307.08691 (FlashAttention-2).
 * Numerics: half precision in and out, sums in float32.
 * Memory: the gathered keys and values, kept for the backward pass; no scores.
 *
 * @param q - (T, H, E)
 * @param k - (T, K, E), K divides H
 * @param v - (T, K, E)
 * @returns (T, H, E)
 */
export function varlenAttention(q: Tensor, k: Tensor, v: Tensor, plan: VarlenPlan): Tensor {
  const { scale, keyRows, queryOffsets, keyOffsets, longestQueries, longestKeys, reach } = plan;
  const gathered = (x: Tensor) => (keyRows === null ? x : ops.indexSelect(x, 0, keyRows));
  const [out] = ops._flashAttentionForward(
    q,
    gathered(k),
    gathered(v),
    queryOffsets,
    keyOffsets,
    longestQueries,
    longestKeys,
    0,
    true,
    false,
    { scale, windowSizeLeft: reach, windowSizeRight: reach === null ? null : 0 },
  );
  return out;
}

const answers = new Map<string, boolean>();

/**
 * Whether the kernel takes heads of this width in this type on this device, forward and back: tried once and remembered.
 * Older GPUs, widths that are no multiple of 8 or above 256, and builds of torch without it do not. The device "meta"
 * answers as a GPU would, so that shapes can be checked.
 */
export function hasVarlenAttention(device: string, dtype: DType, headWidth: number): boolean {
  const isHalf = dtype === "bfloat16" || dtype === "float16";
  if (!isHalf || !(isGpu(device) || device === "meta")) return false;
  const question = `${device} ${dtype} ${headWidth}`;
  const answer = answers.get(question) ?? works(device, dtype, headWidth);
  answers.set(question, answer);
  return answer;
}

function works(device: string, dtype: DType, headWidth: number): boolean {
  using _ = scope();
  try {
    const x = ops.zeros([2, 1, headWidth], { dtype, device });
    x.requiresGrad = true;
    const segment = { start: 0, end: 2, parentStart: 0, parentEnd: 0 };
    const out = enableGrad(() =>
      varlenAttention(x, x, x, planVarlen([segment], { device, window: null, scale: 1 })),
    );
    gradients([out], [x], { gradients: [ops.detach(x)] });
    return true;
  } catch (error) {
    if (error instanceof TorchError) return false;
    throw error;
  }
}
