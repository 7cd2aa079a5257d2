/** Completions without a gradient go forward alone: in micro-batches apart, and the step is the one that takes all of them back. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { CompletionObjective } from "../../src/methods/objective.ts";
import { rollout } from "../../src/online/rollout.ts";
import { rolloutBatches } from "../../src/online/rollout-batches.ts";
import { update } from "../../src/online/update.ts";
import { openRolloutTraining } from "../../src/recipes/rollout-training.ts";
import { trainStep } from "../../src/train/step.ts";
import { assertClose } from "../support/close.ts";
import { onlineFixture } from "../support/online-run.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());

/** What a step on one rollout gives, and the weights after it. */
async function stepOf(
  values: Record<string, unknown>,
  change: (own: CompletionObjective) => CompletionObjective,
) {
  // with a large epsilon updates are in proportion to gradients
  const common = { ...fixture.online, output_dir: fixture.path("unused"), adam_epsilon: 1 };
  await using open = await openRolloutTraining({ values: { ...common, ...values } });
  const { config, training, data } = open;
  const prompts = data.dataset.examples.slice(0, 3).map((example, index) => ({ example, index }));
  const groups = await rollout(training.model, prompts, {
    ...config,
    ...{ stopIds: data.stopIds, dtype: "float32", seed: 3 },
  });
  // the second group teaches nothing, and in the others some are where the mean is
  const n = config.num_generations;
  const rewards = groups.flatMap((_, g) =>
    Array.from({ length: n }, (_, i) => (g === 1 ? 0.5 : (i % 3) / 2)),
  );
  const { max_completion_length } = config;
  const objective = change(training.objective as CompletionObjective);
  const result = update(
    training,
    objective,
    { groups, rewards, scores: { functions: [], values: [] } as never },
    { learning_rate: 10, seed: 1, max_completion_length, log_entropy: true },
  );
  const weights = [...training.parameters].map(({ name, tensor }) => [name, tensor.toNumbers()] as const);
  return { ...result, weights: new Map(weights) };
}

const cases: Record<string, Record<string, unknown>> = {
  grpo: { objective: "grpo", beta: 0 },
  "grpo of sequences, not scaled": {
    ...{ objective: "grpo", beta: 0, loss_type: "dr_grpo", importance_sampling_level: "sequence" },
  },
  cispo: { objective: "grpo", beta: 0, loss_type: "cispo" },
  rloo: { objective: "rloo", beta: 0 },
  raft: { objective: "raft" },
  simpo: { objective: "simpo" },
};
for (const [name, values] of Object.entries(cases)) {
  test(`${name}: the step of all completions, with those apart that have no gradient`, async () => {
    const apart = await stepOf(values, (own) => {
      assert.ok(own.withoutGradient !== undefined);
      return own;
    });
    const together = await stepOf(values, ({ withoutGradient: _, ...own }) => own);
    assertClose(apart.loss, together.loss, { rtol: 1e-5, atol: 1e-7 });
    assertClose(apart.gradNorm, together.gradNorm, { rtol: 1e-5, atol: 1e-7 });
    assert.ok(apart.gradNorm > 0);
    assert.deepEqual(Object.keys(apart.metrics).sort(), Object.keys(together.metrics).sort());
    for (const [metric, value] of Object.entries(together.metrics)) {
      assertClose(apart.metrics[metric] ?? Number.NaN, value, { rtol: 1e-5, atol: 1e-6 });
    }
    for (const [i, logps] of together.completionLogps.entries()) {
      assertClose([...(apart.completionLogps[i] ?? [])], [...logps], { rtol: 0, atol: 1e-5 });
    }
    for (const [parameter, numbers] of together.weights) {
      assertClose(apart.weights.get(parameter) ?? [], numbers, { rtol: 0, atol: 1e-5 });
    }
  });
}

test("a micro-batch without a gradient has no backward pass, on one rank and with gradients added up", async () => {
  await using open = await openRolloutTraining({
    values: { ...fixture.online, output_dir: fixture.path("unused"), beta: 0 },
  });
  const { config, training, data } = open;
  const prompts = data.dataset.examples.slice(0, 1).map((example, index) => ({ example, index }));
  const groups = await rollout(training.model, prompts, {
    ...config,
    ...{ stopIds: data.stopIds, dtype: "float32", seed: 3 },
  });
  const packing = { ...config, mayCutGroups: true };
  const batches = rolloutBatches(groups, 0, { advantages: [1, -1, 2, -2] }, packing);
  const options = { learningRate: 0.01, seed: 1, log_entropy: false, frozen: true };
  const { gradNorm, loss } = trainStep(training, batches, options);
  assert.ok(gradNorm > 0);
  const flagged = batches.map((batch) => ({ ...batch, hasNoGradient: true }));
  const alone = trainStep(training, flagged, options);
  assertClose(alone.loss, loss, { atol: 1e-6 });
  assert.equal(alone.gradNorm, 0);
});
