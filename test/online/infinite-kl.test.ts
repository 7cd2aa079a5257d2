/** A log-prob of policy or reference that is not finite ends the step, whatever the objective would make of it. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { TrainingError } from "../../src/base/errors.ts";
import { OnlineSteps } from "../../src/online/online-steps.ts";
import type { PolicyReference } from "../../src/online/policy-reference.ts";
import { rollout } from "../../src/online/rollout.ts";
import { type Scorer, score } from "../../src/online/scored-rollout.ts";
import { update } from "../../src/online/update.ts";
import { openRolloutTraining, type RolloutTraining } from "../../src/recipes/rollout-training.ts";
import { noGrad, ops } from "../../src/torch/index.ts";
import { onlineFixture } from "../support/online-run.ts";
import type { Values } from "../support/runs.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());

const open = (values: Values) =>
  openRolloutTraining({ values: { ...fixture.online, ...values, output_dir: fixture.path("unused") } });

/** The sampler's log-probs as a reference's, that of the second token of the sixth completion replaced. */
function referenceWith(planted: number): PolicyReference {
  return {
    logps(groups) {
      const all = groups.flatMap(({ completions }) => completions.map(({ logps }) => logps.slice()));
      all[5]?.set([planted], 1);
      return all;
    },
    [Symbol.dispose]() {},
  };
}

/** The steps of a run with these parts. */
function stepsOf(
  { config, training, data, rewards, valueModel }: RolloutTraining,
  { reference, scorer = rewards }: { reference: PolicyReference; scorer?: Scorer },
): OnlineSteps {
  const { model, numerics, objective } = training;
  const { tokenizer, stopIds, dataset } = data;
  return new OnlineSteps({
    ...{ config, examples: dataset.examples, model, numerics, objective, scorer, reference, valueModel },
    ...{ ahead: null, tokenizer, stopIds },
  });
}

const refused =
  (model: string, planted: number, place = "token 2 of completion 2") =>
  (error: unknown) => {
    assert.ok(error instanceof TrainingError, `${error}`);
    const words = `: the log-prob of ${place} under the ${model} is ${planted}, so that there is no KL`;
    assert.match(error.message, /^\S*prompts\.jsonl:\d+: /);
    assert.ok(error.message.includes(words), error.message);
    return true;
  };

const objectives: Record<string, Values> = {
  grpo: { objective: "grpo", beta: 0.1 },
  rloo: { objective: "rloo" },
  ppo: { objective: "ppo", num_mini_batches: 1 },
  dpo: { objective: "dpo", kl_coef: 0.1, kl_in: "reward" },
};

for (const [name, values] of Object.entries(objectives)) {
  test(`${name}: a reference's log-prob that is not finite is named by row, completion and token`, async () => {
    for (const planted of [Number.NaN, Number.NEGATIVE_INFINITY]) {
      await using opened = await open(values);
      const steps = stepsOf(opened, { reference: referenceWith(planted) });
      await assert.rejects(steps.next(0), refused("reference", planted));
    }
    await using opened = await open(values);
    assert.ok((await stepsOf(opened, { reference: referenceWith(-2) }).next(0)) !== null);
  });
}

for (const name of ["rloo", "ppo", "dpo"]) {
  test(`${name}: a policy whose log-probs are not finite before the first step of a rollout is named`, async () => {
    await using opened = await open({ ...objectives[name] });
    const { training, rewards } = opened;
    const scorer: Scorer = {
      names: rewards.names,
      score(...given) {
        // what was sampled is finite; the policy's pass comes after the rewards
        const [weight = assert.fail()] = training.parameters.tensors.values();
        noGrad(() => ops.mul_(ops.detach(weight), Number.NaN));
        return rewards.score(...given);
      },
    };
    const steps = stepsOf(opened, { reference: referenceWith(-2), scorer });
    await assert.rejects(steps.next(0), refused("policy", Number.NaN, "token 1 of completion 1"));
  });
}

test("an update of a loop says the same", async () => {
  await using opened = await open({ objective: "rloo" });
  const { config, training, data, rewards } = opened;
  const prompts = data.dataset.examples.slice(0, 2).map((example, index) => ({ example, index }));
  const sampling = { ...config, stopIds: data.stopIds, dtype: "float32", seed: 1 } as const;
  const groups = await rollout(training.model, prompts, sampling);
  const scored = await score(rewards, groups, { ...config, tokenizer: data.tokenizer });
  const step = (planted: number) => {
    const options = { ...config, seed: 1, reference: referenceWith(planted) };
    return update(training, training.objective, scored, options);
  };
  assert.throws(() => step(Number.NaN), refused("reference", Number.NaN));
  assert.ok(Number.isFinite(step(-2).loss));
});
