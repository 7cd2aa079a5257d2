/** PPO: the golden numbers at the level of log-probs, the value loss by hand, gradients, cuts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../../test/support/close.ts";
import {
  type EqualLengths,
  onlineBatch,
  onlineFamilies,
  onlineLosses,
  onlinePpo,
  type PpoCase,
  totalRewards,
} from "../../../test/support/online-fixtures.ts";
import {
  assertSameInEveryCut,
  finiteDifferences,
  firstGroup,
  rolloutStep,
} from "../../../test/support/rollout-steps.ts";
import { fixtureRollout } from "../../../test/support/scored-rollout.ts";
import { at } from "../../base/at.ts";
import { loadMethod } from "../../config/load-config.ts";
import { backward, type Tensor, tensor } from "../../torch/index.ts";
import type { SettingsOf } from "../index.ts";
import { methods } from "../index.ts";
import { gae, tokenRewards, whitened } from "./advantages.ts";
import { ppo } from "./loss.ts";
import type { PpoOptions } from "./settings.ts";
import { valueLoss } from "./value-loss.ts";

const defaults = loadMethod({ objective: "ppo" }) as SettingsOf<"ppo">;

function optionsOf({ options }: PpoCase | EqualLengths): PpoOptions {
  return { ...defaults, ...(options as unknown as Partial<PpoOptions>) };
}

for (const family of onlineFamilies) {
  test(`${family}: token rewards, advantages, returns, policy loss and clipped fraction`, () => {
    const { completions, groupSizes, reward_weights } = onlineBatch(family);
    const rewards = totalRewards(
      completions.map((c) => c.rewards),
      reward_weights,
    );
    const old = completions.map((c) => c.given_old_logps);
    for (const one of onlinePpo(family).ragged) {
      const options = optionsOf(one);
      const ofTokens = rewards.map((reward, i) =>
        tokenRewards(reward, at(old, i), at(completions, i).given_ref_logps, options),
      );
      // the file has 7 places
      assertClose(ofTokens.flat(), one.token_rewards.flat(), { atol: 6e-8 });
      const raw = ofTokens.map((row, i) => gae(row, at(one.old_values, i), options));
      const returns = raw.map((row, i) => row.map((x, t) => x + at(at(one.old_values, i), t)));
      const advantages = whitened(raw);
      assertClose(returns.flat(), one.returns.flat(), { atol: 6e-8 });
      assertClose(advantages.flat(), one.advantages.flat(), { atol: 6e-8 });
      withoutLeaks(() => {
        const objective = ppo(options);
        const lists = {
          groupSizes,
          logps: onlineLosses(family).logps_float64,
          columns: { advantages, oldLogps: old },
        };
        const step = rolloutStep(objective, lists);
        assertClose(step.loss, one.policy_loss, { atol: 3e-8 });
        assertClose(step.metrics["policy/clipfrac_avg"] ?? -1, one.clipfrac, { rtol: 1e-12 });
        assertSameInEveryCut(objective, lists, step);
        const small = firstGroup(lists);
        const numeric = finiteDifferences(objective, small).flat();
        assertClose(rolloutStep(objective, small).grads.flat(), numeric, { atol: 1e-9, rtol: 1e-7 });
      });
    }
  });

  test(`${family}: prepare makes the same of a rollout with values, by token`, () => {
    const { old_values, advantages, returns, options } = onlinePpo(family).ragged[0] ?? assert.fail();
    const values = old_values.map((row) => Float32Array.from(row));
    const objective = ppo({ ...defaults, ...(options as unknown as Partial<PpoOptions>) });
    const { columns, metrics } = objective.prepare?.(fixtureRollout(family, { values })) ?? assert.fail();
    const flat = (name: string) => (columns[name] as Float32Array[]).flatMap((row) => [...row]);
    assertClose(flat("advantages"), advantages.flat(), { atol: 1e-6 });
    assertClose(flat("returns"), returns.flat(), { atol: 1e-6 });
    assertClose(flat("oldValues"), old_values.flat(), { atol: 1e-7 });
    const expected = Number(metrics["objective/scores"]) + Number(metrics["objective/non_score_reward"]);
    assertClose(Number(metrics["objective/rlhf_reward"]), expected, { rtol: 1e-12 });
  });
}

test("GAE by hand: the value after the last token is 0", () => {
  // δ = [0 + 0.5·3 − 2, 1 + 0 − 3] = [−0.5, −2]; Â = [−0.5 + 0.25 · −2, −2]
  assertClose(gae([0, 1], [2, 3], { gamma: 0.5, lam: 0.5 }), [-1, -2], {});
  assertClose(
    whitened([[1], [3]]).flat(),
    [-1, 1].map((x) => x / Math.sqrt(2 + 1e-8)),
    { rtol: 1e-15 },
  );
  assertClose(whitened([[1], [3]], true).flat(), [2 - 1 / Math.sqrt(2 + 1e-8), 2 + 1 / Math.sqrt(2 + 1e-8)], {
    rtol: 1e-15,
  });
});

test("whiten_rewards scales the tokens' rewards before the advantages; an unscorable completion has none", () => {
  const rollout = {
    ...{
      groupSizes: [3],
      rewards: [1, Number.NaN, 3],
      truncated: [false, false, false],
      max_completion_length: 2,
    },
    samplerLogps: [new Float32Array(2), new Float32Array(1), new Float32Array(1)],
    ...{ referenceLogps: null, values: [[0.5, 0.25], [9], [1]].map((row) => Float32Array.from(row)) },
  };
  const of = (options: Partial<PpoOptions>) => {
    const prepared = ppo({ ...defaults, kl_coef: 0, lam: 1, ...options }).prepare?.(rollout);
    return Object.values(prepared?.columns ?? {}).map((rows) =>
      (rows as Float32Array[]).flatMap((row) => [...row]),
    );
  };
  const [advantages = [], , returns = []] = of({});
  assert.equal(advantages[2], 0);
  assertClose(returns, [1, 1, 9, 3], { atol: 1e-6 });
  // rewards of tokens 0, 1, 3: mean 4/3, variance 7/3
  const [, , whitenedReturns = []] = of({ whiten_rewards: true });
  const scaled = [0, 1, 3].map((x) => 4 / 3 + (x - 4 / 3) / Math.sqrt(7 / 3 + 1e-8));
  const [r0 = 0, r1 = 0, r2 = 0] = scaled;
  assertClose(whitenedReturns, [r0 + r1, r1, 9, r2], { atol: 1e-6 });
  assert.throws(() => ppo(defaults).prepare?.(fixtureRollout("qwen3")), /ppo needs the rollout's values/);
});

test("advantages are whitened over the tokens that are trained on: those of a masked completion are not among them", () => {
  const rollout = {
    ...{ groupSizes: [3], rewards: [1, -7, 3], truncated: [false, true, false], max_completion_length: 2 },
    samplerLogps: [2, 2, 1].map((length) => new Float32Array(length)),
    ...{ referenceLogps: null, values: [2, 2, 1].map((length) => new Float32Array(length)) },
  };
  const columnsOf = (masked: boolean[]) =>
    ppo({ ...defaults, kl_coef: 0, lam: 1 }).prepare?.({ ...rollout, masked }).columns ?? {};
  const { advantages = [], returns = [] } = columnsOf([false, true, false]);
  const [first = [], left = [], last = []] = advantages as Float32Array[];
  assertClose([...first, ...last], whitened([[1, 1, 3]]).flat(), { atol: 1e-6 });
  assert.deepEqual([...(left as Float32Array)], [0, 0]);
  // the value model learns of all
  assert.deepEqual(returns, columnsOf([false, false, false])["returns"]);
});

test("the value loss by hand: the worse of the free and the clipped value, and its gradient", () => {
  withoutLeaks(() => {
    const row = (values: number[]) => tensor(values, [values.length], { dtype: "float64" });
    const values = row([1, 2, -1]);
    values.requiresGrad = true;
    const given = { values, oldValues: row([1.1, 1, 0]), returns: row([0, 3, -2]) };
    const { loss, metrics } = valueLoss(given, { cliprange_value: 0.2, vf_coef: 0.1 }, 4);
    // inside: 1, 1.2, −0.2; squares: 1 | 1 → 1, 1 | 3.24 → 3.24, 1 | 3.24 → 3.24
    assertClose(loss.item(), (0.1 * 0.5 * (1 + 3.24 + 3.24)) / 4, { rtol: 1e-12 });
    assertClose(metrics["val/clipfrac_avg"]?.sum.item() ?? -1, 2, {});
    backward([loss]);
    // where the clipped one is worse the gradient is 0
    assertClose((values.grad as Tensor).toNumbers(), [(0.1 * 0.5 * 2) / 4, 0, 0], { rtol: 1e-12 });
  });
});

test("how often a rollout is used is PPO's own", () => {
  assert.deepEqual(methods.ppo.updates?.(defaults), { passes: 4, steps: 1 });
});
