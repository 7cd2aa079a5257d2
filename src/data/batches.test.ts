import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import { type BatchOptions, planEpoch } from "./batches.ts";
import type { Example } from "./example.ts";

/** An example that takes `tokens` packed tokens: a prompt of that length and an answer of one token. */
function sized(tokens: number): Example {
  return {
    origin: { file: "a", line: 1 },
    promptIds: new Array(tokens).fill(1),
    completions: [{ ids: [2] }],
  };
}

const pairs: BatchOptions = { per_device_train_batch_size: 2, gradient_accumulation_steps: 2 };

test("a budget of pairs: four a step in micro-batches of two; the last step is smaller, not dropped", () => {
  const examples = [1, 2, 3, 4, 5, 6, 7].map(sized);
  const steps = planEpoch(examples, [6, 5, 4, 3, 2, 1, 0], pairs);
  assert.deepEqual(
    steps.map((step) => [step.examples, step.microBatches, step.tokens]),
    [
      [
        [6, 5, 4, 3],
        [
          [6, 5],
          [4, 3],
        ],
        7 + 6 + 5 + 4,
      ],
      [[2, 1, 0], [[2, 1], [0]], 3 + 2 + 1],
    ],
  );
  assert.deepEqual(
    steps.map((step) => step.byRank()),
    steps.map((step) => [step.microBatches]),
  );
});

test("rows of a step as given: the last micro-batch is smaller", () => {
  const examples = [1, 2, 3, 4, 5, 6, 7].map(sized);
  const steps = planEpoch(examples, examples.keys(), { ...pairs, train_batch_size: 5 });
  assert.deepEqual(
    steps.map(({ microBatches }) => microBatches),
    [[[0, 1], [2, 3], [4]], [[5, 6]]],
  );
});

test("which rows a step has does not depend on the ranks", () => {
  const examples = [5, 1, 9, 4, 3, 2, 8, 7, 6, 1].map(sized);
  const rowsOn = (ranks: number, options: Partial<BatchOptions>) =>
    planEpoch(examples, examples.keys(), { ...pairs, ...options, ranks }).map((step) => step.examples);
  for (const options of [{ train_batch_size: 4 }, { tokens_per_step: 12 }])
    for (const ranks of [2, 3, 4]) assert.deepEqual(rowsOn(ranks, options), rowsOn(1, options));
});

test("a budget of tokens: a step takes examples in order until the next would exceed it", () => {
  const examples = [4, 4, 3, 9, 1].map(sized);
  const steps = planEpoch(examples, [0, 1, 2, 3, 4], { ...pairs, tokens_per_step: 8 });
  // 4+4 fills 8; 3 alone, since 9 does not fit beside it; 9 exceeds the budget and stands alone; 1 begins the last.
  assert.deepEqual(
    steps.map((step) => step.examples),
    [[0, 1], [2], [3], [4]],
  );
  assert.deepEqual(
    steps.map((step) => step.tokens),
    [8, 3, 9, 1],
  );
});

test("micro-batches by tokens: first-fit decreasing, ties in epoch order, long ones alone", () => {
  const examples = [2, 5, 3, 12, 5, 4].map(sized);
  const [step] = planEpoch(examples, [0, 1, 2, 3, 4, 5], {
    per_device_train_batch_size: 6,
    gradient_accumulation_steps: 1,
    max_tokens_per_micro_batch: 10,
  });
  // By size: 12 (alone, too long), 5 (#1), 5 (#4) to its side = 10, 4 (#5), 3 (#2) = 7, 2 (#0) = 9.
  assert.deepEqual(step?.microBatches, [[3], [1, 4], [0, 2, 5]]);
});

test("a cap on tokens cuts micro-batches of rows further and joins none; where steps are counted in tokens it alone cuts", () => {
  const examples = Array.from({ length: 16 }, () => sized(10));
  const order = [...examples.keys()];
  const sizes = (options: Partial<BatchOptions>): number[] | undefined =>
    planEpoch(examples, order, {
      per_device_train_batch_size: 4,
      gradient_accumulation_steps: 4,
      ...options,
    })[0]?.microBatches.map(({ length }) => length);
  assert.deepEqual(sizes({}), [4, 4, 4, 4]);
  assert.deepEqual(sizes({ max_tokens_per_micro_batch: 8192 }), [4, 4, 4, 4]);
  assert.deepEqual(sizes({ max_tokens_per_micro_batch: 30 }), [3, 3, 3, 3, 3, 1]);
  assert.deepEqual(sizes({ tokens_per_step: 160 }), [4, 4, 4, 4]);
  assert.deepEqual(sizes({ tokens_per_step: 160, max_tokens_per_micro_batch: 80 }), [8, 8]);
});

