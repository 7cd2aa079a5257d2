/**
 * From logits to tokens: repetition penalty, temperature, top-k, top-p and min-p with the meaning and in the order that
 * transformers gives them, then the draw; and log-probs under the model itself, before any of these.
 */
import { at } from "../base/at.ts";
import { FormatError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { isGreedyAt } from "../base/temperature.ts";
import { ops, type Tensor, tensor } from "../torch/index.ts";
import type { GenerateRequest } from "./request.ts";

/** How a token is drawn. */
export type Sampling = Pick<
  GenerateRequest,
  | "temperature"
  | "topK"
  | "topP"
  | "minP"
  | "repetitionPenalty"
  | "presencePenalty"
  | "frequencyPenalty"
  | "logitBias"
  | "logprobs"
>;

/** A row of logits and the draws from it. */
export interface ChoiceRow {
  sampling: Sampling;
  /** Tokens that the repetition penalty falls on. */
  seen: ReadonlySet<number>;
  /** Tokens of the answer so far, which presence and frequency penalty fall on; default none. */
  drawn?: readonly number[];
  /** A stream of numbers for each draw from this row. */
  randoms: readonly Pick<Random, "next">[];
}

/** A drawn token. */
export interface Choice {
  id: number;
  /** ln p under the model; null unless asked for. */
  logprob: number | null;
  /** The most likely tokens under the model, as many as asked for. */
  top: { id: number; logprob: number }[];
}

/**
 * Draws tokens: `rows.length` lists, each with a choice for every number stream of its row.
 *
 * @param logits - (R, V) float32 for R rows; left as it is
 * @throws {FormatError} if one of them is not finite
 */
export function chooseTokens(logits: Tensor, rows: readonly ChoiceRow[]): Choice[][] {
  const raw = ops.contiguous(ops.to(logits, "cpu", "float32"));
  requireFiniteLogits(raw);
  const ids = drawIds(raw, rows);
  if (rows.every(({ sampling }) => sampling.logprobs === null)) {
    return ids.map((row) => row.map((id) => ({ id, logprob: null, top: [] })));
  }
  return withLogprobs(raw, rows, ids);
}

function requireFiniteLogits(raw: Tensor): void {
  if (ops.aminmax(raw).every((extreme) => Number.isFinite(extreme.item()))) return;
  throw new FormatError(
    "the model's logits are not finite, though every weight is: its numbers grow too large on the way. Compute in float32 " +
      "(--dtype float32); if that is no better, the weights are damaged or diverged in training.",
  );
}

function drawIds(raw: Tensor, rows: readonly ChoiceRow[]): number[][] {
  const logits = penalised(raw, rows);
  const greedy = rows.some(isGreedy) ? ops.argmax(logits, -1).toNumbers() : [];
  if (rows.every(isGreedy)) return rows.map(({ randoms }, i) => randoms.map(() => at(greedy, i)));
  const temperatures = rows.map((row) => (isGreedy(row) ? 1 : row.sampling.temperature));
  // the greatest logit is 0 first: however cold, it stays finite, and the others go to -inf at most
  const below = ops.sub(logits, ops.amax(logits, [-1], true));
  const scaled = ops.div(below, tensor(temperatures, [rows.length, 1]));
  const probabilities = ops.softmax(scaled, -1);
  return rows.map((row, i) => {
    if (isGreedy(row)) return row.randoms.map(() => at(greedy, i));
    const candidates = filter(rowOf(probabilities, i), row.sampling);
    return row.randoms.map((random) => draw(candidates, random.next()));
  });
}

function isGreedy({ sampling }: ChoiceRow): boolean {
  return isGreedyAt(sampling.temperature);
}

/**
 * Logits after bias and penalties: the repetition penalty of Keskar et al. 2019 (arXiv:1909.05858) as transformers has it,
 * presence and frequency penalty as OpenAI's API reference defines them.
 */
function penalised(raw: Tensor, rows: readonly ChoiceRow[]): Tensor {
  if (!rows.some(isChanged)) return raw;
  const changed = ops.clone(raw);
  for (const [i, row] of rows.entries()) {
    if (!isChanged(row)) continue;
    const values = rowOf(raw, i);
    change(values, row);
    ops.copy_(ops.select(changed, 0, i), tensor(values));
  }
  return changed;
}

function isChanged({ sampling, drawn = [] }: ChoiceRow): boolean {
  const { repetitionPenalty, presencePenalty = 0, frequencyPenalty = 0, logitBias } = sampling;
  const isPenalised = drawn.length > 0 && (presencePenalty !== 0 || frequencyPenalty !== 0);
  return (repetitionPenalty ?? 1) !== 1 || isPenalised || (logitBias?.size ?? 0) > 0;
}

/** Bias, repetition penalty, then frequency and presence penalty, in the order that vLLM has them. */
function change(values: Float32Array, { sampling, seen, drawn = [] }: ChoiceRow): void {
  const { presencePenalty = 0, frequencyPenalty = 0, logitBias = new Map<number, number>() } = sampling;
  const add = (id: number, amount: number) => {
    if (id < values.length) values[id] = finite((values[id] as number) + amount);
  };
  for (const [id, bias] of logitBias) add(id, bias);
  const penalty = sampling.repetitionPenalty ?? 1;
  for (const id of penalty === 1 ? [] : seen) {
    if (id >= values.length) continue;
    const logit = values[id] as number;
    values[id] = finite(logit < 0 ? logit * penalty : logit / penalty);
  }
  if (frequencyPenalty !== 0) for (const id of drawn) add(id, -frequencyPenalty);
  if (presencePenalty !== 0) for (const id of new Set(drawn)) add(id, -presencePenalty);
}

const greatestFloat32 = 3.4028234663852886e38;

/** What float32 can hold of `logit`: an infinite one would be no number after the softmax. */
function finite(logit: number): number {
  return Math.max(-greatestFloat32, Math.min(greatestFloat32, logit));
}

// of one row, used again and again: an array for every pass would wait for the garbage collector
let room = new Float32Array(0);

/** Row `i` of `x` (R, V) float32, until the next row is asked for. */
function rowOf(x: Tensor, i: number): Float32Array {
  if (room.length !== x.size(1)) room = new Float32Array(x.size(1));
  return ops.select(x, 0, i).data(room) as Float32Array;
}

/** Tokens that may be drawn, with numbers in proportion to their probabilities; `ids` null: the index is the token. */
interface Candidates {
  ids: readonly number[] | null;
  weights: ArrayLike<number>;
}

/** top-k, then top-p of what is left, then min-p of what is left. */
function filter(probabilities: Float32Array, { topK, topP, minP }: Sampling): Candidates {
  const size = probabilities.length;
  const filtersK = topK !== null && topK < size;
  const filtersP = topP !== null && topP < 1;
  if (!filtersK && !filtersP && minP === null) return { ids: null, weights: probabilities };
  let ids = filtersK ? atLeast(probabilities, kthLargest(probabilities, topK)) : null;
  if (filtersP) ids = nucleus(ids, probabilities, topP);
  ids ??= atLeast(probabilities, 0);
  if (minP !== null) {
    let most = 0;
    for (const id of ids) most = Math.max(most, probabilities[id] as number);
    ids = ids.filter((id) => (probabilities[id] as number) >= minP * most);
  }
  return { ids, weights: ids.map((id) => probabilities[id] as number) };
}

function atLeast(values: Float32Array, least: number): number[] {
  const ids: number[] = [];
  for (let id = 0; id < values.length; id++) if ((values[id] as number) >= least) ids.push(id);
  return ids;
}

/**
 * The most likely of `ids` (null: of all) that together reach `topP`: those go whose sum with all less likely ones is at most
 * 1 - p.
 */
function nucleus(ids: readonly number[] | null, probabilities: Float32Array, topP: number): number[] {
  const chance = (id: number): number => probabilities[id] as number;
  // of all tokens, those below this cannot reach 1 - p together: they need not be sorted
  const few = ids ?? atLeast(probabilities, (0.999 * (1 - topP)) / probabilities.length);
  const sorted = [...few].sort((a, b) => chance(b) - chance(a));
  const total =
    ids === null ? probabilities.reduce((a, b) => a + b, 0) : few.reduce((a, id) => a + chance(id), 0);
  let before = 0;
  const end = sorted.findIndex((id) => {
    const isOut = before >= topP * total;
    before += chance(id);
    return isOut;
  });
  return end < 0 ? sorted : sorted.slice(0, Math.max(1, end));
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
function draw({ ids, weights }: Candidates, u: number): number {
  let total = 0;
  for (let i = 0; i < weights.length; i++) total += weights[i] as number;
  let rest = u * total;
  let last = 0;
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i] as number;
    if (weight === 0) continue;
    rest -= weight;
    last = i;
    if (rest < 0) break;
  }
  return ids === null ? last : at(ids, last);
}

