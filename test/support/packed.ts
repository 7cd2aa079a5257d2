/** Packed attention for tests: streams from the lengths of prompts and answers, and one dense masked softmax over all of them. */
import type { Segment } from "../../src/nn/packed-attention.ts";
import { ops, type Tensor, tensor } from "../../src/torch/index.ts";

/** Prompts with answers: [prompt length, answer lengths] each. */
export type Layout = readonly (readonly [number, readonly number[]])[];

/** The segments of a stream of these lengths. */
export function segmentsOf(layout: Layout): Segment[] {
  const segments: Segment[] = [];
  let at = 0;
  const add = (length: number, parent: number) => {
    segments.push({ start: at, end: at + length, parent });
    at += length;
    return segments.length - 1;
  };
  for (const [prompt, answers] of layout) {
    const parent = add(prompt, -1);
    for (const answer of answers) add(answer, parent);
  }
  return segments;
}

/** Where each token stands: its segment, that segment's parent, and its position in the sequence prompt + answer. */
function tokensOf(segments: readonly Segment[]): { own: number; parent: number; position: number }[] {
  return segments.flatMap(({ start, end, parent }, own) => {
    const prompt = segments[parent];
    const offset = prompt === undefined ? 0 : prompt.end - prompt.start;
    return Array.from({ length: end - start }, (_, i) => ({ own, parent, position: offset + i }));
  });
}

/** 0 where the row's token may see the column's, -inf elsewhere: (T, T) float64. */
export function denseMask(segments: readonly Segment[], window: number | null): Tensor {
  const tokens = tokensOf(segments);
  const values = tokens.flatMap((row) =>
    tokens.map((column) => {
      const related = column.own === row.own || column.own === row.parent;
      const distance = row.position - column.position;
      return related && distance >= 0 && (window === null || distance < window)
        ? 0
        : Number.NEGATIVE_INFINITY;
    }),
  );
  return tensor(values, [tokens.length, tokens.length], { dtype: "float64" });
}

/** softmax(q kᵀ · scale + mask) v over the whole stream, key/value heads repeated by hand. */
export function dense([q, k, v]: readonly [Tensor, Tensor, Tensor], mask: Tensor, scale: number): Tensor {
  const [heads, shared] = [q.size(1), k.size(1)];
  const repeat = Array.from({ length: heads }, (_, h) => Math.floor((h * shared) / heads));
  const index = tensor(repeat, [heads], { dtype: "int64" });
  const first = (x: Tensor) => ops.transpose(x, 0, 1);
  const keys = first(ops.indexSelect(k, 1, index));
  const values = first(ops.indexSelect(v, 1, index));
  const scores = ops.mul(ops.matmul(first(q), ops.transpose(keys, 1, 2)), scale);
  const out = ops.matmul(ops.softmax(ops.add(scores, mask), -1), values);
  return ops.reshape(first(out), [q.size(0), heads * q.size(2)]);
}

/** Normal numbers in float64 that require a gradient. */
export function random(shape: readonly number[]): Tensor {
  const x = ops.normal_(ops.zeros(shape, { dtype: "float64" }));
  x.requiresGrad = true;
  return x;
}
