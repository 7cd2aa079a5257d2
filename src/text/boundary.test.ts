import assert from "node:assert/strict";
import test from "node:test";

import fc from "fast-check";

import { commonPrefixLength, describeDifference, splitAtBoundary } from "./boundary.ts";

test("one boundary holds for all answers", () => {
  const split = splitAtBoundary(
    [1, 2, 3],
    [
      [1, 2, 3, 4],
      [1, 2, 9, 5],
    ],
  );
  assert.deepEqual(split, {
    promptIds: [1, 2],
    continuations: [
      [3, 4],
      [9, 5],
    ],
    moved: 1,
  });
});

test("prompt and continuation are always the whole again", () => {
  const ids = fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 8 });
  fc.assert(
    fc.property(ids, fc.array(ids, { minLength: 1, maxLength: 3 }), (prompt, fulls) => {
      const split = splitAtBoundary(prompt, fulls);
      for (const [i, rest] of split.continuations.entries()) {
        assert.deepEqual([...split.promptIds, ...rest], fulls[i]);
      }
      assert.deepEqual(split.promptIds, prompt.slice(0, prompt.length - split.moved));
      const isLongest =
        split.moved === 0 ||
        fulls.some((full) => full[split.promptIds.length] !== prompt[split.promptIds.length]);
      assert.ok(isLongest);
    }),
  );
});

test("common prefixes of texts and ids", () => {
  assert.equal(commonPrefixLength("abc", "abd"), 2);
  assert.equal(commonPrefixLength([1, 2], [1, 2, 3]), 2);
});

test("shows where two texts part", () => {
  assert.equal(
    describeDifference("a\nX", "a\nYZ"),
    'after "a\\n" the prompt alone has "X", with the answer there is "YZ"',
  );
});
