/** On-policy training end to end: what a run samples, scores, learns and writes down. */
import assert from "node:assert/strict";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { ConfigError } from "../../src/base/errors.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { readRollouts } from "../../src/runs/rollouts.ts";
import { onlineFixture } from "../support/online-run.ts";
import { checkpointOf, losses, type RunRecord, runTraining, type Values } from "../support/runs.ts";
import { pairRows, writeRows } from "../support/tiny-model.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());
const { online } = fixture;

let runs = 0;

async function run(values: Values = {}): Promise<{ dir: string; record: RunRecord }> {
  const dir = fixture.path(`run-${++runs}`);
  return { dir, record: await runTraining({ ...online, ...values, output_dir: dir }) };
}

const rowsOf = (dir: string) => readMetrics(join(dir, "metrics.jsonl"));

test("a GRPO run: the ratio of the first update is exactly 1, rewards and completions are logged and kept", async () => {
  const { dir, record } = await run();
  assert.equal(losses(record).length, 4);
  for (const row of rowsOf(dir)) {
    assert.deepEqual([row["ratio/min"], row["ratio/max"]], [1, 1]);
    assert.ok((row["sampling/sampling_logp_difference/max"] as number) < 1e-5);
    assert.ok(Number.isFinite(row["rewards/even/mean"]) && Number.isFinite(row["reward"]));
    assert.ok((row["grad_norm"] as number) > 0);
  }
  const rollouts = readRollouts(join(dir, "rollouts.jsonl.gz"));
  assert.equal(rollouts.length, 4 * 8);
  const [first] = rollouts;
  assert.ok(first !== undefined && first.ids.length > 0 && typeof first.advantage === "number");
  assert.match(first.row, /prompts\.jsonl:\d+$/);
  const mean = rollouts.slice(0, 8).reduce((sum, { reward }) => sum + (reward ?? 0), 0) / 8;
  assert.ok(Math.abs(mean - (rowsOf(dir)[0]?.["reward"] as number)) < 1e-12);
});

test("bfloat16: the sampler's difference is logged and stops nothing; the first ratio is 1", async () => {
  const { dir } = await run({ dtype: "bfloat16", max_steps: 2 });
  for (const row of rowsOf(dir)) {
    const [mean, max] = ["mean", "max"].map((of) => row[`sampling/sampling_logp_difference/${of}`] as number);
    assert.ok(1e-5 < Number(mean) && Number(mean) < Number(max) && Number(max) < 0.5, `${mean}, ${max}`);
    assert.deepEqual([row["ratio/min"], row["ratio/max"]], [1, 1]);
  }
});

test("bfloat16: a later part of a rollout is compared with the training model before its steps, not with the sampler", async () => {
  const { dir } = await run({ dtype: "bfloat16", max_steps: 2, steps_per_generation: 2, learning_rate: 0 });
  const row = rowsOf(dir)[1] ?? assert.fail("two steps");
  for (const name of ["ratio/min", "ratio/max"]) {
    assert.ok(Math.abs((row[name] as number) - 1) < 1e-3, `${name}: ${row[name]}`);
  }
});

for (const dtype of ["float32", "bfloat16"]) {
  const kls = { rloo: { beta: 0.1 }, ppo: { kl_coef: 0.1 }, dpo: { kl_coef: 0.1, kl_in: "reward" } };
  for (const [objective, kl] of Object.entries(kls)) {
    test(`${objective}, ${dtype}: a KL in the reward is of two passes of training, exactly 0 at the start`, async () => {
      const values = { objective, ...kl, dtype, max_steps: 1, use_peft: true };
      const { dir } = await run({ ...values, lora_r: 4, reward_funcs: [`${fixture.rewards}#alike`] });
      const [row] = rowsOf(dir);
      assert.equal(row?.[objective === "ppo" ? "objective/kl" : "kl"], 0);
      if (objective === "dpo") assert.equal(row?.["pairs/frac_groups"], 0);
    });
  }
}

