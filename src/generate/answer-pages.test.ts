/** The longest answers that a cache has room for are the longest that the engine takes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { longestIn, mostPagesOf } from "./answer-pages.ts";

test("one token more than the longest answers takes more pages than there are", () => {
  for (const pages of [1, 2, 8, 128]) {
    for (const n of [1, 2, 5, 8, 16]) {
      for (let prompt = 1; prompt <= 32 * pages + 3; prompt += pages > 8 ? 7 : 1) {
        const longest = longestIn(32 * pages + (prompt % 32), prompt, n);
        const place = `${pages} pages, prompt of ${prompt}, ${n} answers: ${longest}`;
        if (longest >= 1) assert.ok(mostPagesOf(prompt, n, longest) <= pages, place);
        assert.ok(mostPagesOf(prompt, n, Math.max(1, longest + 1)) > pages, place);
      }
    }
  }
});
