/** RLOO: the golden numbers at the level of log-probs, gradients, cuts, advantages, settings. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../../test/support/close.ts";
import {
  type OnlineFamily,
  onlineBatch,
  onlineFamilies,
  onlineLosses,
  type RlooCase,
} from "../../../test/support/online-fixtures.ts";
import {
  assertSameInEveryCut,
  finiteDifferences,
  firstGroup,
  type RolloutLists,
  type RolloutStep,
  rolloutStep,
} from "../../../test/support/rollout-steps.ts";
import { fixtureRollout } from "../../../test/support/scored-rollout.ts";
import { loadMethod } from "../../config/load-config.ts";
import type { SettingsOf } from "../index.ts";
import type { CompletionObjective } from "../objective.ts";
import { rloo } from "./loss.ts";

const load = (values: Record<string, unknown> = {}) =>
  loadMethod({ objective: "rloo", ...values }) as SettingsOf<"rloo">;

const advantagesOf = (objective: CompletionObjective, rewards: number[], groupSizes: number[]) => {
  const none = rewards.map(() => new Float32Array(1));
  const rollout = {
    ...{ rewards, groupSizes, truncated: rewards.map(() => false), max_completion_length: 1 },
    ...{ samplerLogps: none, referenceLogps: none },
  };
  return objective.prepare?.(rollout).columns["advantages"] as number[];
};

function listsOf(family: OnlineFamily, one: RlooCase): RolloutLists {
  const { completions, groupSizes } = onlineBatch(family);
  const old = { oldLogps: completions.map(({ given_old_logps }) => given_old_logps) };
  const columns = { advantages: one.advantages, ...(one.old === "given" ? old : {}) };
  return { groupSizes, logps: onlineLosses(family).logps_float64, columns };
}

/**
 * Against TRL's. Normalised and without a KL, its advantages of the third group, whose rewards are all alike, are residues of
 * rounding above 0, which it counts as clipped.
 */
function assertClipMetrics(step: RolloutStep, { trl, beta, normalize_advantages }: RlooCase): void {
  if (normalize_advantages && beta === 0) return;
  for (const [name, value] of Object.entries(trl.metrics)) {
    if (name.startsWith("clip_ratio")) assertClose(step.metrics[name] ?? Number.NaN, value, { atol: 1e-7 });
  }
}

for (const family of onlineFamilies) {
  test(`${family}: each case's advantages, loss and TRL's metrics, in every cut`, () => {
    for (const one of onlineLosses(family).rloo) {
      withoutLeaks(() => {
        const { beta, normalize_advantages, epsilon } = one;
        const objective = rloo({ beta, normalize_advantages, epsilon, reward_clip_range: null });
        const prepared = objective.prepare?.(fixtureRollout(family));
        assertClose((prepared?.columns["advantages"] ?? []) as number[], one.advantages, { atol: 2e-6 });
        const lists = listsOf(family, one);
        const step = rolloutStep(objective, lists);
        // advantages and log-probs are in the file to 7 places, and the ratio multiplies the errors of all tokens
        assertClose(step.loss, one.float64.loss, { atol: 1e-6 });
        assertClipMetrics(step, one);
        assertSameInEveryCut(objective, lists, step);
        if (one.old === "given") {
          const [small] = [firstGroup(lists)];
          const { grads } = rolloutStep(objective, small);
          assertClose(grads.flat(), finiteDifferences(objective, small).flat(), { atol: 1e-9, rtol: 1e-7 });
        }
      });
    }
  });
}

test("advantages by hand: against the others of the group; dead groups and the unscorable are 0", () => {
  const objective = rloo(load({ beta: 0 }));
  assertClose(advantagesOf(objective, [1, 2, 6], [3]), [-3, -1.5, 4.5], { rtol: 1e-15 });
  const nan = Number.NaN;
  assertClose(
    advantagesOf(objective, [1, nan, 6, 0.1, 0.1, 0.1, 5, nan], [3, 3, 2]),
    [-5, 0, 5, 0, 0, 0, 0, 0],
    {},
  );
  const clipped = rloo(load({ beta: 0, reward_clip_range: [0, 2] }));
  assertClose(advantagesOf(clipped, [-9, 1, 9], [3]), [-1.5, 0, 1.5], { rtol: 1e-15 });
  const normal = rloo(load({ beta: 0, normalize_advantages: true }));
  const [a = 0, b = 0, c = 0] = advantagesOf(normal, [0, nan, 4], [3]);
  assertClose(
    [a, b, c],
    [-4, 0, 4].map((x) => x / (Math.hypot(4, 4) + 1e-4)),
    { rtol: 1e-12 },
  );
});

test("a masked completion has no part in the loss but in its normaliser", () => {
  withoutLeaks(() => {
    const columns = { advantages: [2, -2], oldLogps: [[-1], []] };
    const { loss } = rolloutStep(rloo(load()), { groupSizes: [2], logps: [[-1], []], columns });
    assert.equal(loss, -1);
  });
});

test("a range of rewards must be two numbers in order", () => {
  for (const range of [
    [1, -1],
    [0, 1, 2],
  ]) {
    assert.throws(
      () => load({ reward_clip_range: range }),
      /reward_clip_range: expected two numbers.*\[-5, 5\]/,
    );
  }
});

test("a completion that is masked has no KL in its reward nor in the mean: TRL multiplies the KL by its mask of tokens", () => {
  const logps = [[-1, -1], [-2], [-1, -3, -1]].map((one) => Float32Array.from(one));
  const reference = [[-2, -1], [-4], [-9, -9, -9]].map((one) => Float32Array.from(one));
  const prepared = rloo(load({ beta: 0.5 })).prepare?.({
    ...{ rewards: [1, 2, 6], groupSizes: [3], truncated: [false, false, true], masked: [false, false, true] },
    ...{ samplerLogps: logps, referenceLogps: reference, max_completion_length: 3 },
  });
  // KLs 1, 2 and, of the masked one, 0: rewards 0.5, 1 and 6
  assertClose((prepared?.columns["advantages"] ?? []) as number[], [-3, -2.25, 5.25], { rtol: 1e-12 });
  assertClose(prepared?.metrics["kl"] ?? Number.NaN, (1 + 2) / 3, { rtol: 1e-12 });
});
