/** RAFT: what is selected, its loss by hand, and the cuts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../../test/support/close.ts";
import { assertSameInEveryCut, rolloutStep } from "../../../test/support/rollout-steps.ts";
import type { CompletionObjective } from "../objective.ts";
import { raft } from "./loss.ts";

const nan = Number.NaN;

function prepared(
  objective: CompletionObjective,
  rewards: number[],
  groupSizes: number[],
  masked: boolean[] = [],
) {
  const none = rewards.map(() => new Float32Array(1));
  const result = objective.prepare?.({
    ...{ rewards, groupSizes, truncated: rewards.map(() => false), max_completion_length: 1 },
    ...{ samplerLogps: none, referenceLogps: null, masked },
  });
  return result ?? assert.fail("prepare");
}

test("the best of each group is selected, the first of equals, above the threshold alone", () => {
  const rewards = [1, 3, 3, nan, 0, -1, nan, nan];
  const sizes = [3, 3, 2];
  const all = prepared(raft({ reward_threshold: null }), rewards, sizes);
  assert.deepEqual(all.columns["selected"], [0, 1, 0, 0, 1, 0, 0, 0]);
  assert.equal(all.metrics["raft/frac_groups"], 2 / 3);
  assert.equal(all.metrics["raft/reward"], 1.5);
  const above = prepared(raft({ reward_threshold: 0 }), rewards, sizes);
  assert.deepEqual(above.columns["selected"], [0, 1, 0, 0, 0, 0, 0, 0]);
  const none = prepared(raft({ reward_threshold: 3 }), rewards, sizes);
  assert.equal("raft/reward" in none.metrics, false);
});

test("a completion that the loss leaves out is never the best: the best of the others is trained on", () => {
  const masked = [false, true, true, true, false];
  const { columns, metrics } = prepared(raft({ reward_threshold: null }), [1, 3, 2, 4, nan], [3, 2], masked);
  assert.deepEqual(columns["selected"], [1, 0, 0, 0, 0]);
  assert.equal(metrics["raft/frac_groups"], 1 / 2);
  assert.equal(metrics["raft/reward"], 1);
  const above = prepared(raft({ reward_threshold: 1 }), [1, 3, 2], [3], masked);
  assert.deepEqual(above.columns["selected"], [0, 0, 0]);
});

test("the loss is the selected tokens' mean negative log-likelihood, in every cut; none selected is 0", () => {
  withoutLeaks(() => {
    const objective = raft({ reward_threshold: null });
    const logps = [[-1, -2], [-7], [-4, -4, -4], [-9]];
    const lists = { groupSizes: [2, 2], logps, columns: { selected: [1, 0, 1, 0] } };
    const step = rolloutStep(objective, lists);
    assertClose(step.loss, 3, { rtol: 1e-15 });
    assertClose(step.grads.flat(), [-0.2, -0.2, 0, -0.2, -0.2, -0.2, 0], { rtol: 1e-15 });
    assertSameInEveryCut(objective, lists, step);
    assert.equal(rolloutStep(objective, { ...lists, columns: { selected: [0, 0, 0, 0] } }).loss, 0);
  });
});
