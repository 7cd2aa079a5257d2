/** The held-out pairs whose change is recorded at every evaluation, for pictures and intervals. */
import { at } from "../base/at.ts";
import { describeOrigin, type Example } from "../data/example.ts";
import { promptKeyOf, rowKeyOf } from "../data/fingerprint.ts";
import { type EvaluationRecord, mostPairs, type RecordedRow } from "../runs/evaluation-records.ts";
import type { LabelledPair, PairChange } from "../train/displacement.ts";

/** Hexadecimal digits of a row's key. */
const keyDigits = 16;

/** A pair that is recorded: its place among the rows. */
export interface RecordedPair {
  at: number;
  row: RecordedRow;
  /** Which prompt it answers: pairs of one have the same number. */
  prompt: number;
}

/**
 * The pairs that are recorded, in the order of the rows: all, or those of the smallest keys, so that runs over the same rows in
 * another order, or over more of them, record the same ones.
 */
export function recordedPairs(
  examples: readonly Example[],
  labelled: readonly LabelledPair[] | null,
): RecordedPair[] {
  const recorded = (example: Example, place: number) => ({
    at: place,
    row: [describeOrigin(example.origin), rowKeyOf(example).slice(0, keyDigits)] as RecordedRow,
    key: promptKeyOf(example),
  });
  const all =
    labelled === null
      ? examples.flatMap((example, i) => (example.completions.length === 2 ? [recorded(example, i)] : []))
      : labelled.map(({ good, bad }, i) => {
          const [one, other] = [at(examples, good), at(examples, bad)];
          return recorded({ ...one, completions: [...one.completions, ...other.completions] }, i);
        });
  const smallest = all.toSorted((a, b) => (a.row[1] < b.row[1] ? -1 : 1)).slice(0, mostPairs);
  smallest.sort((a, b) => a.at - b.at);
  const numbers = new Map<string, number>();
  return smallest.map(({ key, ...pair }) => {
    const prompt = numbers.get(key) ?? numbers.size;
    numbers.set(key, prompt);
    return { ...pair, prompt };
  });
}

/** What is recorded of the pairs' changes: those that are finite, and how many are not. */
export function changesOf(
  changes: readonly PairChange[],
  recorded: readonly RecordedPair[],
): Pick<
  EvaluationRecord,
  "pair_changes" | "pair_rows" | "pair_margins" | "pair_prompts" | "pairs_not_finite"
> {
  const known = recorded.flatMap((pair) => {
    const change = changes[pair.at];
    return change === undefined ? [] : [{ ...pair, change }];
  });
  const pairs = known.filter(({ change }) => Object.values(change).every(Number.isFinite));
  const ruined = known.length - pairs.length;
  const notFinite = ruined === 0 ? {} : { pairs_not_finite: ruined };
  if (pairs.length === 0) return { pair_changes: [], ...notFinite };
  return {
    pair_changes: pairs.map(({ change }) => [rounded(change.chosen), rounded(change.rejected)]),
    pair_rows: pairs.map(({ row }) => row),
    pair_margins: pairs.map(({ change }) => rounded(change.margin)),
    pair_prompts: pairs.map(({ prompt }) => prompt),
    ...notFinite,
  };
}

/** Four decimals: a picture shows no more. */
export function rounded(value: number): number {
  return Math.round(value * 1e4) / 1e4;
}
