/** Where a prompt ends and an answer begins, in token ids and in text, and how to show that two renderings differ. */

/** Number of leading elements that `a` and `b` have in common. Works on token ids and on strings. */
export function commonPrefixLength<T extends string | readonly number[]>(a: T, b: T): number {
  const length = Math.min(a.length, b.length);
  let i = 0;
  while (i < length && a[i] === b[i]) i++;
  return i;
}

/** A prompt's tokens and the continuations of each full sequence after them. */
export interface SharedPrompt {
  promptIds: number[];
  continuations: number[][];
  /** Tokens of the prompt that went to the answers, because they merge with an answer's first tokens. */
  moved: number;
}

/**
 * The prompt without an answer, where `promptIds` do not identify it: some of its tokens went to the answer, or a
 * single one is left, which is what running text has.
 */
export function aloneOf(prompt: number[], promptIds: readonly number[]): { promptAlone?: number[] } {
  return prompt.length === promptIds.length && prompt.length > 1 ? {} : { promptAlone: prompt };
}

/**
 * The prompt and its continuations, split at one boundary that holds for all of them:
 * the longest beginning of `promptIds` that every full sequence shares.
 */
export function splitAtBoundary(promptIds: number[], fulls: readonly number[][]): SharedPrompt {
  const boundary = Math.min(promptIds.length, ...fulls.map((ids) => commonPrefixLength(promptIds, ids)));
  return {
    promptIds: promptIds.slice(0, boundary),
    continuations: fulls.map((ids) => ids.slice(boundary)),
    moved: promptIds.length - boundary,
  };
}

/** The place where two texts part, with some text before it and after it on both sides, as one line. */
export function describeDifference(expected: string, actual: string): string {
  const at = commonPrefixLength(expected, actual);
  const before = JSON.stringify(expected.slice(Math.max(0, at - 30), at));
  const show = (text: string): string =>
    at < text.length ? JSON.stringify(text.slice(at, at + 40)) : "nothing";
  return `after ${before} the prompt alone has ${show(expected)}, with the answer there is ${show(actual)}`;
}
