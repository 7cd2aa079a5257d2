/** GRPO and its relatives: the golden numbers at the level of log-probs, gradients, cuts, advantages, settings. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../../test/support/close.ts";
import {
  type GrpoCase,
  grpoOptionsOf,
  onlineBatch,
  onlineFamilies,
  onlineLosses,
  totalRewards,
} from "../../../test/support/online-fixtures.ts";
import {
  assertSameInEveryCut,
  finiteDifferences,
  firstGroup,
  type RolloutLists,
  type RolloutStep,
  rolloutStep,
} from "../../../test/support/rollout-steps.ts";
import { loadMethod } from "../../config/load-config.ts";
import { groupAdvantages, isDeadGroup } from "../advantages.ts";
import type { SettingsOf } from "../index.ts";
import { grpo } from "./loss.ts";

type Family = (typeof onlineFamilies)[number];

const load = (values: Record<string, unknown>) =>
  loadMethod({ objective: "grpo", ...values }) as SettingsOf<"grpo">;

/** The batch as the case has it, its columns as `prepare` makes them. */
function listsOf(family: Family, one: GrpoCase): RolloutLists {
  const { completions, groupSizes, reward_weights, max_completion_length } = onlineBatch(family);
  const rewards = totalRewards(
    one.rewards?.flat() ?? completions.map((completion) => completion.rewards),
    reward_weights,
  );
  const isMasked = completions.map(
    ({ ended }) => one.config["mask_truncated_completions"] === true && !ended,
  );
  const kept = <T>(lists: readonly T[][]): T[][] =>
    lists.map((list, i) => (isMasked[i] === true ? [] : list));
  const prepared = grpo(grpoOptionsOf(one)).prepare?.({
    groupSizes,
    rewards,
    truncated: completions.map(({ ended }) => !ended),
    samplerLogps: completions.map(({ given_old_logps }) => Float32Array.from(given_old_logps)),
    referenceLogps: completions.map(({ given_ref_logps }) => Float32Array.from(given_ref_logps)),
    max_completion_length,
  });
  const columns = prepared?.columns ?? assert.fail("prepare");
  if (one.advantages !== undefined) {
    assertClose(columns["advantages"] as number[], one.advantages, { atol: 1e-7 });
  }
  return {
    groupSizes,
    logps: kept(onlineLosses(family).logps_float64),
    columns: {
      ...columns,
      // of the float32 numbers that a rollout brings, the file's own
      ...(one.beta > 0 ? { referenceTokenLogps: kept(completions.map((c) => c.given_ref_logps)) } : {}),
      ...(one.old === "given" ? { oldLogps: kept(completions.map((c) => c.given_old_logps)) } : {}),
    },
  };
}

/** The case called `name` on qwen3, with its KL or without. */
function caseOf(name: string, old: GrpoCase["old"], beta = 0): GrpoCase {
  const found = onlineLosses("qwen3").grpo.find(
    (one) => one.case === name && one.old === old && one.beta === beta,
  );
  return found ?? assert.fail(name);
}

/** Loss and metrics against the file's; log-probs and old ones are in it to 7 and 4 places, those at a temperature are not. */
function assertGolden(step: RolloutStep, one: GrpoCase): void {
  if (one.case === "dapo_temperature") return;
  assertClose(step.loss, one.float64.loss, { atol: 3e-8, rtol: 1e-7 });
  for (const [name, value] of Object.entries(one.trl.metrics)) {
    // the head's, not the objective's
    if (name === "entropy") continue;
    assertClose(step.metrics[name] ?? assert.fail(name), value, { atol: 1e-7, rtol: 1e-5 });
  }
}

for (const family of onlineFamilies) {
  test(`${family}: each case's loss and TRL's metrics, from log-probs, in every cut`, () => {
    const { grpo: cases } = onlineLosses(family);
    assert.equal(cases.length, 47);
    for (const one of cases) {
      withoutLeaks(() => {
        const [objective, lists] = [grpo(grpoOptionsOf(one)), listsOf(family, one)];
        const step = rolloutStep(objective, lists);
        assertGolden(step, one);
        if (one.old === "on_policy") {
          assert.deepEqual([step.metrics["ratio/min"], step.metrics["ratio/max"]], [1, 1]);
        }
        if (one.case !== "bnpo") assertSameInEveryCut(objective, lists, step);
      });
    }
  });
}

test("the gradient is that of the loss by finite differences, one case of each form", () => {
  const forms = [
    "grpo",
    "dr_grpo",
    "dapo",
    "bnpo",
    "luspo",
    "sapo",
    "gspo",
    "dapo_clip_higher",
    "dapo_two_sided",
  ];
  for (const name of forms) {
    for (const beta of ["luspo", "gspo"].includes(name) ? [0] : [0, 0.04]) {
      const one = caseOf(name, "given", beta);
      withoutLeaks(() => {
        const [objective, lists] = [grpo(grpoOptionsOf(one)), firstGroup(listsOf("qwen3", one))];
        const { grads } = rolloutStep(objective, lists);
        assertClose(grads.flat(), finiteDifferences(objective, lists).flat(), { atol: 1e-9, rtol: 1e-7 });
      });
    }
  }
});

