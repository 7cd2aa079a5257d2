/** On-policy training as a library: the example loop trains, and one update on a rollout is the run's own step. */
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { deriveSeed } from "../../src/base/random.ts";
import { corrected } from "../../src/methods/importance-sampling.ts";
import { PromptOrder } from "../../src/online/prompt-order.ts";
import { rollout } from "../../src/online/rollout.ts";
import { score } from "../../src/online/scored-rollout.ts";
import { update } from "../../src/online/update.ts";
import { openRolloutTraining } from "../../src/recipes/rollout-training.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { startProgram } from "../support/command.ts";
import { startJudge } from "../support/judge-server.ts";
import { onlineFixture } from "../support/online-run.ts";
import { checkpointOf, runTraining, tensorsOf } from "../support/runs.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());

test("the example loop trains and writes a checkpoint", async () => {
  const file = fixture.path("run.yaml");
  const { reward_workers: _, ...values } = fixture.online;
  writeFileSync(file, JSON.stringify({ ...values, output_dir: fixture.path("unused") }));
  const output = fixture.path("loop");
  const { status, stdout, stderr } = await startProgram(["examples/rollout-loop.ts", file, output, "3"])
    .ended;
  assert.equal(status, 0, stderr);
  assert.equal([...stdout.matchAll(/^step \d: reward [\d.]+/gm)].length, 3, stdout);
  assert.ok(existsSync(join(output, "checkpoint-3", "model.safetensors")), stdout);
});

test("an update changes the law of the next rollout's first token; the ratio of the first update is 1", async () => {
  const values = { ...fixture.online, output_dir: fixture.path("unused") };
  await using open = await openRolloutTraining({ values });
  const { config, training, data, rewards } = open;
  const prompts = data.dataset.examples.map((example, index) => ({ example, index }));
  const sample = () =>
    rollout(training.model, prompts, {
      ...config,
      ...{ stopIds: data.stopIds, dtype: "float32", seed: 3 },
    });
  const before = await sample();
  const sum = { reward_weights: null, missing_eos_penalty: null };
  const scored = await score(rewards, before, { ...sum, tokenizer: data.tokenizer });
  const { max_completion_length } = config;
  const options = { learning_rate: 0.01, seed: 1, max_completion_length };
  const first = update(training, training.objective, scored, options);
  assert.deepEqual([first.metrics["ratio/min"], first.metrics["ratio/max"]], [1, 1]);
  const second = update(training, training.objective, scored, {
    ...options,
    oldLogps: first.completionLogps,
  });
  assert.notEqual(second.metrics["ratio/max"], 1);
  const after = await sample();
  const firstLogps = (groups: typeof before) =>
    groups.flatMap(({ completions }) => completions.map(({ logps }) => logps[0]));
  assert.notDeepEqual(firstLogps(before), firstLogps(after));
});

test("a loop has all that scores in its configuration: functions with the run's settings, a reward model, a judge", async () => {
  const model = fixture.path("reward-model");
  await runTraining({ ...fixture.values, ...{ objective: "reward", output_dir: model, max_steps: 1 } });
  await using server = await startJudge(() => "Rating: [[7]]");
  const values = {
    ...fixture.online,
    ...{ output_dir: fixture.path("scored"), reward_funcs: [`${fixture.rewards}#even`, "overlong"] },
    ...{ reward_model: join(model, "model"), judge: `${server.baseUrl}#m`, reward_weights: [1, 2, 3, 4] },
  };
  await using open = await openRolloutTraining({ values });
  const { config, training, data, rewards } = open;
  assert.deepEqual(rewards.names, ["even", "overlong", "reward_model", "judge"]);
  const [example] = data.dataset.examples;
  assert.ok(example !== undefined);
  const groups = await rollout(training.model, [{ example, index: 0 }], {
    ...config,
    ...{ stopIds: data.stopIds, dtype: "float32", seed: 3 },
  });
  const { scores, rewards: sums } = await score(rewards, groups, { ...config, tokenizer: data.tokenizer });
  for (const [i, sum] of sums.entries()) {
    const values = scores.functions.map((one) => one.values[i] ?? Number.NaN);
    assert.equal(values[3], 7);
    const want = values.reduce((total, value, f) => total + (f + 1) * value, 0);
    assert.ok(Math.abs(sum - want) < 1e-12, `${sum}, ${want}`);
  }
});

