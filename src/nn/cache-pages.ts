/** Pages of the cache of keys and values: how tokens fill them. */

/** Tokens of a page: `kPage` in `native/paged-attention.h`. */
export const pageTokens = 32;

/** Pages that `tokens` take. */
export function pagesFor(tokens: number): number {
  return Math.ceil(tokens / pageTokens);
}