function withLogprobs(
  raw: Tensor,
  rows: readonly ChoiceRow[],
  drawn: readonly (readonly number[])[],
): Choice[][] {
  const asked = rows.map(({ sampling }) => sampling.logprobs);
  const logprobs = tokenLogprobs(raw, drawn, Math.max(...asked.map((count) => count ?? 0)));
  return logprobs.map((row, i) =>
    row.map(({ id, logprob, top }) => {
      const count = asked[i] ?? null;
      return count === null ? { id, logprob: null, top: [] } : { id, logprob, top: top.slice(0, count) };
    }),
  );
}

/**
 * Log-probs of the tokens of each row, and of its `alternatives` most likely ones.
 *
 * @param raw - (R, V) float32 on the CPU, contiguous
 * @param tokens - R lists of ids
 */
function tokenLogprobs(
  raw: Tensor,
  tokens: readonly (readonly number[])[],
  alternatives: number,
): (Choice & { logprob: number })[][] {
  const size = raw.size(1);
  const [greatest, totals] = ops.expRows_(ops.clone(raw)).map((t) => t.toNumbers()) as [number[], number[]];
  const sums = greatest.map((max, i) => max + Math.log(at(totals, i)));
  const places = tokens.flatMap((ids, i) => ids.map((id) => i * size + id));
  const wanted = tensor(places, [places.length], { dtype: "int64" });
  const logits = ops.indexSelect(ops.reshape(raw, [-1]), 0, wanted).toNumbers();
  const most = Math.min(size, alternatives);
  const [topValues = [], topIds = []] = most > 0 ? ops.topk(raw, most).map((t) => t.toNumbers()) : [[], []];
  let next = 0;
  return tokens.map((ids, i) => {
    const sum = at(sums, i);
    const top = Array.from({ length: most }, (_, j) => ({
      id: at(topIds, i * most + j),
      logprob: at(topValues, i * most + j) - sum,
    }));
    return ids.map((id) => ({ id, logprob: at(logits, next++) - sum, top }));
  });
}

/**
 * Log-probs of one token a row, and of its `alternatives` most likely ones.
 *
 * @param logits - (R, V)
 * @param ids - R ids
 */
export function logprobsOf(logits: Tensor, ids: readonly number[], alternatives: number): Choice[] {
  const raw = ops.contiguous(ops.to(logits, "cpu", "float32"));
  return tokenLogprobs(
    raw,
    ids.map((id) => [id]),
    alternatives,
  ).flat();
}
