/**
 * The tokens that may be drawn: what top-k, top-p and min-p leave of a distribution, and the draw from it. Its arrays are used
 * again and again: new ones at every pass would wait for the garbage collector.
 */
import { type TokenSet, tokenSet } from "../base/token-set.ts";
import type { GenerateRequest } from "./request.ts";

/** Tokens that may be drawn, with numbers in proportion to their probabilities. To be used before the next ones are asked for. */
export interface Candidates {
  /** The tokens, in the order of the draw; null: the index is the token. */
  ids: Int32Array | null;
  weights: Float32Array;
  /** Σ weights, float64. */
  total: number;
}

let idRoom = new Int32Array(0);
let weightRoom = new Float32Array(0);
let keyRoom = new Float64Array(0);

function roomFor(size: number): void {
  if (idRoom.length >= size) return;
  idRoom = new Int32Array(size);
  weightRoom = new Float32Array(size);
  keyRoom = new Float64Array(size);
}

/** The filters that take part in a draw of `size` tokens; null: it would leave all. */
export function filtersOf(
  size: number,
  { topK, topP, minP }: Pick<GenerateRequest, "topK" | "topP" | "minP">,
): { topK: number | null; topP: number | null; minP: number | null } | null {
  const filters = {
    topK: topK !== null && topK < size ? topK : null,
    topP: topP !== null && topP < 1 ? topP : null,
    minP: minP !== null && minP > 0 ? minP : null,
  };
  return Object.values(filters).every((value) => value === null) ? null : filters;
}

/** top-k, then top-p of what is left, then min-p of what is left. `probabilities`: (V). */
export function candidatesOf(
  probabilities: Float32Array,
  sampling: Pick<GenerateRequest, "topK" | "topP" | "minP">,
): Candidates {
  const size = probabilities.length;
  const filters = filtersOf(size, sampling);
  if (filters === null) return { ids: null, weights: probabilities, total: sumOf(probabilities) };
  const { topK, topP, minP } = filters;
  roomFor(size);
  let count = topK === null ? null : atLeast(probabilities, kthLargest(probabilities, topK));
  if (topP !== null) count = nucleus(count, probabilities, topP);
  count ??= atLeast(probabilities, 0);
  if (minP !== null) count = likely(count, probabilities, minP);
  const ids = idRoom.subarray(0, count);
  const weights = weightRoom.subarray(0, count);
  for (let i = 0; i < count; i++) weights[i] = probabilities[ids[i] as number] as number;
  return { ids, weights, total: sumOf(weights) };
}

function sumOf(values: Float32Array): number {
  const size = values.length;
  let sum = 0;
  for (let i = 0; i < size; i++) sum += values[i] as number;
  return sum;
}

/** Puts the tokens whose value is at least `least` into the room, ascending; gives their number. */
function atLeast(values: Float32Array, least: number): number {
  const size = values.length;
  let count = 0;
  for (let id = 0; id < size; id++) if ((values[id] as number) >= least) idRoom[count++] = id;
  return count;
}

/** Leaves those of the room's first `count` tokens that are at least `minP` times as likely as the most likely one. */
function likely(count: number, probabilities: Float32Array, minP: number): number {
  let most = 0;
  for (let i = 0; i < count; i++) most = Math.max(most, probabilities[idRoom[i] as number] as number);
  let left = 0;
  for (let i = 0; i < count; i++) {
    const id = idRoom[i] as number;
    if ((probabilities[id] as number) >= minP * most) idRoom[left++] = id;
  }
  return left;
}

/**
 * Leaves the most likely of the room's first `count` tokens (null: of all) that together reach `topP`, in descending order: those
 * go whose sum with all less likely ones is at most 1 - p.
 */
function nucleus(count: number | null, probabilities: Float32Array, topP: number): number {
  // of all tokens, those below this cannot reach 1 - p together: they need not be sorted
  const few = count ?? atLeast(probabilities, (0.999 * (1 - topP)) / probabilities.length);
  let total = 0;
  if (count === null) total = sumOf(probabilities);
  else for (let i = 0; i < few; i++) total += probabilities[idRoom[i] as number] as number;
  sortByProbability(few, probabilities);
  let before = 0;
  for (let i = 0; i < few; i++) {
    if (before >= topP * total) return Math.max(1, i);
    before += probabilities[idRoom[i] as number] as number;
  }
  return few;
}

const idSpan = 2 ** 22;
const asFloat = new Float32Array(1);
const asBits = new Uint32Array(asFloat.buffer);

/**
 * Sorts the room's first `count` tokens, the most likely first, the lower id of two that are as likely. The bits of a positive
 * float32 order as it does: with the id in the lower digits, each token is one number, and numbers are sorted without a callback.
 */
function sortByProbability(count: number, probabilities: Float32Array): void {
  for (let i = 0; i < count; i++) {
    const id = idRoom[i] as number;
    asFloat[0] = probabilities[id] as number;
    keyRoom[i] = (asBits[0] as number) * idSpan + (idSpan - 1 - id);
  }
  keyRoom.subarray(0, count).sort();
  for (let i = 0; i < count; i++) idRoom[i] = idSpan - 1 - ((keyRoom[count - 1 - i] as number) % idSpan);
}

/** The k-th largest value, by a heap of the k largest met so far whose least is on top. */
function kthLargest(values: Float32Array, k: number): number {
  const heap = values.slice(0, k).sort();
  for (let i = k; i < values.length; i++) {
    const value = values[i] as number;
    if (value > (heap[0] as number)) sink(heap, value);
  }
  return heap[0] as number;
}

/** Puts `value` in the place of the heap's least. */
function sink(heap: Float32Array, value: number): void {
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && (heap[child + 1] as number) < (heap[child] as number)) child++;
    if ((heap[child] as number) >= value) break;
    heap[at] = heap[child] as number;
    at = child;
  }
  heap[at] = value;
}

/** The token at which the running sum of the weights passes `u` of their total. */
export function draw({ ids, weights, total }: Candidates, u: number): number {
  const size = weights.length;
  let rest = u * total;
  let last = 0;
  for (let i = 0; i < size; i++) {
    const weight = weights[i] as number;
    if (weight === 0) continue;
    rest -= weight;
    last = i;
    if (rest < 0) break;
  }
  return ids === null ? last : (ids[last] as number);
}

/** What log-probs under the distribution of the draw need of the candidates. */
export interface Law {
  /** The tokens kept; null: all. */
  kept: TokenSet | null;
  /** Σ of their probabilities. */
  total: number;
}

/** The distribution of the draw from `size` tokens, to be kept. */
export function lawOf({ ids, total }: Candidates, size: number): Law {
  return { kept: ids === null ? null : tokenSet(ids, size), total };
}