test("prompts that are not shared count once for each answer", () => {
  const pair: Example = { ...sized(5), completions: [{ ids: [1, 2] }, { ids: [3, 4] }] };
  assert.equal(planEpoch([pair], [0], pairs)[0]?.tokens, 7);
  assert.equal(planEpoch([pair], [0], { ...pairs, share_prompt: false })[0]?.tokens, 12);
});

test("sizes are checked by their names in the config", () => {
  const plan = (options: Partial<BatchOptions>): unknown =>
    planEpoch([sized(1)], [0], { ...pairs, ...options });
  assert.throws(
    () => plan({ per_device_train_batch_size: 0 }),
    /per_device_train_batch_size: expected a whole number of at least 1, got 0/,
  );
  assert.throws(() => plan({ tokens_per_step: 1.5 }), /tokens_per_step: .* got 1.5/);
  assert.throws(() => plan({ max_tokens_per_micro_batch: -1 }), /max_tokens_per_micro_batch: .* got -1/);
  assert.throws(() => planEpoch([sized(1)], [1], pairs), /index below 1 in the order, got 1/);
});

test("property: each example once, in order of the epoch; micro-batches stay within their budget", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(sizes, fc.integer({ min: 5, max: 40 }), fc.boolean(), (lengths, limit, byTokens) => {
      const options = {
        per_device_train_batch_size: 3,
        gradient_accumulation_steps: 2,
        max_tokens_per_micro_batch: limit,
      };
      const steps = planEpoch(
        lengths.map(sized),
        lengths.keys(),
        byTokens ? { ...options, tokens_per_step: 50 } : options,
      );
      assert.deepEqual(
        steps.flatMap((step) => step.examples),
        [...lengths.keys()],
      );
      for (const { examples, microBatches } of steps) {
        assert.deepEqual(
          microBatches.flat().sort((a, b) => a - b),
          examples,
        );
        for (const batch of microBatches) {
          const tokens = batch.reduce((sum, index) => sum + (lengths[index] ?? 0), 0);
          assert.ok(batch.length === 1 || tokens <= limit);
          assert.ok(byTokens || batch.length <= options.per_device_train_batch_size);
        }
      }
    }),
  );
});

/** The fewest bins of `limit` that hold all sizes, by trying every placement. */
function fewestBins(sizes: readonly number[], limit: number): number {
  let best = sizes.length;
  const place = (next: number, room: readonly number[]): void => {
    if (room.length >= best) return;
    const size = sizes[next];
    if (size === undefined) {
      best = room.length;
      return;
    }
    for (const [bin, left] of room.entries()) if (size <= left) place(next + 1, room.with(bin, left - size));
    place(next + 1, [...room, limit - size]);
  };
  place(0, []);
  return best;
}

test("property: micro-batches are few: first-fit decreasing needs at most 11/9 of the fewest, plus 6/9", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 9 });
  let seen = 0;
  fc.assert(
    fc.property(sizes, (lengths) => {
      const [step] = planEpoch(lengths.map(sized), lengths.keys(), {
        per_device_train_batch_size: lengths.length,
        gradient_accumulation_steps: 1,
        max_tokens_per_micro_batch: 20,
      });
      const bins = step?.microBatches.length ?? Number.POSITIVE_INFINITY;
      const fewest = fewestBins(lengths, 20);
      assert.ok(bins >= fewest && bins <= (11 * fewest + 6) / 9, `${bins} bins, ${fewest} would do`);
      seen = Math.max(seen, fewest);
    }),
    { seed: 5, numRuns: 300 },
  );
  assert.ok(seen >= 5, "the cases were too small to show anything");
});

test("property: the same examples in the same order are divided the same way", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(sizes, fc.integer({ min: 5, max: 60 }), (lengths, limit) => {
      const plan = () =>
        planEpoch(lengths.map(sized), lengths.keys(), {
          ...pairs,
          tokens_per_step: 90,
          max_tokens_per_micro_batch: limit,
        }).map((step) => [step.examples, step.microBatches, step.tokens]);
      assert.deepEqual(plan(), plan());
    }),
  );
});
