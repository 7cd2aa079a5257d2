/**
 * Attention over a packed stream of segments: each segment sees itself causally and its parent in full, so a prompt is
 * computed once for all its completions and nothing is padded. On the CPU an operator of the addon does all
 * segments (`native/segment-attention.h`), but in float64; on CUDA in half precision torch's flash attention (`varlen-attention.ts`); elsewhere
 * torch's scaled dot-product attention does the work, one call a segment; with a cap on scores, simpler operators (`caps.ts`).
 */
import { at } from "../base/at.ts";
import { ShapeError } from "../base/errors.ts";
import { type DType, ops, scope, type Tensor } from "../torch/index.ts";
import { cappedAttention } from "./caps.ts";
import {
  hasVarlenAttention,
  planVarlen,
  type SegmentBounds,
  type VarlenPlan,
  varlenAttention,
} from "./varlen-attention.ts";

/** A segment [start, end) of the stream; `parent` is the index of the segment it continues, or -1. */
export interface Segment {
  start: number;
  end: number;
  parent: number;
}

interface MaskedPart extends SegmentBounds {
  /** Additive (n, p + n) mask of 0 and -inf, or null where plain causal attention says the same. */
  mask: Tensor | null;
}

/** Who attends to whom in a batch, for one kind of layer: made once a batch, used by all its layers. */
export interface AttentionPlan {
  /** Factor on q·k before the softmax. */
  scale: number;
  /** Cap on scores; null for none. With one the scores are held, a part at a time. */
  cap: number | null;
  /** Start, end, parent's start and end of each segment: all that the CPU's own kernel needs. */
  bounds: readonly number[];
  /** Tokens a token sees, itself included; 0 for all. */
  window: number;
  /** For torch's flash attention, where it serves. */
  varlen: VarlenPlan | null;
  /** The parts with their masks, for torch's other kernels; null where they are not needed. */
  parts: readonly MaskedPart[] | null;
}

/** Options of `planAttention`. */
export interface AttentionPlanOptions {
  dtype: DType;
  device: string;
  /** E, the width of a head. */
  headWidth: number;
  scale: number;
  /** Cap on scores; null or left out: none. */
  cap?: number | null;
  /** A token sees this many tokens, itself included; null for all. */
  window: number | null;
}

/**
 * The plan for `segments`, which must cover the stream without gaps; a parent precedes its children and has no parent.
 *
 * @throws {ShapeError} if a parent comes after its child or has a parent itself
 */
export function planAttention(segments: readonly Segment[], options: AttentionPlanOptions): AttentionPlan {
  const parts = segments.map((segment, index): SegmentBounds => {
    const parent = segment.parent < 0 ? null : segments[segment.parent];
    if (parent !== null && (parent === undefined || segment.parent >= index || parent.parent >= 0)) {
      throw new ShapeError(
        `segment ${index} names segment ${segment.parent} as parent: it must come before and have none itself`,
      );
    }
    const { start, end } = segment;
    return { start, end, parentStart: parent?.start ?? start, parentEnd: parent?.end ?? start };
  });
  const { cap = null } = options;
  const ownKernel = cap === null && options.device === "cpu" && options.dtype !== "float64";
  const isVarlen = cap === null && hasVarlenAttention(options.device, options.dtype, options.headWidth);
  const byParts = !ownKernel && !isVarlen;
  return {
    scale: options.scale,
    cap,
    bounds: parts.flatMap((p) => [p.start, p.end, p.parentStart, p.parentEnd]),
    window: options.window ?? 0,
    varlen: isVarlen ? planVarlen(parts, options) : null,
    parts: byParts ? parts.map((part) => ({ ...part, mask: maskOf(part, options) })) : null,
  };
}

function maskOf(
  { start, end, parentStart, parentEnd }: SegmentBounds,
  options: AttentionPlanOptions,
): Tensor | null {
  const context = parentEnd - parentStart;
  const own = end - start;
  const slides = options.window !== null && context + own > options.window;
  if (context === 0 && !slides && (options.cap ?? null) === null) return null;
  return segmentMask(own, context, slides ? options.window : null, options);
}

/** Row i of a segment is at position context + i: it sees columns from context + i - window + 1 to context + i. */
function segmentMask(
  own: number,
  context: number,
  window: number | null,
  { device, dtype }: AttentionPlanOptions,
): Tensor {
  using making = scope();
  const total = context + own;
  const where = { dtype: "int32", device } as const;
  const rows = ops.unsqueeze(ops.arange(context, total, 1, where), 1);
  // how far the column's token is before the row's
  const distance = ops.sub(rows, ops.arange(0, total, 1, where));
  const hide = (mask: Tensor, hidden: Tensor) => ops.maskedFill(mask, hidden, Number.NEGATIVE_INFINITY);
  const mask = hide(ops.zeros([own, total], { dtype, device }), ops.lt(distance, 0));
  return making.keep(window === null ? mask : hide(mask, ops.ge(distance, window)));
}

/**
 * Softmax attention of every segment.
 *
 * @param q - (T, H, E)
 * @param k - (T, K, E), K divides H
 * @param v - (T, K, E)
 * @returns (T, H · E)
 */
export function packedAttention(q: Tensor, k: Tensor, v: Tensor, plan: AttentionPlan): Tensor {
  const width = q.size(1) * q.size(2);
  if (plan.varlen !== null) {
    return ops.reshape(varlenAttention(q, k, v, plan.varlen), [q.size(0), width]);
  }
  if (plan.parts === null) {
    const out = ops.segmentAttention(q, k, v, plan.bounds, plan.scale, plan.window);
    return ops.view(out, [q.size(0), width]);
  }
  const outputs = plan.parts.map((part) => attendPart({ q, k, v }, part, plan));
  const joined = outputs.length === 1 ? at(outputs, 0) : ops.cat(outputs);
  return ops.reshape(joined, [q.size(0), width]);
}

function attendPart(
  { q, k, v }: { q: Tensor; k: Tensor; v: Tensor },
  part: MaskedPart,
  { scale, cap }: AttentionPlan,
): Tensor {
  const queries = ops.slice(q, 0, part.start, part.end);
  const [keys, values] = [withParent(k, part), withParent(v, part)];
  if (cap !== null) return cappedAttention(queries, keys, values, { scale, cap, mask: part.mask });
  const all = [headsFirst(queries), headsFirst(keys), headsFirst(values)] as const;
  const shares = q.size(1) !== k.size(1);
  const out = ops.scaledDotProductAttention(...all, part.mask, 0, part.mask === null, {
    scale,
    enableGqa: shares,
  });
  return ops.transpose(ops.squeeze(out, 0), 0, 1);
}

function withParent(x: Tensor, part: SegmentBounds): Tensor {
  const own = ops.slice(x, 0, part.start, part.end);
  if (part.parentStart === part.parentEnd) return own;
  return ops.cat([ops.slice(x, 0, part.parentStart, part.parentEnd), own]);
}

/** (n, H, E) -> (1, H, n, E) */
function headsFirst(x: Tensor): Tensor {
  return ops.unsqueeze(ops.transpose(x, 0, 1), 0);
}
