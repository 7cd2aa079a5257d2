/** What is reported of rewards that fail, and of rollouts that teach nothing: once, the latter after some in a row. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Unscored } from "../rewards/scored-completions.ts";
import type { RolloutGroup } from "./rollout.ts";
import { RolloutWarnings } from "./rollout-warnings.ts";

const completion = (ended: boolean) => ({ ids: [1], ended, logps: new Float32Array(1), kept: null });

function rolloutOf(rewards: number[], ended: boolean, unscored: readonly Unscored[] = []) {
  const example = { origin: { file: "rows.jsonl", line: 7 } };
  const completions = rewards.map(() => completion(ended));
  const group = { index: 0, example, completions } as unknown as RolloutGroup;
  return {
    groups: [group],
    rewards,
    scores: { functions: unscored.length === 0 ? [] : [{ ...scores, unscored }] },
  };
}

const scores = { name: "mine", values: [], seconds: 0 };

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

test("the first failure of each kind is reported with function, row and message; nulls are no failures", () => {
  const [first, second] = [
    rolloutOf([1, 0, 0], true, [
      { completion: 0, reason: "null", message: "" },
      { completion: 1, reason: "error", message: "no such key" },
      { completion: 2, reason: "error", message: "another" },
    ]),
    rolloutOf([1, 0], true, [
      { completion: 0, reason: "error", message: "again" },
      { completion: 1, reason: "not_finite", message: "" },
    ]),
  ];
  assert.deepEqual(reported([first, second, second]), [
    [
      "reward mine failed on a completion of rows.jsonl:7: no such key. It counts as unscored; all others like it are counted in rewards/mine/failures.",
    ],
    [
      "reward mine gave no finite number for a completion of rows.jsonl:7. It counts as unscored; all others like it are counted in rewards/mine/unscored.",
    ],
    [],
  ]);
});