test("sampler and trainer are compared at a rollout's first step, in the parts of which training has log-probs on the same weights", async () => {
  const values = { objective: "rloo", steps_per_generation: 2, max_steps: 4, num_iterations: 1 };
  const max = "sampling/sampling_logp_difference/max";
  const { dir } = await run({ ...values, beta: 0 });
  assert.deepEqual(
    rowsOf(dir).map((row) => max in row),
    [true, false, true, false],
  );
  // the pass of a KL in the reward is over the whole rollout, without one there is that of the first step
  const compared = async (beta: number): Promise<number> => {
    const found = run({ ...values, beta, max_sampling_logp_difference: 1e-12, max_steps: 2 });
    const { message } = await found.then(
      () => assert.fail("within the bound"),
      (error: Error) => error,
    );
    return Number(/ of (\d+) tokens in sampling/.exec(message)?.[1]);
  };
  const rollouts = readRollouts(join(dir, "rollouts.jsonl.gz")).slice(0, 16);
  const tokens = (some: typeof rollouts) => some.reduce((sum, { ids }) => sum + ids.length, 0);
  assert.deepEqual(
    [await compared(0), await compared(0.1)],
    [tokens(rollouts.slice(0, 8)), tokens(rollouts)],
  );
});

for (const [dtype, count] of [
  ["float32", 8],
  ["bfloat16", 16],
] as const) {
  test(`${dtype}: a KL in the reward changes nothing about the old log-probs of a rollout's later parts`, async () => {
    for (const beta of [0, 0.1]) {
      const { dir } = await run({ objective: "rloo", beta, dtype, steps_per_generation: 2, max_steps: 2 });
      const saved = JSON.parse(readFileSync(join(checkpointOf(dir, 1), "rollout.json"), "utf8"));
      // in float32 those of the second part are the sampler's
      assert.equal(saved.firstLogps.length, count, `beta ${beta}`);
    }
  });
}

test("two runs with one seed are the same; the same rewards are learned with LoRA and with two passes over a rollout", async () => {
  const [a, b] = [await run(), await run()];
  assert.deepEqual(losses(a.record), losses(b.record));
  assert.deepEqual(
    readRollouts(join(a.dir, "rollouts.jsonl.gz")),
    readRollouts(join(b.dir, "rollouts.jsonl.gz")),
  );
  const lora = await run({ use_peft: true, lora_r: 4, num_iterations: 2, steps_per_generation: 2 });
  const rows = rowsOf(lora.dir);
  assert.deepEqual([rows[0]?.["ratio/min"], rows[0]?.["ratio/max"]], [1, 1]);
  assert.notEqual(rows[2]?.["ratio/max"], 1);
  assert.equal(readRollouts(join(lora.dir, "rollouts.jsonl.gz")).length, 16, "one rollout for four steps");
});

test("however a step is cut, its loss, gradient and rewards are the same", async () => {
  const whole = rowsOf(
    (await run({ per_device_train_batch_size: 8, gradient_accumulation_steps: 1, max_steps: 1 })).dir,
  );
  for (const size of [1, 2, 4, 8]) {
    const cut = await run({
      per_device_train_batch_size: size,
      gradient_accumulation_steps: 8 / size,
      max_steps: 1,
      // the completions of a prompt in several micro-batches
      ...(size === 8 ? { max_tokens_per_micro_batch: 45 } : {}),
    });
    for (const name of ["loss", "grad_norm", "reward", "rewards/even/mean", "completions/mean_length"]) {
      const [want, got] = [whole[0]?.[name], rowsOf(cut.dir)[0]?.[name]] as [number, number];
      assert.ok(
        Math.abs(want - got) <= 1e-6 * Math.max(1, Math.abs(want)),
        `${name}: ${got} for ${want}, ${size}`,
      );
    }
  }
});

test("a reference is computed in sampling's place: KL is 0 at the start and grows", async () => {
  for (const values of [{ use_peft: true, lora_r: 4, learning_rate: 0.02 }, {}]) {
    const { dir } = await run({ ...values, beta: 0.1 });
    const kl = rowsOf(dir).map((row) => row["kl"] as number);
    assert.ok(Math.abs(kl[0] as number) < 1e-9, `${kl[0]}`);
    assert.ok((kl[3] as number) > 1e-7, `${kl}`);
  }
});

test("equal rewards move nothing and are counted; with dynamic sampling they are drawn again", async () => {
  const { dir } = await run({
    reward_funcs: [`${fixture.rewards}#alike`],
    max_steps: 1,
    dynamic_sampling: 1,
  });
  const [row] = rowsOf(dir);
  assert.deepEqual(
    [row?.["frac_reward_zero_std"], row?.["sampling/frac_redrawn"], row?.["grad_norm"]],
    [1, 1, 0],
  );
});

