/** What is reported rollouts that teach nothing: once, after some in a row. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RolloutGroup } from "./rollout.ts";
import { RolloutWarnings } from "./rollout-warnings.ts";

const completion = (ended: boolean) => ({ ids: [1], ended, logps: new Float32Array(1), kept: null });

function rolloutOf(rewards: number[], ended: boolean) {
  const group = { index: 0, completions: rewards.map(() => completion(ended)) } as unknown as RolloutGroup;
  return { groups: [group], rewards };
}

/** What is reported each of these rollouts. */
function reported(rollouts: ReturnType<typeof rolloutOf>[]): string[][] {
  const warnings = new RolloutWarnings({ max_completion_length: 8, num_generations: 2 });
  return rollouts.map((one) => warnings.of(one));
}

const times = <T>(count: number, one: T): T[] => Array.from({ length: count }, () => one);

test("equal rewards are reported after five rollouts in a row, once, and again after others came between", () => {
  const [equal, other] = [rolloutOf([1, 1], true), rolloutOf([1, 0], true)];
  const texts = reported([...times(4, equal), other, ...times(7, equal), other, ...times(5, equal)]);
  const at = texts.flatMap((all, i) => (all.length > 0 ? [i] : []));
  assert.deepEqual(at, [9, 17]);
  assert.match(texts[9]?.[0] ?? "", /every group were all equal .*dynamic_sampling/);
});

test("completions that are all cut, and ones of which none is scored, are reported", () => {
  assert.match(
    reported(times(5, rolloutOf([1, 0], false)))[4]?.join() ?? "",
    /cut at max_completion_length 8/,
  );
  const unscored = reported(times(5, rolloutOf([Number.NaN, Number.NaN], true)))[4] ?? [];
  assert.equal(unscored.length, 1);
  assert.match(unscored[0] ?? "", /no completion could be scored/);
});
