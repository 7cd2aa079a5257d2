/** How the rows of one optimiser step are divided: over micro-batches, and these over ranks. */
import { at } from "../base/at.ts";
import { ConfigError } from "../base/errors.ts";
import { type Bin, exchangeRows, type StepRow } from "./step-balance.ts";

/** Sizes of micro-batches, under the names of a run's configuration. */
export interface DivisionOptions {
  /** Rows of a micro-batch at most; Infinity: any number. */
  per_device_train_batch_size: number;
  /** Tokens of a micro-batch at most. A row longer than this has a micro-batch to itself. */
  max_tokens_per_micro_batch?: number | null;
  /** Over how many ranks. Default 1. */
  ranks?: number;
}

/**
 * Examples of each micro-batch of each rank: `[rank][micro-batch]`, within a micro-batch in the order of `rows`.
 *
 * All ranks have equally many micro-batches, and those with the same number cost about the same, since ranks that hold shards
 * wait for each other in each. One is empty only where there are fewer rows than micro-batches. On one rank rows are taken in
 * order, or under a limit of tokens packed first-fit decreasing. On several there are no more micro-batches than that makes, rounded
 * up to equally many: filled with the most expensive row first, each into the cheapest with room (or packed as on one rank where
 * tokens leave no room that way), and then single rows are exchanged while that shortens the step.
 *
 * @param rows - of the step, in the order of the epoch
 * @throws ConfigError when the number of ranks is not a whole number of at least 1
 */
export function divideStep(rows: readonly StepRow[], options: DivisionOptions): number[][][] {
  const { ranks = 1 } = options;
  if (!Number.isSafeInteger(ranks) || ranks < 1)
    throw new ConfigError(`ranks: expected a whole number of at least 1, got ${ranks}.`);
  const place = new Map(rows.map((row, position) => [row, position]));
  const inOrder = (a: StepRow, b: StepRow): number => (place.get(a) ?? 0) - (place.get(b) ?? 0);
  const indices = ({ rows: taken }: Bin): number[] => taken.toSorted(inOrder).map(({ index }) => index);
  const packed = pack(rows, options);
  if (ranks === 1) return [packed.map(indices)];
  const rounds = Math.ceil(packed.length / ranks);
  const bins = fill(rows, rounds * ranks, options) ?? spread(packed, rounds * ranks);
  const hands = deal(bins, ranks);
  exchangeRows(hands, options.max_tokens_per_micro_batch ?? null);
  return hands.map((own) => own.map(indices));
}

/** As few micro-batches as chunks, or first-fit decreasing, make of the rows. */
function pack(rows: readonly StepRow[], options: DivisionOptions): Bin[] {
  const limit = options.max_tokens_per_micro_batch ?? null;
  if (limit !== null) return firstFitDecreasing(rows, options);
  return chunks(rows, options.per_device_train_batch_size).map((taken) => taken.reduce(add, empty()));
}

function firstFitDecreasing(rows: readonly StepRow[], options: DivisionOptions): Bin[] {
  const bins: Bin[] = [];
  for (const row of rows.toSorted((a, b) => b.tokens - a.tokens)) {
    const bin = bins.find((one) => hasRoom(one, row, options));
    if (bin === undefined) bins.push(add(empty(), row));
    else add(bin, row);
  }
  return bins;
}

/** The most expensive row first, each into the cheapest bin with room; null when a row finds none. */
function fill(rows: readonly StepRow[], count: number, options: DivisionOptions): Bin[] | null {
  const bins = Array.from({ length: count }, empty);
  for (const row of rows.toSorted((a, b) => b.cost - a.cost)) {
    let best: Bin | null = null;
    for (const bin of bins)
      if (hasRoom(bin, row, options) && (best === null || isCheaper(bin, best))) best = bin;
    if (best === null) return null;
    add(best, row);
  }
  return bins;
}

function isCheaper(a: Bin, b: Bin): boolean {
  return a.cost === b.cost ? a.rows.length < b.rows.length : a.cost < b.cost;
}

function hasRoom(bin: Bin, row: StepRow, options: DivisionOptions): boolean {
  const { per_device_train_batch_size: most, max_tokens_per_micro_batch: limit } = options;
  if (bin.rows.length === 0) return true;
  return bin.rows.length < most && bin.tokens + row.tokens <= (limit ?? Number.POSITIVE_INFINITY);
}

/** The bins and more of them, `count` in all: into each goes the shortest row of the most expensive that has several. */
function spread(packed: readonly Bin[], count: number): Bin[] {
  const bins = [...packed];
  while (bins.length < count) {
    const source = bins.filter(({ rows }) => rows.length > 1).sort((a, b) => b.cost - a.cost)[0];
    const row = source?.rows.pop();
    if (source !== undefined && row !== undefined) {
      source.tokens -= row.tokens;
      source.cost -= row.cost;
    }
    bins.push(row === undefined ? empty() : add(empty(), row));
  }
  return bins;
}

/** Bins of each rank, the most expensive first: in each round the rank that has least so far takes the most expensive left. */
function deal(bins: readonly Bin[], ranks: number): Bin[][] {
  const hands = Array.from({ length: ranks }, () => ({ bins: [] as Bin[], cost: 0 }));
  for (const round of chunks(
    bins.toSorted((a, b) => b.cost - a.cost),
    ranks,
  )) {
    const byCost = hands.toSorted((a, b) => a.cost - b.cost);
    for (const [turn, bin] of round.entries()) {
      const hand = at(byCost, turn);
      hand.bins.push(bin);
      hand.cost += bin.cost;
    }
  }
  return hands.map((hand) => hand.bins);
}

function empty(): Bin {
  return { rows: [], tokens: 0, cost: 0 };
}

function add(bin: Bin, row: StepRow): Bin {
  bin.rows.push(row);
  bin.tokens += row.tokens;
  bin.cost += row.cost;
  return bin;
}

/** `items` cut into parts of `size`; the last may be smaller. */
export function chunks<T>(items: readonly T[], size: number): T[][] {
  const parts: T[][] = [];
  for (let start = 0; start < items.length; start += size) parts.push(items.slice(start, start + size));
  return parts;
}