test("rewards that fail for one prompt are few of the rollout, also where that prompt alone is drawn again", async () => {
  const rewards = fixture.path("one-fails.mjs");
  writeFileSync(
    rewards,
    `export function even({ completion_ids, columns }) {
      if (columns.limit[0] === 5) throw new Error("no score for this one");
      return completion_ids.map((ids) => ids.filter((id) => id % 2 === 0).length / Math.max(1, ids.length));
    }`,
  );
  // 6 prompts a rollout
  const { dir } = await run({
    ...{ reward_funcs: [`${rewards}#even`], reward_max_failures: 0.4, gradient_accumulation_steps: 6 },
    ...{ max_steps: 1, dynamic_sampling: 2 },
  });
  const [row] = rowsOf(dir);
  // each of its 4 completions, and those that were drawn again two times
  assert.equal(row?.["rewards/even/failures"], 12);
});

test("a row without the column of a reward is not scored, whichever prompts are scored with it", async () => {
  const some = pairRows(4).map(({ prompt, chosen }, i) => ({
    prompt,
    ...(i === 1 ? { answer: chosen } : {}),
  }));
  const values = {
    ...{ train_data: writeRows(fixture.path("some-answers.jsonl"), some), data_order: "given" },
    ...{ gradient_accumulation_steps: 1, max_steps: 4 },
  };
  for (const [other, dynamicSampling] of [
    ["even", 0],
    ["alike", 1],
  ] as const) {
    const rewardFuncs = ["exact", `${fixture.rewards}#${other}`];
    const { dir } = await run({ ...values, reward_funcs: rewardFuncs, dynamic_sampling: dynamicSampling });
    const unscored = rowsOf(dir).map((row) => row["rewards/exact/unscored"]);
    assert.deepEqual(unscored, [4, 0, 4, 4]);
  }
});

test("a column that no row has, or none that is held out, ends the run before its model is loaded", async () => {
  const [first, ...others] = pairRows(4).map(({ prompt, chosen }) => ({
    prompt,
    answer: chosen,
    right: chosen,
  }));
  const trainData = writeRows(fixture.path("with-answers.jsonl"), others);
  const { right: _, ...held } = first ?? {};
  const evalData = writeRows(fixture.path("held-without.jsonl"), [held]);
  const exact = (column: string) => ({ reward_funcs: [{ function: "exact", column }] });
  const cases: [Values, RegExp][] = [
    [
      exact("reply"),
      /^reward_funcs: .* column "reply" .* in the rows that are trained on, found answer, right\. /,
    ],
    [
      { ...exact("right"), eval_data: evalData },
      /^reward_funcs: .* "right" .* in the held-out rows, found answer\. /,
    ],
    [
      {
        ...exact("answer"),
        eval_data: evalData,
        eval_reward_funcs: [{ function: "number", column: "right" }],
      },
      /^eval_reward_funcs: .* "right" .* in the held-out rows, found answer\. /,
    ],
  ];
  for (const [values, message] of cases) {
    await assert.rejects(run({ train_data: trainData, ...values }), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, message);
      return true;
    });
  }
});

for (const objective of ["slime", "dpo", "simpo", "rloo", "raft"]) {
  test(`${objective} learns from its own completions`, async () => {
    const { dir } = await run({ objective, max_steps: 2 });
    const [first] = rowsOf(dir);
    assert.ok(Number.isFinite(first?.["loss"]) && (first?.["grad_norm"] as number) > 0);
  });
}

test("the record has the pairs that were learned from: as many as the metrics count, the better one chosen", async () => {
  const { dir } = await run({ objective: "slime", pairs: "best_worst", max_steps: 2 });
  const rows = readRollouts(join(dir, "rollouts.jsonl.gz")).filter(({ step }) => step === 1);
  const groups = [...Map.groupBy(rows, ({ group }) => group).values()];
  const pairs = groups.map((group) =>
    group.flatMap(({ reward, chosen_over = assert.fail("chosen_over") }) =>
      chosen_over.map((place) => {
        assert.ok(Number(reward) > Number(group[place]?.reward));
        assert.equal(Number(reward), Math.max(...group.map((other) => Number(other.reward))));
        return place;
      }),
    ),
  );
  const withPairs = pairs.filter(({ length }) => length > 0);
  assert.ok(withPairs.length > 0 && withPairs.every(({ length }) => length === 1));
  assert.equal(rowsOf(dir)[0]?.["pairs/frac_groups"], withPairs.length / groups.length);
  const [grpo] = readRollouts(join((await run({ max_steps: 1 })).dir, "rollouts.jsonl.gz"));
  assert.equal(grpo?.chosen_over, undefined);
});

