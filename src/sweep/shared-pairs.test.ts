/** Settings that drop different held-out pairs are compared on those that all of them have. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { MeasuredCondition, MeasuredRun } from "./measured.ts";
import { onSharedPairs, sharedConditions } from "./shared-pairs.ts";
import { estimate, estimateDifference } from "./trial-metrics.ts";

/** A condition whose runs, one a seed, have the pairs of these lines, with as many chosen tokens. */
function conditionOf(name: string, lines: readonly number[][]): MeasuredCondition {
  const runs = lines.map((own, seed) => {
    const pairs = (chosen: number) =>
      own.map((line) => ({
        ...{ file: "held.jsonl", line, rejected: [chosen - line] },
        chosen: Array.from({ length: line }, () => chosen),
      }));
    return { trial: { seed }, before: pairs(-1), after: pairs(-2) } as unknown as MeasuredRun;
  });
  return { name, runs, failed: [] };
}

// the margin of a pair is its line, whatever the setting
const long = conditionOf("long", [[1, 2, 3, 4]]);
const short = conditionOf("short", [[4, 2]]);

test("a difference is of the pairs of one name, however many each has and in whatever order", () => {
  const { value, low, high, pairs } = estimateDifference(short, long, "margin");
  assert.deepEqual([value, low, high, pairs], [0, 0, 0, 2]);
  // drift counts pairs by the tokens of the same ones
  assert.equal(estimateDifference(long, short, "drift").value, 0);
  assert.equal(estimateDifference(long, conditionOf("none", [[]]), "margin").pairs, 0);
});

test("conditions are ranked on the pairs that all of them have", () => {
  assert.deepEqual([estimate(long, "margin").value, estimate(short, "margin").value], [2.5, 3]);
  const found = sharedConditions(new Map([long, short].map((one) => [one.name, one])));
  assert.deepEqual([found.shared, found.all], [2, 4]);
  for (const condition of found.measured.values()) assert.equal(estimate(condition, "margin").value, 3);
});

test("runs of the same pairs stay as they are", () => {
  const { runs } = conditionOf("twice", [
    [1, 2],
    [1, 2],
  ]);
  assert.equal(onSharedPairs(runs), runs);
});
