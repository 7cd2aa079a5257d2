/** Likelihood displacement: what training does to the log-probs of chosen and rejected completions alike. */
import { at } from "../base/at.ts";
import type { CompletionValues } from "../data/completion-values.ts";
import type { Example } from "../data/example.ts";
import { promptKeyOf } from "../data/fingerprint.ts";

/**
 * Likelihood displacement: how the completions' mean token log-probs moved since `before`, on the same rows.
 *
 * `frac_chosen_down` is the fraction of pairs whose chosen completion lost likelihood, `frac_both_down` and `frac_both_up` of
 * those where both moved one way. Pairs that are missing in either are left out; no pairs, no metrics.
 */
export function displacement(before: CompletionValues, now: CompletionValues): Record<string, number> {
  const pairs = pairChanges(before, now).filter(({ chosen }) => !Number.isNaN(chosen));
  if (pairs.length === 0) return {};
  const average = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const share = (test: (pair: { chosen: number; rejected: number }) => boolean) =>
    pairs.filter(test).length / pairs.length;
  const chosenOnly: Record<string, number> = {
    "logps/chosen_delta_init": average(pairs.map((p) => p.chosen)),
    "displacement/frac_chosen_down": share((p) => p.chosen < 0),
  };
  if (pairs.some((p) => Number.isNaN(p.rejected))) return chosenOnly;
  return {
    ...chosenOnly,
    "logps/rejected_delta_init": average(pairs.map((p) => p.rejected)),
    "displacement/frac_both_down": share((p) => p.chosen < 0 && p.rejected < 0),
    "displacement/frac_both_up": share((p) => p.chosen > 0 && p.rejected > 0),
  };
}

/** A good and a bad answer to one prompt: indices of their rows. */
export interface LabelledPair {
  good: number;
  bad: number;
}

/** Every good answer with every bad one to the same prompt. */
export function labelledPairs(examples: readonly Example[]): LabelledPair[] {
  const byPrompt = Map.groupBy(examples.keys(), (row) => promptKeyOf(at(examples, row)));
  return [...byPrompt.values()].flatMap((rows) => {
    const of = (label: boolean) => rows.filter((row) => examples[row]?.label === label);
    return of(true).flatMap((good) => of(false).map((bad) => ({ good, bad })));
  });
}

/** The change of each of `pairs`, in their order. */
export function labelledChanges(
  pairs: readonly LabelledPair[],
  before: CompletionValues,
  now: CompletionValues,
): PairChange[] {
  return pairs.map(({ good, bad }) => ({
    chosen: changeOf(good, before, now),
    rejected: changeOf(bad, before, now),
    margin: firstOf(now, good) - firstOf(now, bad),
  }));
}

/**
 * The same of rows of one labelled answer: changes of good and of bad answers, whatever their prompts; and of those that answer
 * one prompt what `displacement` and `pairAccuracy` say of pairs.
 *
 * @param changes - of the labelled pairs
 */
export function labelledDisplacement(
  examples: readonly Example[],
  changes: readonly PairChange[],
  before: CompletionValues,
  now: CompletionValues,
): Record<string, number> {
  const moved = (label: boolean) =>
    [...examples.keys()]
      .filter((row) => examples[row]?.label === label)
      .map((row) => changeOf(row, before, now))
      .filter((one) => !Number.isNaN(one));
  const average = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const share = <T>(all: readonly T[], test: (one: T) => boolean) => all.filter(test).length / all.length;
  const [good, bad] = [moved(true), moved(false)];
  const found: Record<string, number> = {};
  if (good.length > 0) {
    found["logps/chosen_delta_init"] = average(good);
    found["displacement/frac_chosen_down"] = share(good, (one) => one < 0);
  }
  if (bad.length > 0) found["logps/rejected_delta_init"] = average(bad);
  if (changes.length === 0) return found;
  found["displacement/frac_both_down"] = share(changes, ({ chosen, rejected }) => chosen < 0 && rejected < 0);
  found["displacement/frac_both_up"] = share(changes, ({ chosen, rejected }) => chosen > 0 && rejected > 0);
  found["logps/accuracies"] = average(changes.map(({ margin }) => rightness(margin)));
  return found;
}

/** What a pair of this margin counts in an accuracy: 1 where it is above 0, half for a tie, else 0, for a NaN too. */
export function rightness(margin: number): number {
  return margin > 0 ? 1 : margin === 0 ? 0.5 : 0;
}

/** The first answer's value. */
function firstOf(values: CompletionValues, row: number): number {
  return values.of(row)[0] ?? Number.NaN;
}

function changeOf(row: number, before: CompletionValues, now: CompletionValues): number {
  return firstOf(now, row) - firstOf(before, row);
}

/** How the mean token log-probs of a row's completions moved, nats. NaN for a completion that the row lacks. */
export interface PairChange {
  chosen: number;
  rejected: number;
  /** Chosen − rejected as they are now. */
  margin: number;
}

/** The change of each row's completions, in the order of the rows. */
export function pairChanges(before: CompletionValues, now: CompletionValues): PairChange[] {
  return Array.from({ length: Math.min(before.rows, now.rows) }, (_, row) => {
    const [chosenBefore = Number.NaN, rejectedBefore = Number.NaN] = before.of(row);
    const [chosen = Number.NaN, rejected = Number.NaN] = now.of(row);
    return {
      chosen: chosen - chosenBefore,
      rejected: rejected - rejectedBefore,
      margin: chosen - rejected,
    };
  });
}

/**
 * `logps/accuracies`: the fraction of pairs whose chosen completion has the higher mean token log-prob, a tie counted as half and a
 * pair with a NaN as wrong. Nothing where no row is a pair.
 */
export function pairAccuracy(now: CompletionValues): Record<string, number> {
  let [pairs, right] = [0, 0];
  for (let row = 0; row < now.rows; row++) {
    const [chosen, rejected] = now.of(row);
    if (chosen === undefined || rejected === undefined) continue;
    pairs += 1;
    if (chosen > rejected) right += 1;
    else if (chosen === rejected) right += 0.5;
  }
  return pairs === 0 ? {} : { "logps/accuracies": right / pairs };
}
