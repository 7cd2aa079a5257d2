/**
 * From logits to tokens: repetition penalty, temperature, top-k, top-p and min-p with the meaning and in the order that
 * transformers gives them, then the draw; log-probs under the distribution of the draw, and under the model itself, before any of these.
 */
import { at } from "../base/at.ts";
import { FormatError } from "../base/errors.ts";
import { isGreedyAt } from "../base/temperature.ts";
import { isGpu, ops, type Tensor, tensor } from "../torch/index.ts";
import { candidatesOf, draw, filtersOf, type Law, lawOf } from "./candidates.ts";
import type { Choice, ChoiceRow } from "./choice.ts";
import { drawOnGpu } from "./draw-on-gpu.ts";

/** A drawn token before its log-prob under the model. */
type Draw = Pick<Choice, "id" | "sampling">;

/**
 * Draws tokens: `rows.length` lists, each with a choice for every number stream of its row; null for a row of which a logit is not finite.
 *
 * @param logits - (R, V) float32 for R rows; left as it is
 */
export function chooseTokens(logits: Tensor, rows: readonly ChoiceRow[]): (Choice[] | null)[] {
  if (isGpu(logits.device) && rows.every((row) => isPlain(row, logits.size(1))))
    return drawOnGpu(logits, rows);
  const raw = ops.contiguous(ops.to(logits, "cpu", "float32"));
  const greatest = ops.greatest(raw).toNumbers();
  if (greatest.every((place) => place >= 0)) return choicesOf(raw, rows, greatest);
  const fine = [...rows.keys()].filter((i) => at(greatest, i) >= 0);
  const choices = rows.map((): Choice[] | null => null);
  if (fine.length === 0) return choices;
  const kept = ops.indexSelect(raw, 0, tensor(fine, [fine.length], { dtype: "int64" }));
  const drawn = choicesOf(
    kept,
    fine.map((i) => at(rows, i)),
    fine.map((i) => at(greatest, i)),
  );
  for (const [j, i] of fine.entries()) choices[i] = at(drawn, j);
  return choices;
}

/** What is wrong with a row that has no choice. */
export function notFinite(): FormatError {
  return new FormatError(
    "the model's logits are not finite, though every weight is: its numbers grow too large on the way. Compute in float32 " +
      "(--dtype float32); if that is no better, the weights are damaged or diverged in training.",
  );
}

/** The choices from rows whose logits are all finite. `greatest`: the place of each row's greatest. */
function choicesOf(raw: Tensor, rows: readonly ChoiceRow[], greatest: readonly number[]): Choice[][] {
  const draws = drawTokens(raw, rows, greatest);
  if (rows.every(({ sampling }) => sampling.logprobs === null)) {
    return draws.map((row) => row.map((drawn) => ({ ...drawn, logprob: null, top: [] })));
  }
  return withLogprobs(raw, rows, draws);
}

function drawTokens(raw: Tensor, rows: readonly ChoiceRow[], greatest: readonly number[]): Draw[][] {
  const logits = penalised(raw, rows);
  const greedy = logits === raw ? greatest : ops.greatest(logits).toNumbers();
  if (rows.every(isGreedy)) return rows.map(({ randoms }, i) => randoms.map(() => ({ id: at(greedy, i) })));
  const temperatures = rows.map((row) => (isGreedy(row) ? 1 : row.sampling.temperature));
  // the greatest logit is 0 first: however cold, it stays finite, and the others go to -inf at most
  const below = ops.sub(logits, ops.amax(logits, [-1], true));
  const scaled = ops.div(below, tensor(temperatures, [rows.length, 1]));
  const probabilities = ops.softmax(scaled, -1);
  const drawn: DrawnRow[] = [];
  for (const [i, values] of rowsOf(probabilities)) drawn.push(drawnFrom(values, at(rows, i), greedy[i] ?? 0));
  if (drawn.every(({ law }) => law === null)) return drawn.map(({ ids }) => ids.map((id) => ({ id })));
  return withLaws(drawn, { below, probabilities, temperatures });
}

/** The draws from a row of probabilities, and its distribution. `greedy`: the most likely token, which a greedy row takes. */
function drawnFrom(probabilities: Float32Array, row: ChoiceRow, greedy: number): DrawnRow {
  if (isGreedy(row)) return { ids: row.randoms.map(() => greedy), law: null };
  const candidates = candidatesOf(probabilities, row.sampling);
  const ids = row.randoms.map((random) => draw(candidates, random.next()));
  return {
    ids,
    law: row.sampling.samplingLogprobs === true ? lawOf(candidates, probabilities.length) : null,
  };
}

