/** Micro-batches of ranks that wait for each other: rows exchanged until none of them waits much. */
import { at } from "../base/at.ts";

/** One row of a step. */
export interface StepRow {
  /** Which example it is. */
  index: number;
  /** Packed tokens. */
  tokens: number;
  /** How long it takes, in any unit: its FLOPs. */
  cost: number;
}

/** Rows that are computed at once, and what they add up to. */
export interface Bin {
  rows: StepRow[];
  tokens: number;
  cost: number;
}

/** A bin and where it is. */
interface Slot {
  bin: Bin;
  rank: number;
  round: number;
}

/** The largest of some numbers, whose it is, and the largest of the others. */
interface Largest {
  value: number;
  whose: number;
  others: number;
}

/** A row of one slot against a cheaper one of another. */
interface Exchange {
  from: Slot;
  to: Slot;
  given: StepRow;
  taken: StepRow;
  /** Length of the step after it. */
  length: number;
}

/** Exchanges tried at most. Each makes the step shorter, so they end by themselves, mostly within a hundred. */
const mostExchanges = 300;

/**
 * Exchanges single rows between the bins of `hands` (`[rank][round]`) in place while that makes the step shorter.
 *
 * Its length is taken as the sum of two: the rounds' most expensive bins, since ranks that hold shards wait for each other in
 * each, and the most expensive rank, since those with a whole model wait at the end.
 *
 * @param limit - tokens of a bin with more than one row at most; null: any
 */
export function exchangeRows(hands: readonly (readonly Bin[])[], limit: number | null): void {
  const slots = hands.flatMap((bins, rank) => bins.map((bin, round): Slot => ({ bin, rank, round })));
  for (let count = 0; count < mostExchanges; count++) {
    const best = bestExchange(slots, new Waits(hands), limit);
    if (best === null) return;
    const { from, to, given, taken } = best;
    replace(from.bin, given, taken);
    replace(to.bin, taken, given);
  }
}

function replace(bin: Bin, old: StepRow, row: StepRow): void {
  bin.rows[bin.rows.indexOf(old)] = row;
  bin.tokens += row.tokens - old.tokens;
  bin.cost += row.cost - old.cost;
}

/** The exchange after which the step is shortest; null when none makes it shorter. Only bins that others wait for give. */
function bestExchange(slots: readonly Slot[], waits: Waits, limit: number | null): Exchange | null {
  let best: Exchange | null = null;
  // rounding alone is no progress
  const beyond = { least: waits.value * (1 - 1e-9), waits, limit };
  for (const from of slots.filter((slot) => waits.areFor(slot)))
    for (const given of from.bin.rows)
      for (const to of slots) best = better({ from, to, given }, best, beyond);
  return best;
}

/** The best exchange of one row for those of one slot, where it leaves a shorter step than `best` and fits. */
function better(
  { from, to, given }: Pick<Exchange, "from" | "to" | "given">,
  best: Exchange | null,
  { least, waits, limit }: { least: number; waits: Waits; limit: number | null },
): Exchange | null {
  if (from === to) return best;
  let found = best;
  for (const taken of to.bin.rows) {
    if (given.cost <= taken.cost) continue;
    const length = waits.after(from, to, given.cost - taken.cost);
    if (length >= (found?.length ?? least)) continue;
    if (!fits(from.bin, given, taken, limit) || !fits(to.bin, taken, given, limit)) continue;
    found = { from, to, given, taken, length };
  }
  return found;
}

function fits(bin: Bin, old: StepRow, row: StepRow, limit: number | null): boolean {
  return limit === null || bin.rows.length === 1 || bin.tokens + row.tokens - old.tokens <= limit;
}

/** Who waits for whom. */
class Waits {
  /** Length of the step. */
  readonly value: number;
  readonly #sums: readonly number[];
  readonly #rank: Largest;
  readonly #rounds: readonly Largest[];

  constructor(hands: readonly (readonly Bin[])[]) {
    this.#sums = hands.map((bins) => bins.reduce((sum, { cost }) => sum + cost, 0));
    this.#rank = largest(this.#sums);
    this.#rounds = at(hands, 0).map((_, round) => largest(hands.map((bins) => at(bins, round).cost)));
    this.value = this.#rounds.reduce((sum, { value }) => sum + value, this.#rank.value);
  }

  /** Whether other ranks wait for this bin, or for its rank. */
  areFor({ rank, round }: Slot): boolean {
    return rank === this.#rank.whose || rank === at(this.#rounds, round).whose;
  }

  /** Length of the step when `saved` goes from a bin that is waited for to another. */
  after(from: Slot, to: Slot, saved: number): number {
    const giver = at(this.#rounds, from.round);
    const taker = at(this.#rounds, to.round);
    const left = Math.max(without(giver, from.rank), from.bin.cost - saved);
    const grown = to.bin.cost + saved;
    let value = this.value - this.#rank.value + this.#longestRank(from.rank, to.rank, saved);
    if (from.round === to.round) value += Math.max(left, grown) - giver.value;
    else value += left - giver.value + Math.max(taker.value, grown) - taker.value;
    return value;
  }

  #longestRank(from: number, to: number, saved: number): number {
    if (from === to) return this.#rank.value;
    return Math.max(without(this.#rank, from), at(this.#sums, from) - saved, at(this.#sums, to) + saved);
  }
}

function largest(numbers: readonly number[]): Largest {
  const result: Largest = { value: -1, whose: -1, others: -1 };
  for (const [whose, value] of numbers.entries()) {
    if (value > result.value) Object.assign(result, { value, whose, others: result.value });
    else result.others = Math.max(result.others, value);
  }
  return result;
}

/** The largest of all but one. */
function without({ value, whose, others }: Largest, who: number): number {
  return who === whose ? others : value;
}
