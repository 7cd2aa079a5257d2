/** What is reported of rewards that fail, and of rollouts that teach nothing: once, the latter after some in a row. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadMethod } from "../config/load-config.ts";
import type { MethodSettings } from "../methods/index.ts";
import { objectiveOf } from "../methods/losses.ts";
import { onRollouts } from "../methods/pairing/on-rollouts.ts";
import type { Unscored } from "../rewards/scored-completions.ts";
import { prepareRollout } from "./prepare-rollout.ts";
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
    metrics: {} as Record<string, number>,
  };
}

const scores = { name: "mine", values: [], seconds: 0 };

type Rollout = ReturnType<typeof rolloutOf>;

type Values = Readonly<Record<string, unknown>>;

/** The defaults of a method with these values, those of on-policy runs too. */
function methodWith(values: Values): MethodSettings {
  return { ...loadMethod({ objective: values["objective"] }), ...values } as MethodSettings;
}

/** What is reported each of these rollouts. */
function reported(
  rollouts: readonly Rollout[],
  method: Values = { objective: "grpo" },
  objective?: string,
): string[][] {
  const settings = { max_completion_length: 8, num_generations: 2, method: methodWith(method) };
  const warnings = new RolloutWarnings(settings, objective);
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
      "reward mine failed on a completion of rows.jsonl:7: no such key. It has no score; all others like it are counted in rewards/mine/failures.",
    ],
    [
      "reward mine gave no finite number for a completion of rows.jsonl:7. It has no score; all others like it are counted in rewards/mine/failures.",
    ],
    [],
  ]);
});

test("the report of equal rewards names what the method learns still, or says that nothing is", () => {
  const equal = times(5, rolloutOf([1, 1], true));
  const said = (method: Values, objective?: string) => {
    const text = reported(equal, method, objective)[4]?.join() ?? "";
    return /all equal \(in this one from 1 to 1\), so ([^.]*)\./.exec(text)?.[1];
  };
  for (const [method, learned] of [
    [{ objective: "grpo" }, "nothing was learned"],
    [{ objective: "grpo", beta: 0.1 }, "the model learned only the KL to the reference (beta)"],
    [
      { objective: "grpo", beta: 0.1, entropy_coef: 0.01 },
      "the model learned only the KL to the reference (beta) and the bonus for entropy (entropy_coef)",
    ],
    [{ objective: "rloo", beta: 0 }, "nothing was learned"],
    [{ objective: "rloo", beta: 0.1 }, "the model learned only the KL to the reference (beta)"],
    [{ objective: "ppo" }, "the model learned only how rewards differ from what the value model expects"],
    [{ objective: "raft" }, "the model learned only the first completion of each group"],
    [{ objective: "slime" }, "nothing was learned"],
    [{ objective: "dpo", replay: 1 }, "the model learned only the rows that are replayed (replay)"],
    [{ objective: "dpo", kl_coef: 0.1 }, "the model learned only the KL to the reference (kl_coef)"],
  ] as const) {
    assert.equal(said(method), learned, JSON.stringify(method));
  }
  assert.equal(said({ objective: "grpo" }, "mine"), "they prefer no completion to another");
});

test("rewards that differ and yet make no pair are reported, with what keeps them from it", () => {
  const said = (values: Values, rewards: number[]) => {
    const method = methodWith(values);
    const objective = objectiveOf(method);
    assert.ok("pairs" in method && objective.over === "pairs");
    const rollout = rolloutOf(rewards, true);
    const prepared = prepareRollout(onRollouts(objective, method), rollout, {
      ...{ referenceLogps: null, max_completion_length: 8, mask_truncated_completions: false },
    });
    return reported(times(5, { ...rollout, metrics: prepared.metrics }), values)[4] ?? [];
  };
  const [text = "", ...more] = said({ objective: "slime", reward_gap: 0.5 }, [0.25, 0.75]);
  assert.deepEqual(more, []);
  assert.match(
    text,
    /rewards differed \(in this one by up to 0\.5 within a group\), but no group had a pair, so nothing was learned\. .*reward_gap \(now 0\.5\)/,
  );
  assert.match(
    said({ objective: "slime", rejected_quantile: 0.5 }, [0, 1]).join(),
    /rejected_quantile \(now 0\.5\)/,
  );
  assert.match(
    said({ objective: "slime", reward_gap: 0.5, replay: 1 }, [0, 0.5]).join(),
    /so the model learned only the rows that are replayed \(replay\)\./,
  );
  assert.deepEqual(said({ objective: "slime", reward_gap: 0.5 }, [0, 1]), []);
});

test("rewards none of which is above raft's threshold are reported, however they differ", () => {
  const method = { objective: "raft", reward_threshold: 0.5 };
  const said = (rewards: number[]) => reported(times(5, rolloutOf(rewards, true)), method)[4] ?? [];
  assert.match(
    said([0, 0.5]).join(),
    /no reward was above reward_threshold 0\.5 \(the highest of this one is 0\.5\), so nothing was learned/,
  );
  assert.deepEqual(said([0, 0.75]), []);
});
