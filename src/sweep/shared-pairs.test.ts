/** Settings that drop different held-out pairs are compared on those that all of them have. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { at } from "../base/at.ts";
import { countText } from "./interval-text.ts";
import type { MeasuredCondition, MeasuredRun } from "./measured.ts";
import { sharedConditions } from "./shared-conditions.ts";
import { onSharedPairs } from "./shared-pairs.ts";
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

test("intervals are over prompts where several pairs are of one, as a run says that knows it", () => {
  const own = at(conditionOf("own", [[1, 2, 3, 4, 5, 6]]).runs, 0);
  const known = (run: MeasuredRun) => ({
    ...run,
    after: run.after.map((pair) => ({ ...pair, prompt: pair.line % 2 })),
  });
  const second = { ...own, trial: { ...own.trial, seed: 1 } };
  const condition = { name: "some", failed: [], runs: [own, known(second)] };
  const base = conditionOf("base", [
    [2, 3, 5, 6],
    [2, 3, 5, 6],
  ]);
  const { pairs, prompts } = estimate(condition, "margin");
  assert.deepEqual([pairs, prompts], [6, 2]);
  const behind = estimateDifference(condition, base, "margin");
  assert.deepEqual([behind.pairs, behind.prompts], [4, 2]);
  assert.equal(countText(behind), "2 × 4 of 2 prompts");
  assert.equal(estimate(base, "margin").prompts, undefined);
});

test("runs of the same pairs stay as they are", () => {
  const { runs } = conditionOf("twice", [
    [1, 2],
    [1, 2],
  ]);
  assert.equal(onSharedPairs(runs), runs);
});
