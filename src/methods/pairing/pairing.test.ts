/** Pairs of rollouts: which they are, the golden numbers of SLIME and DPO on them, weights, anchors, KL, replay, cuts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../../test/support/close.ts";
import { onlineBatch, onlineFamilies, onlineLosses } from "../../../test/support/online-fixtures.ts";
import {
  assertSameInEveryCut,
  finiteDifferences,
  firstGroup,
  type RolloutLists,
  rolloutStep,
} from "../../../test/support/rollout-steps.ts";
import { fixtureRollout } from "../../../test/support/scored-rollout.ts";
import { inGroups } from "../advantages.ts";
import { dpo } from "../dpo/loss.ts";
import type { Hyperparameter } from "../method.ts";
import { simpo } from "../simpo/loss.ts";
import { slime } from "../slime/loss.ts";
import { SLIME_SCRIPT } from "../slime/settings.ts";
import { onRollouts } from "./on-rollouts.ts";
import { pairsOf } from "./pairs.ts";
import { PAIRING_CHECKS, PAIRING_INACTIVE, PAIRING_KEYS, type PairingOptions } from "./settings.ts";

// the table is one of hyperparameters, as methods declare theirs
const keys: Readonly<Record<keyof PairingOptions, Hyperparameter>> = PAIRING_KEYS;

const defaults = Object.fromEntries(
  Object.entries(keys).map(([key, { schema }]) => [key, schema.default]),
) as unknown as PairingOptions;
const nan = Number.NaN;
const simpoOptions = { beta: 2, simpo_gamma: 1, label_smoothing: 0, cpo_alpha: 0 };
const dpoOptions = { beta: 0.1, label_smoothing: 0, loss_type: "sigmoid" as const };

const pairsBy = (rewards: number[], options: Partial<PairingOptions>) =>
  pairsOf(rewards, [rewards.length], { ...defaults, ...options })[0];

test("which pairs: all, best_worst, ranked; ties and NaN are none; the gap and the quantile", () => {
  const rewards = [3, 1, nan, 2, 1];
  assert.deepEqual(pairsBy(rewards, {}), [
    [0, 1],
    [0, 3],
    [0, 4],
    [3, 1],
    [3, 4],
  ]);
  assert.deepEqual(pairsBy(rewards, { pairs: "best_worst" }), [[0, 1]]);
  assert.deepEqual(pairsBy(rewards, { pairs: "ranked" }), [
    [0, 3],
    [3, 1],
    [3, 4],
  ]);
  assert.deepEqual(pairsBy(rewards, { reward_gap: 1 }), [
    [0, 1],
    [0, 4],
  ]);
  // at the gap there is no pair, however float32 rounds the two; equal ones in thousands are still apart
  for (const [a, b] of [
    [0.6, 0.5],
    [0.4, 0.3],
    [1, 0.9],
    [0.3, 0.2],
  ] as const) {
    const both = [Math.fround(a), Math.fround(b)];
    assert.deepEqual(
      [pairsBy(both, { reward_gap: 0.1 }), pairsBy(both, { reward_gap: 0.09 })],
      [[], [[0, 1]]],
    );
  }
  assert.deepEqual(pairsBy([1000.001, 1000], {}), [[0, 1]]);
  assert.deepEqual(pairsBy([Number.POSITIVE_INFINITY, 0], { reward_gap: 1 }), [[0, 1]]);
  // of four that are scored the worst one, then the two worst, are no rejected ones
  assert.deepEqual(pairsBy(rewards, { rejected_quantile: 0.25 }), [
    [0, 3],
    [0, 4],
    [3, 4],
  ]);
  assert.deepEqual(pairsBy(rewards, { pairs: "best_worst", rejected_quantile: 0.5 }), [[0, 3]]);
  for (const pairs of ["all", "best_worst", "ranked"] as const) {
    for (const none of [[2, 2, 2], [nan, nan], [nan, 5], [], [Infinity, Infinity], [-Infinity, -Infinity]]) {
      assert.deepEqual(pairsBy(none, { pairs }), []);
    }
    assert.deepEqual(pairsBy([0, -Infinity], { pairs }), [[0, 1]]);
  }
  assert.deepEqual(pairsOf([1, 0, 0, 1], [2, 2], defaults), [[[0, 1]], [[3, 2]]]);
});

for (const family of onlineFamilies) {
  const { completions, groupSizes } = onlineBatch(family);
  const losses = onlineLosses(family);
  const rewards = losses.total_rewards;

  test(`${family}: SLIME on all pairs and on best and worst, by preset`, () => {
    for (const one of losses.slime_pairs) {
      const pairs = one.case === "all_pairs" ? "all" : "best_worst";
      const options = { ...defaults, pairs, reward_gap: one.reward_gap } as const;
      const found = pairsOf(rewards, groupSizes, options).filter((group) => group.length > 0);
      const weighted = found.flatMap((group) =>
        group.map((pair) => [...pair, 1 / group.length / found.length]),
      );
      const sorted = (list: readonly (readonly number[])[]) =>
        [...list].sort((a, b) => Number(a[0]) - Number(b[0]) || Number(a[1]) - Number(b[1]));
      assertClose(sorted(weighted).flat(), sorted(one.pairs).flat(), { rtol: 1e-15 });
      withoutLeaks(() => {
        const objective = onRollouts(slime({ ...SLIME_SCRIPT, ...one.options }), options);
        const lists: RolloutLists = { groupSizes, logps: losses.logps_float64, columns: { rewards } };
        const step = rolloutStep(objective, lists);
        assertClose(step.loss, one.loss, { atol: 1e-6 });
        assertClose(step.metrics["slime/anchor_loss"] ?? nan, one.anchor, { atol: 3e-7 });
        assertClose(step.metrics["slime/margin_loss"] ?? nan, one.margin, { atol: 3e-7 });
        assertClose(step.metrics["slime/rejected_penalty"] ?? nan, one.penalty, { atol: 1e-6 });
        assertWholeGroupCuts(objective, lists);
        const small = firstGroup(lists);
        const numeric = finiteDifferences(objective, small).flat();
        assertClose(rolloutStep(objective, small).grads.flat(), numeric, { atol: 1e-8, rtol: 1e-6 });
      });
    }
  });

  const index = inGroups([...completions.keys()], groupSizes).flatMap((group) => group.slice(0, 2));
  const pick = <T>(values: readonly T[]) => index.map((i) => values[i] as T);
  const sums = completions.map((c) => c.given_ref_logps.reduce((sum, x) => sum + x, 0));
  const firstTwo: RolloutLists = {
    groupSizes: groupSizes.map(() => 2),
    logps: pick(losses.logps_float64),
    columns: { rewards: pick(rewards), referenceLogps: pick(sums) },
  };

  test(`${family}: DPO on two answers a prompt; TRL's pair of equal rewards is none`, () => {
    const one = losses.online_dpo.find((found) => found.case === "online_dpo_sigmoid") ?? assert.fail();
    const objective = onRollouts(dpo(dpoOptions), defaults);
    withoutLeaks(() => {
      const { loss, metrics, grads } = rolloutStep(objective, firstTwo);
      assertClose(grads.flat(), finiteDifferences(objective, firstTwo).flat(), { atol: 1e-8, rtol: 1e-6 });
      assertClose(loss, one.float64_without_ties.loss, { atol: 1e-7 });
      assert.equal(one.float64_without_ties.pairs.length, 2);
      assert.ok((metrics["rewards/margins"] ?? nan) < 1);
    });
    const { columns } = objective.prepare?.(fixtureRollout(family)) ?? assert.fail();
    assertClose(columns["referenceLogps"] as number[], sums, { atol: 1e-5 });
    assertClose(columns["rewards"] as number[], rewards, { rtol: 1e-7 });
    assert.throws(
      () => objective.prepare?.(fixtureRollout(family, { referenceLogps: null })),
      /dpo needs log-probs/,
    );
  });

  test(`${family}: IPO on two answers a prompt is per token, where TRL's OnlineDPO sums over each answer`, () => {
    const one = losses.online_dpo.find((found) => found.case === "online_dpo_ipo") ?? assert.fail();
    const objective = onRollouts(dpo({ ...dpoOptions, loss_type: "ipo" }), defaults);
    const { pairs } = one.float64_without_ties;
    // the target 1 / (2β) is one for all pairs: of sums it asks for a smaller change of a token the longer an answer is, which is
    // why the DPO trainers, TRL's own too, divide by the lengths
    const lossOf = (ratio: (completion: number) => number) =>
      pairs.reduce((sum, [w, l]) => sum + (ratio(w) - ratio(l) - 1 / (2 * one.beta)) ** 2, 0) / pairs.length;
    const summed = (i: number) =>
      (losses.logps_float64[i] ?? []).reduce((sum, x) => sum + x, 0) - (sums[i] ?? nan);
    const perToken = (i: number) => summed(i) / (losses.logps_float64[i]?.length ?? nan);
    assertClose(lossOf(summed), one.float64_without_ties.loss, { rtol: 1e-6 });
    withoutLeaks(() => {
      const { loss, grads } = rolloutStep(objective, firstTwo);
      assertClose(loss, lossOf(perToken), { rtol: 1e-12 });
      assertClose(grads.flat(), finiteDifferences(objective, firstTwo).flat(), { atol: 1e-7, rtol: 1e-6 });
      assertWholeGroupCuts(objective, firstTwo);
    });
  });
}

function assertWholeGroupCuts(objective: ReturnType<typeof onRollouts>, lists: RolloutLists): void {
  assertSameInEveryCut({ ...objective, mayCutGroups: false }, lists, rolloutStep(objective, lists));
}

const lists: RolloutLists = {
  groupSizes: [3, 1, 2, 2],
  logps: [[-1, -2], [-3], [-0.5, -1, -1.5], [-2, -4], [-1], [-2], [-1.5], [-0.5, -3]],
  columns: {
    rewards: [2, 0, 1, nan, 0, 1, 5, 5],
    replay: [0, 0, 0, 1, 0, 0, 0, 0],
    referenceLogps: [-3.5, -2.5, -3, 0, -1.25, -2, -1, -3],
    referenceTokenLogps: [[-1.5, -2], [-2.5], [-1, -1, -1], [-9, -9], [-1.25], [-2], [-1], [-1, -2]],
    oldLogps: [[-1.1, -2.2], [-2.9], [-0.5, -1, -1.4], [-2, -4], [-1], [-2.1], [-1.5], [-0.5, -3]],
  },
};

test("groups that have pairs weigh the same, and the pairs of one share its weight, in all three losses", () => {
  withoutLeaks(() => {
    const [means, sums] = [
      [-1.5, -3, -1, -3, -1, -2],
      [-3, -3, -3, -6, -1, -2],
    ];
    const pairs = [
      [0, 1, 1 / 3],
      [0, 2, 1 / 3],
      [2, 1, 1 / 3],
      [5, 4, 1],
    ] as const;
    const over = (f: (w: number, l: number) => number) =>
      pairs.reduce((sum, [w, l, weight]) => sum + (weight * f(w, l)) / 2, 0);
    const m = (i: number) => means[i] ?? nan;
    const h = (i: number) => (sums[i] ?? nan) - Number(lists.columns["referenceLogps"]?.[i]);
    const off = { ...defaults, replay_coef: 0 };
    assertClose(
      rolloutStep(onRollouts(simpo(simpoOptions), off), lists).loss,
      over((w, l) => Math.log1p(Math.exp(-(2 * (m(w) - m(l)) - 1)))),
      { rtol: 1e-12 },
    );
    assertClose(
      rolloutStep(onRollouts(dpo(dpoOptions), off), lists).loss,
      over((w, l) => Math.log1p(Math.exp(-0.1 * (h(w) - h(l))))),
      { rtol: 1e-12 },
    );
    const anchorOnly = slime({ ...SLIME_SCRIPT, lambda_d: 0, lambda_l: 0, lambda_w: 0.5 });
    const step = rolloutStep(onRollouts(anchorOnly, defaults), {
      ...lists,
      columns: { ...lists.columns, replay: lists.logps.map(() => 0) },
    });
    assertClose(
      step.loss,
      over((w) => -0.5 * m(w)),
      { rtol: 1e-12 },
    );
  });
});

test("anchor_on positive raises what is above the threshold alone, by the reward without its KL", () => {
  withoutLeaks(() => {
    const objective = onRollouts(slime({ ...SLIME_SCRIPT, lambda_d: 0, lambda_l: 0, lambda_w: 1 }), {
      ...defaults,
      anchor_on: "positive",
      anchor_threshold: 1.5,
    });
    const columns = { rewards: [2, 0, 1], anchored: [1, 0, 0] };
    // pairs 0-1, 0-2, 2-1: chosen 0 twice, anchored, and 2, which is not
    assertClose(
      rolloutStep(objective, { groupSizes: [3], logps: lists.logps.slice(0, 3), columns }).loss,
      (1.5 * 2) / 3,
      { rtol: 1e-12 },
    );
    const { groupSizes, rewards } = fixtureRollout("qwen3");
    const made = onRollouts(slime(SLIME_SCRIPT), {
      ...defaults,
      anchor_on: "positive",
      anchor_threshold: 1,
      kl_coef: 10,
      kl_in: "reward",
    }).prepare?.(fixtureRollout("qwen3"));
    assert.deepEqual(
      made?.columns["anchored"],
      rewards.map((r) => (r > 1 ? 1 : 0)),
    );
    assert.equal(groupSizes.length, 3);
  });
});

test("replayed completions are anchored, are in no pair and have no KL", () => {
  withoutLeaks(() => {
    const off = rolloutStep(onRollouts(simpo(simpoOptions), { ...defaults, replay_coef: 0 }), lists);
    const on = rolloutStep(onRollouts(simpo(simpoOptions), { ...defaults, replay_coef: 0.5 }), lists);
    assertClose(on.loss - off.loss, 0.5 * 3, { rtol: 1e-12 });
    assertClose(on.grads[3] ?? [], [-0.25, -0.25], { rtol: 1e-12 });
    assertClose(on.metrics["logps/replay_mean"] ?? nan, -3, { rtol: 1e-12 });
    const bySlime = rolloutStep(onRollouts(slime(SLIME_SCRIPT), defaults), lists);
    assertClose(bySlime.grads[3] ?? [], [-0.05, -0.05], { rtol: 1e-12 });
    const withKl = rolloutStep(
      onRollouts(simpo(simpoOptions), { ...defaults, replay_coef: 0, kl_coef: 1 }),
      lists,
    );
    assert.deepEqual(withKl.grads[3], [0, 0]);
    // a batch of replayed completions alone has no pairs, and their gradient
    const alone = rolloutStep(onRollouts(simpo(simpoOptions), defaults), lists, [[3]]);
    assertClose(alone.loss, 0.4 * 3, { rtol: 1e-12 });
  });
});

test("a replayed completion that the model finds impossible leaves the KL of the others and its gradient as they are", () => {
  withoutLeaks(() => {
    const logps = lists.logps.map((row, i) => (i === 3 ? row.map(() => -1000) : row));
    for (const klEstimator of ["k2", "k3"] as const) {
      const options = { ...defaults, replay_coef: 0, kl_coef: 1, kl_estimator: klEstimator };
      const objective = onRollouts(simpo(simpoOptions), options);
      const [known, extreme] = [lists, { ...lists, logps }].map((each) => rolloutStep(objective, each));
      assert.deepEqual([extreme?.loss, extreme?.grads], [known?.loss, known?.grads], klEstimator);
    }
  });
});

test("the KL in the loss is a mean over own tokens, k3 times the ratio; in the reward it is off before pairs are made", () => {
  withoutLeaks(() => {
    const own = lists.logps.map((_, i) => i).filter((i) => i !== 3);
    const flat = (name: string) => own.flatMap((i) => Array.from((lists.columns[name] ?? [])[i] as number[]));
    const [logps, reference, old] = [
      own.flatMap((i) => lists.logps[i] ?? []),
      flat("referenceTokenLogps"),
      flat("oldLogps"),
    ];
    const x = logps.map((logp, t) => logp - (reference[t] ?? nan));
    const values = {
      k1: x,
      k2: x.map((one) => (one * one) / 2),
      k3: x.map((one, t) => Math.exp((logps[t] ?? nan) - (old[t] ?? nan)) * (Math.exp(-one) + one - 1)),
    };
    const base = rolloutStep(onRollouts(simpo(simpoOptions), defaults), lists);
    for (const [klEstimator, wanted] of Object.entries(values)) {
      const objective = onRollouts(simpo(simpoOptions), {
        ...defaults,
        kl_coef: 0.3,
        kl_estimator: klEstimator as "k1",
      });
      const step = rolloutStep(objective, lists);
      const mean = wanted.reduce((sum, one) => sum + one, 0) / wanted.length;
      assertClose(step.loss - base.loss, 0.3 * mean, { rtol: 1e-9 });
      assertClose(step.metrics["kl"] ?? nan, mean, { rtol: 1e-12 });
      assertClose(step.grads.flat(), finiteDifferences(objective, lists).flat(), { atol: 1e-8, rtol: 1e-6 });
      assertWholeGroupCuts(objective, lists);
    }
    const rollout = fixtureRollout("qwen3");
    const made = onRollouts(simpo(simpoOptions), { ...defaults, kl_coef: 0.3, kl_in: "reward" }).prepare?.(
      rollout,
    );
    const wanted = rollout.rewards.map((reward, i) => {
      const kl = [...(rollout.samplerLogps[i] ?? [])].reduce(
        (sum, logp, t) => sum + logp - (rollout.referenceLogps?.[i]?.[t] ?? nan),
        0,
      );
      return reward - 0.3 * kl;
    });
    assertClose(made?.columns["rewards"] as number[], wanted, { atol: 1e-6 });
    assert.equal(made?.columns["referenceTokenLogps"], undefined);
  });
});

test("masked completions, without tokens, are in no pair", () => {
  withoutLeaks(() => {
    const given = { groupSizes: [3], logps: [[], [-1], [-2, -2]], columns: { rewards: [9, 1, 0] } };
    const step = rolloutStep(onRollouts(simpo(simpoOptions), defaults), given);
    assertClose(step.loss, Math.log1p(Math.exp(-(2 * 1 - 1))), { rtol: 1e-12 });
    const none = rolloutStep(onRollouts(slime(SLIME_SCRIPT), defaults), {
      ...given,
      columns: { rewards: [9, 1, 1] },
    });
    assert.deepEqual([none.loss, none.grads], [0, [[], [0], [0, 0]]]);
  });
});

test("the pairs that are counted and written down are without masked completions", () => {
  const { prepare } = onRollouts(simpo(simpoOptions), defaults);
  const made = prepare?.({
    ...{ groupSizes: [3, 2], rewards: [9, 1, 0, 3, 2], truncated: [true, false, false, true, false] },
    ...{ masked: [true, false, false, true, false], max_completion_length: 1, referenceLogps: null },
    samplerLogps: [1, 2, 3, 4, 5].map(() => new Float32Array(1)),
  });
  assert.deepEqual(made?.columns["rewards"], [nan, 1, 0, nan, 2]);
  assert.deepEqual([made?.metrics["pairs/frac_groups"], made?.metrics["pairs/per_group"]], [1 / 2, 1]);
  assert.equal(made?.metrics["objective/scores_margin"], 1);
  // all that were sampled are in the mean, as where nothing is masked
  assert.equal(made?.metrics["reward"], 3);
});

test("a KL that does nothing or is biased where it stands is warned of", () => {
  const warned = (options: Partial<PairingOptions>) => {
    const all = { ...defaults, kl_coef: 0.1, ...options };
    return PAIRING_CHECKS.filter(({ when }) => when(all))
      .map(({ text }) => text(all))
      .join();
  };
  assert.match(warned({ kl_estimator: "k1" }), /gradient of mean 0/);
  assert.match(warned({ kl_in: "reward", kl_estimator: "k3" }), /k3 in the reward has a biased gradient/);
  for (const right of [
    {},
    { kl_estimator: "k3" },
    { kl_in: "reward" },
    { kl_in: "reward", kl_estimator: "k1" },
  ] as const) {
    assert.equal(warned(right), "");
  }
});

test("what has no effect beside other options is known", () => {
  const idle = (options: Partial<PairingOptions>) => {
    const all = { ...defaults, ...options };
    return PAIRING_INACTIVE.filter(({ when }) => when(all)).flatMap((rule) => [...rule.keys]);
  };
  assert.deepEqual(idle({}), ["kl_in", "kl_estimator", "replay_coef", "anchor_threshold"]);
  assert.deepEqual(idle({ kl_coef: 1, anchor_on: "positive", replay: 0.5 }), []);
});
