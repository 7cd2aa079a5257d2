import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import { DataError } from "../base/errors.ts";
import type { Example } from "./example.ts";
import { type PackedBatch, packExamples, packedTokens } from "./packing.ts";

const origin = { file: "a.jsonl", line: 7 };

function pair(promptIds: number[], chosen: number[], rejected: number[]): Example {
  return { origin, promptIds, completions: [{ ids: chosen }, { ids: rejected }] };
}

/** The arrays as plain lists, for whole comparisons. */
function lists(batch: PackedBatch): Record<string, unknown> {
  const { ids, positions, predictors, targets, segments, spans } = batch;
  return {
    ids: [...ids],
    positions: [...positions],
    predictors: [...predictors],
    targets: [...targets],
    segments,
    spans,
  };
}

test("a pair becomes three segments with the prompt once", () => {
  const batch = packExamples([pair([10, 11, 12], [20, 21, 22], [30, 31])]);
  assert.deepEqual(lists(batch), {
    // Stream:     prompt       chosen  rejected; 22 and 31 are targets only
    ids: [10, 11, 12, 20, 21, 30],
    // Both answers go on from the prompt's last position, 2.
    positions: [0, 1, 2, 3, 4, 3],
    segments: [
      { start: 0, end: 3, parent: -1 },
      { start: 3, end: 5, parent: 0 },
      { start: 5, end: 6, parent: 0 },
    ],
    // 20 and 30 are both predicted at stream index 2, the prompt's last token (12).
    predictors: [2, 3, 4, 2, 5],
    targets: [20, 21, 22, 30, 31],
    spans: [
      { example: 0, completion: 0, start: 0, end: 3 },
      { example: 0, completion: 1, start: 3, end: 5 },
    ],
  });
});

test("a second example starts anew; an answer of one token has no segment", () => {
  const batch = packExamples([pair([1], [2], [3, 4]), pair([5, 6], [7, 8], [9])]);
  assert.deepEqual(lists(batch), {
    // 1 | (chosen of one token: none) | 3 | 5 6 | 7 | (none)
    ids: [1, 3, 5, 6, 7],
    positions: [0, 1, 0, 1, 2],
    segments: [
      { start: 0, end: 1, parent: -1 },
      { start: 1, end: 2, parent: 0 },
      { start: 2, end: 4, parent: -1 },
      { start: 4, end: 5, parent: 2 },
    ],
    // 2 and 3 at the token 1; 4 at 3; 7 and 9 at the token 6 (index 3); 8 at 7 (index 4)
    predictors: [0, 0, 1, 3, 4, 3],
    targets: [2, 3, 4, 7, 8, 9],
    spans: [
      { example: 0, completion: 0, start: 0, end: 1 },
      { example: 0, completion: 1, start: 1, end: 3 },
      { example: 1, completion: 0, start: 3, end: 5 },
      { example: 1, completion: 1, start: 5, end: 6 },
    ],
  });
});

test("masked tokens are inputs but not targets", () => {
  const batch = packExamples([
    { origin, promptIds: [1, 2], completions: [{ ids: [3, 4, 5, 6], mask: [1, 0, 0, 1] }] },
  ]);
  assert.deepEqual(lists(batch), {
    ids: [1, 2, 3, 4, 5],
    positions: [0, 1, 2, 3, 4],
    segments: [
      { start: 0, end: 2, parent: -1 },
      { start: 2, end: 5, parent: 0 },
    ],
    // 3 is predicted by the token 2 (index 1), 6 by the token 5 (index 4); 4 and 5 do not count.
    predictors: [1, 4],
    targets: [3, 6],
    spans: [{ example: 0, completion: 0, start: 0, end: 2 }],
  });
});

test("without a shared prompt each answer is a whole sequence", () => {
  const batch = packExamples([pair([10, 11], [20, 21], [30])], { share_prompt: false });
  assert.deepEqual(lists(batch), {
    // 10 11 20 | 10 11
    ids: [10, 11, 20, 10, 11],
    positions: [0, 1, 2, 0, 1],
    segments: [
      { start: 0, end: 3, parent: -1 },
      { start: 3, end: 5, parent: -1 },
    ],
    // 20 at 11 (index 1), 21 at 20 (index 2), 30 at the second 11 (index 4)
    predictors: [1, 2, 4],
    targets: [20, 21, 30],
    spans: [
      { example: 0, completion: 0, start: 0, end: 2 },
      { example: 0, completion: 1, start: 2, end: 3 },
    ],
  });
});

test("empty prompts, empty answers and masks of another length are refused by name", () => {
  assert.throws(() => packExamples([pair([], [1], [2])]), {
    name: "DataError",
    message: /^a\.jsonl:7: expected a prompt of at least one token, got none/,
  });
  assert.throws(
    () => packExamples([pair([1], [], [2])]),
    /a\.jsonl:7: expected answers of at least one token/,
  );
  const example = { origin, promptIds: [1], completions: [{ ids: [2, 3], mask: [1] }] };
  assert.throws(
    () => packExamples([example]),
    new DataError("a.jsonl:7: expected a mask of 2 numbers, one for each token of the answer, got 1."),
  );
});