test("top-p: the training pass renormalises over the tokens that were kept", async () => {
  const { dir } = await run({ top_p: 0.8, temperature: 1.3, max_steps: 2 });
  for (const row of rowsOf(dir)) assert.ok((row["sampling/sampling_logp_difference/max"] as number) < 1e-5);
});

test("several rewards with weights, a column, and a penalty for completions without an end", async () => {
  const { dir } = await run({
    reward_funcs: [`${fixture.rewards}#even`, `${fixture.rewards}#shorter`],
    reward_weights: [1, 0.5],
    missing_eos_penalty: 1,
    mask_truncated_completions: true,
    max_steps: 2,
  });
  for (const row of readRollouts(join(dir, "rollouts.jsonl.gz"))) {
    const { even = 0, shorter = 0 } = row.rewards as Record<string, number>;
    const want = even + 0.5 * shorter - (row.ended ? 0 : 1);
    assert.ok(Math.abs((row.reward ?? 0) - want) < 1e-12);
  }
});

test("replay: good completions of rows are anchored beside the samples; leashes are logged", async () => {
  const plain = rowsOf((await run({ objective: "slime", max_steps: 1 })).dir)[0];
  const { dir } = await run({ objective: "slime", max_steps: 2, replay: 1, kl_coef: 0.1, top_p: 0.9 });
  const [row] = rowsOf(dir);
  assert.ok((row?.["logps/replay_mean"] as number) < 0);
  assert.ok(Math.abs(row?.["kl"] as number) < 1e-6);
  assert.notEqual(row?.["grad_norm"], plain?.["grad_norm"]);
  const { dir: positive } = await run({
    objective: "slime",
    max_steps: 1,
    anchor_on: "positive",
    anchor_threshold: 0.5,
  });
  assert.notEqual(rowsOf(positive)[0]?.["loss"], plain?.["loss"]);
});

test("a reward model scores beside a reward function, and alone", async () => {
  const model = fixture.path("reward-model");
  await runTraining({
    ...fixture.values,
    ...{ objective: "reward", output_dir: model, max_steps: 1 },
  });
  const { dir } = await run({ reward_model: join(model, "model"), reward_weights: [1, 0.5], max_steps: 1 });
  for (const { reward, rewards } of readRollouts(join(dir, "rollouts.jsonl.gz"))) {
    const { even = 0, reward_model = 0 } = rewards as Record<string, number>;
    assert.ok(Math.abs((reward ?? 0) - even - 0.5 * reward_model) < 1e-9);
  }
  const { reward_workers: _workers, reward_funcs: _funcs, ...rest } = online;
  const alone = fixture.path("alone");
  await runTraining({ ...rest, output_dir: alone, reward_model: join(model, "model"), max_steps: 1 });
  assert.ok(Number.isFinite(rowsOf(alone)[0]?.["rewards/reward_model/mean"]));
  const short = fixture.path("short");
  cpSync(join(model, "model"), short, { recursive: true });
  const config = JSON.parse(readFileSync(join(short, "config.json"), "utf8"));
  writeFileSync(join(short, "config.json"), JSON.stringify({ ...config, max_position_embeddings: 16 }));
  await assert.rejects(run({ reward_model: short }), /reward_model .*short was made for 16 in all/);
});

test("the export of a run whose rows are prompts alone is checked by tokens", async () => {
  const prompts = [{ prompt: "who is at the river? fox" }, { prompt: "who is at the hill? owl" }];
  const trainData = writeRows(fixture.path("alone.jsonl"), prompts);
  const { record } = await run({ train_data: trainData, max_steps: 1 });
  const [exported] = record.events.flatMap((event) => (event.type === "export" ? [event.result] : []));
  assert.ok(exported !== undefined && exported.tokens > 2, JSON.stringify(exported));
});