/** Drawn tokens of a row. */
interface DrawnRow {
  ids: readonly number[];
  /** Null unless asked for. */
  law: Law | null;
}

/**
 * The draws with their log-probs, (logit - greatest logit) / temperature - ln Σ p / max p over the tokens kept: float64 on float32
 * numbers.
 *
 * @param scores.below - (R, V): logits less the greatest of each row
 * @param scores.probabilities - (R, V), of which the greatest are always kept
 */
function withLaws(
  drawn: readonly DrawnRow[],
  scores: { below: Tensor; probabilities: Tensor; temperatures: readonly number[] },
): Draw[][] {
  const { below, probabilities, temperatures } = scores;
  const greatest = ops.amax(probabilities, [-1]).toNumbers();
  const logits = valuesAt(
    below,
    drawn.map(({ ids }) => ids),
  );
  return drawn.map(({ ids, law }, i) => {
    if (law === null) return ids.map((id) => ({ id }));
    const normaliser = Math.log(law.total / at(greatest, i));
    return ids.map((id, j) => ({
      id,
      sampling: { logprob: at(at(logits, i), j) / at(temperatures, i) - normaliser, kept: law.kept },
    }));
  });
}

/** The numbers of `x` (R, V) at R lists of columns. */
function valuesAt(x: Tensor, columns: readonly (readonly number[])[]): number[][] {
  const width = x.size(1);
  const places = columns.flatMap((ids, i) => ids.map((id) => i * width + id));
  const wanted = tensor(places, [places.length], { dtype: "int64" });
  const values = ops.indexSelect(ops.reshape(x, [-1]), 0, wanted).toNumbers();
  let next = 0;
  return columns.map((ids) => ids.map(() => at(values, next++)));
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
    const values = ops.select(raw, 0, i).data(roomFor(raw.size(1))) as Float32Array;
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

/** Whether nothing but the temperature decides about the draw from V logits, and no log-probs under the model are asked for. */
function isPlain(row: ChoiceRow, size: number): boolean {
  return filtersOf(size, row.sampling) === null && row.sampling.logprobs === null && !isChanged(row);
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

// used again and again: an array for every pass would wait for the garbage collector
let room: Float32Array<ArrayBuffer> = new Float32Array(0);

function roomFor(numbers: number): Float32Array<ArrayBuffer> {
  if (room.length < numbers) room = new Float32Array(numbers);
  return room;
}

/** Numbers read from torch at once. */
const numbersAtOnce = 2 ** 18;

/** The rows of `x` (R, V) float32 with their places. Each is to be used before the next is asked for. */
function* rowsOf(x: Tensor): Generator<[number, Float32Array]> {
  const [count, width] = [x.size(0), x.size(1)];
  const together = Math.max(1, Math.floor(numbersAtOnce / width));
  for (let first = 0; first < count; first += together) {
    const some = Math.min(together, count - first);
    const values = ops.narrow(x, 0, first, some).data(roomFor(some * width)) as Float32Array;
    for (let i = 0; i < some; i++) yield [first + i, values.subarray(i * width, (i + 1) * width)];
  }
}

function withLogprobs(
  raw: Tensor,
  rows: readonly ChoiceRow[],
  draws: readonly (readonly Draw[])[],
): Choice[][] {
  const asked = rows.map(({ sampling }) => sampling.logprobs);
  const ids = draws.map((row) => row.map(({ id }) => id));
  const logprobs = tokenLogprobs(raw, ids, Math.max(...asked.map((count) => count ?? 0)));
  return draws.map((row, i) =>
    row.map((drawn, j) => {
      const count = asked[i] ?? null;
      const { logprob, top } = at(at(logprobs, i), j);
      return count === null
        ? { ...drawn, logprob: null, top: [] }
        : { ...drawn, logprob, top: top.slice(0, count) };
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
  const logits = valuesAt(raw, tokens);
  const most = Math.min(size, alternatives);
  const [topValues = [], topIds = []] = most > 0 ? ops.topk(raw, most).map((t) => t.toNumbers()) : [[], []];
  return tokens.map((ids, i) => {
    const sum = at(sums, i);
    const top = Array.from({ length: most }, (_, j) => ({
      id: at(topIds, i * most + j),
      logprob: at(topValues, i * most + j) - sum,
    }));
    return ids.map((id, j) => ({ id, logprob: at(at(logits, i), j) - sum, top }));
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
