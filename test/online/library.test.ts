/** On-policy training as a library: the example loop trains, and one update on a rollout is the run's own step. */
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { rollout } from "../../src/online/rollout.ts";
import { score } from "../../src/online/scored-rollout.ts";
import { update } from "../../src/online/update.ts";
import { openRolloutTraining } from "../../src/recipes/rollout-training.ts";
import { startProgram } from "../support/command.ts";
import { startJudge } from "../support/judge-server.ts";
import { onlineFixture } from "../support/online-run.ts";
import { runTraining } from "../support/runs.ts";

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