for (const [kind, values] of Object.entries({ full: {}, lora: { use_peft: true, lora_r: 4 } })) {
  test(`${kind}: a loop of PPO with its value model is the run, to the bit`, async () => {
    const ppo = {
      ...{ ...fixture.online, ...values, objective: "ppo", num_ppo_epochs: 2, max_steps: 4 },
      ...{ lr_scheduler_type: "constant", warmup_ratio: 0, value_learning_rate: 5e-3 },
    };
    const run = fixture.path(`ppo-${kind}`);
    await runTraining({ ...ppo, output_dir: run });
    await using open = await openRolloutTraining({ values: { ...ppo, output_dir: fixture.path("unused") } });
    const { config, training, data, rewards, valueModel } = open;
    using reference = open.openReference();
    const order = new PromptOrder(data.dataset.examples.length, config);
    const rows: Record<string, number>[] = [];
    for (let round = 0; round < 2; round++) {
      const prompts = order.take(2 * round, 2).map((index) => {
        return { index, example: data.dataset.examples[index] ?? assert.fail() };
      });
      const seed = deriveSeed(deriveSeed(config.seed, 2 ** 31 + 1), 1024 * round);
      const groups = await rollout(training.model, prompts, {
        ...config,
        ...{ stopIds: data.stopIds, dtype: "float32", seed },
      });
      const scored = await score(rewards, groups, { ...config, tokenizer: data.tokenizer });
      const options = { ...config, seed: 1, reference, valueModel };
      const first = update(training, training.objective, scored, options);
      const { completionLogps: oldLogps, values: old } = first;
      assert.ok(old !== null);
      const second = update(training, training.objective, scored, { ...options, oldLogps, values: old });
      rows.push(first.metrics, second.metrics);
    }
    const logged = readMetrics(join(run, "metrics.jsonl")) as unknown as Record<string, number>[];
    for (const [i, row] of rows.entries()) {
      for (const name of ["loss/policy_avg", "loss/value_avg", "val/ratio", "val/grad_norm"])
        assert.equal(row[name], logged[i]?.[name], `step ${i + 1}, ${name}`);
    }
    const saved = await open.save(fixture.path(`loop-${kind}`), 4);
    const name = kind === "full" ? "model.safetensors" : "adapter_model.safetensors";
    for (const file of [name, "optimizer.safetensors"]) {
      for (const dir of ["", "value_model"]) {
        const [want, got] = [checkpointOf(run, 4), saved].map((at) => tensorsOf(join(at, dir, file)));
        assert.deepEqual(got, want, join(dir, file));
      }
    }
  });
}

test("PPO's update without a value model says where there is one; frozen, the policy stays and the values learn", async () => {
  const values = { ...fixture.online, objective: "ppo", kl_coef: 0, output_dir: fixture.path("unused") };
  await using open = await openRolloutTraining({ values });
  const { config, training, data, rewards, valueModel } = open;
  const prompts = data.dataset.examples.slice(0, 2).map((example, index) => ({ example, index }));
  const sampling = { ...config, stopIds: data.stopIds, dtype: "float32", seed: 1 } as const;
  const groups = await rollout(training.model, prompts, sampling);
  const scored = await score(rewards, groups, { ...config, tokenizer: data.tokenizer });
  const { objective } = training;
  assert.throws(
    () => update(training, objective, scored, { ...config, seed: 1 }),
    /give `update` a value model/,
  );
  const frozen = update(training, objective, scored, { ...config, seed: 1, valueModel, frozen: true });
  const again = update(training, objective, scored, { ...config, seed: 1, valueModel, frozen: true });
  assert.deepEqual(again.completionLogps, frozen.completionLogps);
  assert.notDeepEqual(again.values, frozen.values);
});

