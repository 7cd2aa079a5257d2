/** Runs of neighbouring tokens or words, and how many come again. */

/** A list of tokens (ids) or words. */
export type TokenList = readonly (number | string)[];

/** The runs of `n` neighbours, each as a string that tells it from all others. */
export function ngrams(list: TokenList, n: number): string[] {
  const count = Math.max(0, list.length - n + 1);
  return Array.from({ length: count }, (_, i) => JSON.stringify(list.slice(i, i + n)));
}

/**
 * Fraction of n-grams that came before in the same list, over all `lists`: 0 without repetition, towards 1 in a loop.
 * NaN when no list is `n` long.
 */
export function repeatedShare(lists: readonly TokenList[], n: number): number {
  let repeated = 0;
  let all = 0;
  for (const list of lists) {
    const own = ngrams(list, n);
    repeated += own.length - new Set(own).size;
    all += own.length;
  }
  return repeated / all;
}
