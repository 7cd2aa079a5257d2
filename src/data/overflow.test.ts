import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import type { Example } from "./example.ts";
import { promptKeyOf } from "./fingerprint.ts";
import { sequenceLength, truncateExample } from "./overflow.ts";

const bos = 1;
const range = (start: number, length: number): number[] => Array.from({ length }, (_, i) => start + i);

function pair(prompt: number[], chosen: number[], rejected: number[]): Example {
  return {
    origin: { file: "a", line: 1 },
    promptIds: prompt,
    completions: [{ ids: chosen }, { ids: rejected }],
  };
}

test("the length is prompt and longest answer", () => {
  assert.equal(sequenceLength(pair([1, 2], [3], [4, 5, 6])), 5);
});

test("a row that fits is returned as it is", () => {
  const example = pair([1, 2], [3], [4]);
  assert.equal(truncateExample(example, 8, bos), example);
});

test("the prompt is cut from the left and keeps its BOS; answers stay whole while the prompt can give", () => {
  const example = pair([bos, ...range(10, 9)], range(50, 4), range(60, 2));
  const cut = truncateExample(example, 10, bos);
  // 10 + 4 tokens to 10: the prompt keeps 6, the BOS and its last five.
  assert.deepEqual(cut.promptIds, [bos, 14, 15, 16, 17, 18]);
  assert.deepEqual(cut.completions, example.completions);
  assert.deepEqual(cut.trace, {
    promptTokensCut: 4,
    answerTokensCut: 0,
    endsLost: 0,
    promptKey: promptKeyOf(example),
  });
});

test("then both answers are cut to one length, from the right", () => {
  const example: Example = {
    ...pair(range(10, 6), [], []),
    completions: [{ ids: range(50, 9), mask: [1, 0, 1, 1, 1, 1, 1, 1, 1] }, { ids: range(70, 5) }],
  };
  const cut = truncateExample(example, 8, bos);
  // A quarter of 8 is left to the prompt, 6 to each answer; the shorter one fits.
  assert.deepEqual(cut.promptIds, [14, 15]);
  assert.deepEqual(cut.completions, [{ ids: range(50, 6), mask: [1, 0, 1, 1, 1, 1] }, { ids: range(70, 5) }]);
  assert.equal(cut.trace?.answerTokensCut, 3);
  assert.equal(cut.trace?.endsLost, 1);
});

test("a BOS that also opens turns is not doubled by the cut", () => {
  const cut = truncateExample(pair([bos, 5, 6, 7, bos, 8, 9], range(50, 4), [60]), 8, bos);
  assert.deepEqual(cut.promptIds, [bos, 8, 9]);
});

test("property: the result fits, is a part of the row, and both answers lose nothing below the common limit", () => {
  const ids = fc.array(fc.integer({ min: 2, max: 99 }), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(ids, ids, ids, fc.integer({ min: 8, max: 40 }), (prompt, chosen, rejected, limit) => {
      const cut = truncateExample(pair([bos, ...prompt], chosen, rejected), limit, bos);
      assert.ok(sequenceLength(cut) <= limit);
      assert.equal(cut.promptIds[0], bos);
      const tail = cut.promptIds.slice(1);
      assert.deepEqual(tail, prompt.slice(prompt.length - tail.length));
      const room = limit - cut.promptIds.length;
      assert.deepEqual(
        cut.completions.map((c) => c.ids),
        [chosen.slice(0, room), rejected.slice(0, room)],
      );
    }),
  );
});