const ids = fc.array(fc.nat(1000), { minLength: 1, maxLength: 6 });
const completion = ids.chain((list) =>
  fc
    .option(fc.array(fc.constantFrom(0, 1), { minLength: list.length, maxLength: list.length }), {
      nil: undefined,
    })
    .map((mask) => (mask === undefined ? { ids: list } : { ids: list, mask })),
);
const examples = fc.array(
  fc.record({
    origin: fc.constant(origin),
    promptIds: ids,
    completions: fc.array(completion, { minLength: 1, maxLength: 3 }),
  }),
  { minLength: 1, maxLength: 4 },
);

/** The tokens that the hidden state at `index` has seen, following the parent, its own token last. */
function history({ ids: stream, segments }: PackedBatch, index: number): number[] {
  const segment = segments.find(({ start, end }) => start <= index && index < end);
  assert.ok(segment !== undefined);
  const parent = segments[segment.parent];
  const before = parent === undefined ? [] : [...stream.subarray(parent.start, parent.end)];
  return [...before, ...stream.subarray(segment.start, index + 1)];
}

for (const isShared of [true, false]) {
  test(`property: every counted token is predicted from all before it (share_prompt ${isShared})`, () => {
    fc.assert(
      fc.property(examples, (rows) => {
        const batch = packExamples(rows, { share_prompt: isShared });
        const expected = rows.flatMap(({ promptIds, completions }) =>
          completions.flatMap(({ ids: answer, mask }) =>
            answer.flatMap((target, r) =>
              mask?.[r] === 0 ? [] : [{ seen: [...promptIds, ...answer.slice(0, r)], target }],
            ),
          ),
        );
        const actual = [...batch.predictors].map((at, r) => ({
          seen: history(batch, at),
          target: batch.targets[r],
        }));
        assert.deepEqual(actual, expected);
        for (const at of batch.predictors) assert.equal(batch.positions[at], history(batch, at).length - 1);
      }),
    );
  });

  test(`property: token count is the formula's, segments and spans cover everything (share_prompt ${isShared})`, () => {
    fc.assert(
      fc.property(examples, (rows) => {
        const batch = packExamples(rows, { share_prompt: isShared });
        assert.equal(
          batch.ids.length,
          rows.reduce((sum, row) => sum + packedTokens(row, { share_prompt: isShared }), 0),
        );
        let at = 0;
        for (const { start, end } of batch.segments) {
          assert.equal(start, at);
          assert.ok(end > start);
          at = end;
        }
        assert.equal(at, batch.ids.length);
        assert.deepEqual(
          batch.spans.map(({ start }) => start),
          [0, ...batch.spans.map(({ end }) => end).slice(0, -1)],
        );
        assert.equal(batch.spans.at(-1)?.end, batch.targets.length);
      }),
    );
  });
}

test("packedTokens: prompt + sum of (answer - 1), the prompt again for each answer when not shared", () => {
  const example = pair([1, 2, 3], [4, 5], [6, 7, 8, 9]);
  assert.equal(packedTokens(example), 3 + 1 + 3);
  assert.equal(packedTokens(example, { share_prompt: false }), 3 + 1 + 3 + 3);
});

test("scored answers keep their last token, and have one row each, at that token, whatever their masks say", () => {
  const examples = [pair([10, 11], [20, 21, 22], [30]), pair([12], [40], [50, 51])];
  const masked = examples.map((example) => ({
    ...example,
    completions: example.completions.map((c) => ({ ...c, mask: c.ids.map(() => 0) })),
  }));
  for (const rows of [examples, masked]) {
    assert.deepEqual(lists(packExamples(rows, { scores: true })), {
      ids: [10, 11, 20, 21, 22, 30, 12, 40, 50, 51],
      positions: [0, 1, 2, 3, 4, 2, 0, 1, 1, 2],
      segments: [
        { start: 0, end: 2, parent: -1 },
        { start: 2, end: 5, parent: 0 },
        { start: 5, end: 6, parent: 0 },
        { start: 6, end: 7, parent: -1 },
        { start: 7, end: 8, parent: 3 },
        { start: 8, end: 10, parent: 3 },
      ],
      predictors: [4, 5, 7, 9],
      targets: [22, 30, 40, 51],
      spans: [
        { example: 0, completion: 0, start: 0, end: 1 },
        { example: 0, completion: 1, start: 1, end: 2 },
        { example: 1, completion: 0, start: 2, end: 3 },
        { example: 1, completion: 1, start: 3, end: 4 },
      ],
    });
  }
  const apart = packExamples(examples, { scores: true, share_prompt: false });
  assert.deepEqual([...apart.ids], [10, 11, 20, 21, 22, 10, 11, 30, 12, 40, 12, 50, 51]);
  assert.deepEqual([...apart.predictors], [4, 7, 9, 12]);
  for (const sharePrompt of [true, false]) {
    const packed = packExamples(examples, { scores: true, share_prompt: sharePrompt });
    const counted = examples.map((example) =>
      packedTokens(example, { scores: true, share_prompt: sharePrompt }),
    );
    assert.equal(
      counted.reduce((a, b) => a + b, 0),
      packed.ids.length,
    );
  }
});
