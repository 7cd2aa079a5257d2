import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import type { Example } from "./example.ts";
import { fingerprintOf, promptKeyOf } from "./fingerprint.ts";
import { drawRows, splitByPrompt } from "./split.ts";

function row(prompt: number, answer: number): Example {
  return { origin: { file: "a", line: answer }, promptIds: [0, prompt], completions: [{ ids: [answer] }] };
}

test("rows with one prompt go to one side, about the share asked for is held out", () => {
  const examples = Array.from({ length: 300 }, (_, i) => row(Math.floor(i / 3), i));
  const { train, evaluation } = splitByPrompt(examples, 0.1, 5);
  assert.equal(evaluation.length, 30);
  assert.equal(train.length, 270);
  const held = new Set(evaluation.map(promptKeyOf));
  assert.ok(train.every((example) => !held.has(promptKeyOf(example))));
  const other = splitByPrompt(examples, 0.1, 6);
  assert.notDeepEqual(other.evaluation, evaluation);
});

test("a prompt of many rows does not take the held-out part beyond twice its share, whatever the seed", () => {
  // 60 rows of one prompt, 40 prompts of one
  const examples = Array.from({ length: 100 }, (_, i) => row(Math.max(0, i - 59), i));
  for (let seed = 0; seed <= 50; seed++) {
    const { evaluation } = splitByPrompt(examples, 0.1, seed);
    assert.equal(evaluation.length, 10, `seed ${seed}`);
  }
  // all have more than their share: the one with fewest
  const few = Array.from({ length: 40 }, (_, i) => row(i < 25 ? 0 : i < 32 ? 1 : 2, i));
  for (let seed = 0; seed <= 10; seed++) {
    const held = splitByPrompt(few, 0.05, seed).evaluation;
    assert.deepEqual([held.length, held[0]?.promptIds[1]], [7, 1]);
  }
});

test("the order of rows does not change what is held out", () => {
  const examples = Array.from({ length: 40 }, (_, i) => row(i, i));
  const there = splitByPrompt(examples, 0.25, 1).evaluation;
  const back = splitByPrompt([...examples].reverse(), 0.25, 1).evaluation;
  assert.deepEqual(back.reverse(), there);
});

test("running text, whose prompt is one token, is split by text", () => {
  const examples = Array.from(
    { length: 20 },
    (_, i): Example => ({
      origin: { file: "a", line: i },
      promptIds: [1],
      completions: [{ ids: [i, 2] }],
    }),
  );
  assert.equal(splitByPrompt(examples, 0.2, 0).evaluation.length, 4);
});

test("property: the two sides together are all rows, neither empty with two prompts", () => {
  const prompts = fc.array(fc.nat(5), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(
      prompts,
      fc.double({ min: 0.01, max: 0.99, noNaN: true }),
      fc.nat(),
      (list, fraction, seed) => {
        const examples = list.map((prompt, i) => row(prompt, i));
        const { train, evaluation } = splitByPrompt(examples, fraction, seed);
        assert.deepEqual(new Set([...train, ...evaluation]), new Set(examples));
        if (new Set(list).size > 1) assert.ok(train.length > 0 && evaluation.length > 0);
        else assert.equal(evaluation.length, 0);
      },
    ),
  );
});

test("a weighted draw keeps the shares and uses the scarcest source whole", () => {
  const sizes = (maxRows: number | null): number[] =>
    drawRows({ counts: [100, 90], weights: [2, 1], maxRows, seed: 0 }).map((rows) => rows.size);
  // Two thirds from 100 rows allow 150 rows altogether: 100 and 50.
  assert.deepEqual(sizes(null), [100, 50]);
  assert.deepEqual(sizes(30), [20, 10]);
  const thirds = drawRows({ counts: [50, 50, 50], weights: [1, 1, 1], maxRows: 20, seed: 0 });
  assert.deepEqual(
    thirds.map((rows) => rows.size),
    [7, 6, 7],
  );
});

test("draws depend on the seed and hold row numbers of the source", () => {
  const draw = (seed: number): number[] => [
    ...(drawRows({ counts: [50, 50], weights: [1, 1], maxRows: 20, seed })[0] ?? []),
  ];
  assert.deepEqual(draw(1), draw(1));
  assert.notDeepEqual(draw(1), draw(2));
  assert.ok(draw(1).every((index) => index >= 0 && index < 50));
});

test("fingerprints tell apart where tokens are divided, and options", () => {
  const a: Example = { origin: { file: "a", line: 1 }, promptIds: [1, 2], completions: [{ ids: [3] }] };
  const b: Example = { ...a, promptIds: [1], completions: [{ ids: [2, 3] }] };
  const prints = [
    fingerprintOf([a]),
    fingerprintOf([b]),
    fingerprintOf([a], { seed: 1 }),
    fingerprintOf([a, a]),
  ];
  assert.equal(new Set(prints).size, 4);
  assert.equal(fingerprintOf([{ ...a, origin: { file: "other", line: 9 } }]), prints[0]);
  assert.notEqual(fingerprintOf([{ ...a, referenceLogps: [-1, -2] }]), prints[0]);
  const margins = [0, 1, 10].map((margin) => fingerprintOf([{ ...a, margin }]));
  assert.equal(new Set([...margins, prints[0]]).size, 4);
});