test("cispo: the gradient is the bounded ratio times the advantage, and the ratio has none", () => {
  withoutLeaks(() => {
    const options = { ...grpoOptionsOf(caseOf("cispo", "given")), epsilon_high: 1.5 };
    const lists = {
      groupSizes: [2],
      logps: [[-1, -2], [-3]],
      columns: { advantages: [0.5, -2], oldLogps: [[-1.1, -3], [-2.9]] },
    };
    const { grads, metrics } = rolloutStep(grpo(options), lists);
    const wanted = [-Math.exp(0.1) * 0.5, -1.5 * 0.5, Math.exp(-0.1) * 2].map((x) => x / 3);
    assertClose(grads.flat(), wanted, { rtol: 1e-12 });
    assertClose(metrics["cispo_clip_ratio"] ?? 0, 1 / 3, { rtol: 1e-12 });
  });
});

test("on-policy every form's gradient is −A over its normaliser, whatever the model", () => {
  const lists = {
    groupSizes: [3],
    logps: [[-1, -2], [-0.5], [-2, -1, -3]],
    columns: { advantages: [1, -2, 1] },
  };
  const wanted: Record<string, number[]> = {
    grpo: [-1 / 6, -1 / 6, 2 / 3, -1 / 9, -1 / 9, -1 / 9],
    dapo: [-1, -1, 2, -1, -1, -1].map((x) => x / 6),
    luspo: [-1, -1, 2, -1, -1, -1].map((x) => x / 3),
    dr_grpo: [-1, -1, 2, -1, -1, -1].map((x) => x / 30),
  };
  for (const [lossType, grad] of Object.entries(wanted)) {
    withoutLeaks(() => {
      const objective = grpo(load({ loss_type: lossType }));
      const columns = { ...lists.columns, maxLengths: [10, 10, 10] };
      assertClose(rolloutStep(objective, { ...lists, columns }).grads.flat(), grad, { rtol: 1e-12 });
    });
  }
});

test("bnpo is the mean of the micro-batches' own means", () => {
  withoutLeaks(() => {
    const lists = { groupSizes: [2], logps: [[-1, -2, -1], [-3]], columns: { advantages: [2, -1] } };
    const objective = grpo(load({ loss_type: "bnpo" }));
    assertClose(rolloutStep(objective, lists).loss, -5 / 4, { rtol: 1e-12 });
    assertClose(rolloutStep(objective, lists, [[0], [1]]).loss, (-2 + 1) / 2, { rtol: 1e-12 });
  });
});

test("advantages: equality of rewards decides a dead group, and NaN stays out", () => {
  const alike = [0.1, 0.1, 0.1];
  assert.notEqual(alike.reduce((sum, x) => sum + x, 0) / 3, 0.1, "rounding leaves a deviation");
  for (const scaling of ["group", "batch", "none"] as const) {
    assert.deepEqual(groupAdvantages([...alike, 1, 2, 3], [3, 3], scaling).slice(0, 3), [0, 0, 0]);
  }
  const nan = Number.NaN;
  assert.deepEqual([[nan, 2, 2], [nan], [1, 2], [0.3, 0.1 + 0.2]].map(isDeadGroup), [
    true,
    true,
    false,
    false,
  ]);
  assertClose(groupAdvantages([1, nan, 3], [3], "none"), [-1, 0, 1], {});
  assertClose(
    groupAdvantages([1, nan, 3], [3], "group"),
    [-1, 0, 1].map((x) => x / (Math.SQRT2 + 1e-4)),
    { rtol: 1e-15 },
  );
  assert.deepEqual(groupAdvantages([nan, nan, 5, nan], [2, 2], "group"), [0, 0, 0, 0]);
});

test("a name brings what its paper says; preset trl brings TRL's values", () => {
  const shown = (values: Record<string, unknown>) => {
    const { epsilon_high, scale_rewards, importance_sampling_level } = load(values);
    return [epsilon_high, scale_rewards, importance_sampling_level];
  };
  assert.deepEqual(shown({}), [0.28, "group", "token"]);
  assert.deepEqual(shown({ loss_type: "dr_grpo" }), [0.2, "none", "token"]);
  assert.deepEqual(shown({ loss_type: "cispo" }), [5, "group", "token"]);
  assert.deepEqual(shown({ loss_type: "luspo" }), [0.2, "group", "sequence"]);
  assert.deepEqual(shown({ loss_type: "dr_grpo", preset: "trl", epsilon: 0.3 }), [0.3, "group", "token"]);
  assert.deepEqual(shown({ loss_type: "dr_grpo", scale_rewards: "batch", epsilon_high: 0.4 }), [
    0.4,
    "batch",
    "token",
  ]);
  assert.throws(() => load({ loss_type: "cispo", epsilon_high: 0.9 }), /epsilon_high: .*Set epsilon_high: 5/);
  assert.throws(() => load({ loss_type: "cispo", preset: "trl" }), /epsilon_high: .*0\.2/);
});

test("the reference's log-probs are asked for with beta alone, and missed by name", () => {
  assert.ok(!("referenceTokenLogps" in (grpo(load({})).columns ?? {})));
  const objective = grpo(load({ beta: 0.1 }));
  assert.equal(objective.columns?.["referenceTokenLogps"], "token");
  const rollout = {
    ...{ groupSizes: [1], rewards: [1], truncated: [false], samplerLogps: [new Float32Array(2)] },
    ...{ referenceLogps: null, max_completion_length: 4 },
  };
  assert.throws(() => objective.prepare?.(rollout), /beta needs log-probs under a reference/);
});
