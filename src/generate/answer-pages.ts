/** How many pages of the cache a prompt and its answers take, and how long answers may be in a given number of them. */
import { pagesFor, pageTokens } from "../nn/pages.ts";

/** Pages of the full ones of a prompt, and for each answer of what follows them: the newest token is in none. */
export function mostPagesOf(prompt: number, n: number, maxNewTokens: number): number {
  const full = Math.floor(prompt / pageTokens);
  const after = (prompt % pageTokens) + Math.max(0, maxNewTokens - 1);
  return Math.max(pagesFor(prompt), full + n * pagesFor(after));
}

/** The longest answers for which {@link mostPagesOf} is at most `pages`; below 1 where not even one token of each fits. */
export function longestIn(pages: number, prompt: number, n: number): number {
  if (pagesFor(prompt) > pages) return 0;
  const each = Math.floor((pages - Math.floor(prompt / pageTokens)) / n);
  return each * pageTokens - (prompt % pageTokens) + 1;
}