test("an update leaves cut completions out where it is given the key, as a run does", async () => {
  const values = { ...fixture.online, ...{ max_steps: 1, mask_truncated_completions: true } };
  const run = fixture.path("masked");
  await runTraining({ ...values, output_dir: run });
  await using open = await openRolloutTraining({ values: { ...values, output_dir: fixture.path("unused") } });
  const { config, training, data, rewards } = open;
  const prompts = new PromptOrder(data.dataset.examples.length, config)
    .take(0, 2)
    .map((index) => ({ index, example: data.dataset.examples[index] ?? assert.fail() }));
  const seed = deriveSeed(deriveSeed(config.seed, 2 ** 31 + 1), 0);
  const sampling = { ...config, stopIds: data.stopIds, dtype: "float32", seed } as const;
  const scored = await score(rewards, await rollout(training.model, prompts, sampling), {
    ...{ ...config, tokenizer: data.tokenizer },
  });
  const all = scored.groups.flatMap(({ completions }) => completions);
  assert.ok(all.some(({ ended }) => !ended));
  const { completionLogps, loss, gradNorm } = update(training, training.objective, scored, {
    ...{ ...config, seed: 1 },
  });
  assert.deepEqual(
    completionLogps.map(({ length }) => length),
    all.map(({ ids, ended }) => (ended ? ids.length : 0)),
  );
  const [logged] = readMetrics(join(run, "metrics.jsonl"));
  assert.deepEqual([loss, gradNorm], [logged?.["loss"], logged?.["grad_norm"]]);
});

test("an objective that takes the sampler's log-probs is given them", async () => {
  const values = { ...fixture.online, output_dir: fixture.path("unused") };
  await using open = await openRolloutTraining({ values });
  const { config, training, data, rewards } = open;
  const [example = assert.fail()] = data.dataset.examples;
  const sampling = { ...config, stopIds: data.stopIds, dtype: "float32", seed: 1 } as const;
  const groups = await rollout(training.model, [{ index: 0, example }], sampling);
  const scored = await score(rewards, groups, { ...config, tokenizer: data.tokenizer });
  const objective = corrected(training.objective, { ...config, importance_sampling_mode: "token_mask" });
  const { metrics } = update(training, objective, scored, { ...config, seed: 1 });
  const ratio = metrics["sampling/importance_sampling_ratio/mean"] ?? Number.NaN;
  assert.ok(Math.abs(ratio - 1) < 1e-4, `${ratio}`);
});

test("keys that a loop has no use for are refused by name; weights are never updated after a part of an update", async () => {
  const values = { ...fixture.online, output_dir: fixture.path("unused") };
  for (const [key, given, none] of [
    ["dynamic_sampling", 2, 0],
    ["skip_step_sigma", 3, null],
    ["replay", 1, 0],
  ] as const) {
    const pairs = key === "replay" ? { objective: "slime" } : {};
    const remedy = new RegExp(`^ConfigError: ${key}: .* ${given} has no effect. Set it to ${none}\\.$`);
    await assert.rejects(openRolloutTraining({ values: { ...values, ...pairs, [key]: given } }), remedy);
  }
  const eager = { optimizer_in_backward: true, max_grad_norm: 0, gradient_accumulation_steps: 1 };
  await using open = await openRolloutTraining({ values: { ...values, ...eager } });
  const { config, training, data, rewards } = open;
  assert.equal(training.optimizer_in_backward, true);
  const prompts = data.dataset.examples.slice(0, 2).map((example, index) => ({ example, index }));
  const sampling = { ...config, stopIds: data.stopIds, dtype: "float32", seed: 1 } as const;
  const groups = await rollout(training.model, prompts, sampling);
  const scored = await score(rewards, groups, { ...config, tokenizer: data.tokenizer });
  const options = { ...config, seed: 1 };
  assert.throws(
    () => update(training, training.objective, scored, options),
    /^ShapeError: optimizer_in_backward: expected a step of one micro-batch, got 2/,
  );
  update(training, training.objective, scored, { ...options, per_device_train_batch_size: 8 });
});
