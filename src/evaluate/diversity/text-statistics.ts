/**
 * What a set of answers looks like, without judging what they say: diversity, repetition, length, proper ends. An answer
 * is a list of tokens or of words; the metrics of two sets can be compared when both hold equally many answers.
 */

import { ngrams, type TokenList } from "../../text/ngrams.ts";

/**
 * Distinct n-grams divided by all n-grams, over all `answers` together (distinct-n; Li et al. 2016, arXiv:1510.03055).
 * 1 when no n-gram comes twice, NaN when no answer is `n` long.
 */
export function distinctN(answers: readonly TokenList[], n: number): number {
  const all = answers.flatMap((answer) => ngrams(answer, n));
  return new Set(all).size / all.length;
}

/** Fraction of completions that ended with a stop token and were not cut at the length limit; NaN without answers. */
export function endedShare(answers: readonly { stopId: number | null }[]): number {
  return answers.filter((answer) => answer.stopId !== null).length / answers.length;
}

/** Mean number of tokens; NaN without answers. */
export function meanLength(answers: readonly TokenList[]): number {
  return answers.reduce((sum, answer) => sum + answer.length, 0) / answers.length;
}
