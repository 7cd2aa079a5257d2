/** How many pages of the cache a prompt and its answers take, and how long answers may be in a given number of them. */
import { pagesFor, pageTokens } from "../nn/cache-pages.ts";

/** Pages of the full ones of a prompt, and for each answer of what follows them: the newest token is in none. */
export function mostPagesOf(prompt: number, n: number, maxNewTokens: number): number {
  const full = Math.floor(prompt / pageTokens);
  const after = (prompt % pageTokens) + Math.max(0, maxNewTokens - 1);
  return Math.max(pagesFor(prompt), full + n * pagesFor(after));
}

/** The longest of `n` answers that a cache of `tokens` has room for; below 1 where not even one token of each fits. */
export function longestIn(tokens: number, prompt: number, n: number): number {
  const pages = Math.floor(tokens / pageTokens);
  if (pagesFor(prompt) > pages) return 0;
  const each = Math.floor((pages - Math.floor(prompt / pageTokens)) / n);
  return each * pageTokens - (prompt % pageTokens) + 1;
}
