/** `max_staleness`: rollouts of another process, by weights of an exact age, give a run that repeats and resumes to the bit. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { at } from "../../src/base/at.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import type { Example } from "../../src/data/example.ts";
import { packExamples } from "../../src/data/packing.ts";
import { scoreBatch } from "../../src/forward/score-batch.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import { loadModel } from "../../src/models/load.ts";
import { drawRollout } from "../../src/online/draw-rollout.ts";
import { replay } from "../../src/recipes/replay.ts";
import { openRolloutTraining } from "../../src/recipes/rollout-training.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { readRollouts } from "../../src/runs/rollouts.ts";
import type { RolloutRow } from "../../src/runs/train-events.ts";
import { prepareData } from "../../src/train/prepare-data.ts";
import { assertClose } from "../support/close.ts";
import { onlineFixture } from "../support/online-run.ts";
import { assertSameRun, checkpointOf, cutBack, runTraining, type Values } from "../support/runs.ts";

const fixture = onlineFixture({ held: 2 });
after(() => fixture[Symbol.dispose]());
const steps = 6;
const learning: Values = {
  ...fixture.online,
  ...{ max_steps: steps, learning_rate: 5e-3, lr_scheduler_type: "constant" },
  ...{ eval_strategy: "steps", eval_steps: 3, eval_on_start: false, max_grad_norm: 1 },
};
const full: Values = { ...learning, max_staleness: 1 };
/** Two parts and two passes a rollout, whose weights are as old as most of a round. */
const lora: Values = {
  ...{ ...learning, max_staleness: 3, use_peft: true, lora_r: 4, learning_rate: 0.02 },
  ...{ steps_per_generation: 2, num_iterations: 2, importance_sampling_mode: "token_truncate", top_p: 0.9 },
};
let runs = 0;

async function run(values: Values): Promise<string> {
  const dir = fixture.path(`run-${++runs}`);
  await runTraining({ ...values, output_dir: dir });
  return dir;
}

const rolloutsOf = (dir: string) => readRollouts(join(dir, "rollouts.jsonl.gz"));
/** Log-probs of each completion's tokens. */
function logpsUnder(
  model: CausalLM,
  rows: readonly RolloutRow[],
  examples: readonly Example[],
): Float32Array[] {
  const numerics = { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null } as const;
  return rows.map(({ row, ids }) => {
    const example = examples.find(({ origin }) => row === `${origin.file}:${origin.line}`);
    const promptIds = example?.promptIds ?? assert.fail(row);
    const packed = packExamples([
      { origin: { file: row, line: 1 }, promptIds, completions: [{ ids: [...ids] }] },
    ]);
    return at(scoreBatch(model, { packed, indices: [0] }, numerics), 0).logps;
  });
}

const rowsOf = (dir: string) => readMetrics(join(dir, "metrics.jsonl"));

const whole = { full: await run(full), lora: await run(lora) };

for (const [name, recipe] of [
  ["full", full],
  ["lora", lora],
] as const) {
  test(`${name}: two runs are the same to the bit`, async () => {
    const again = await run(recipe);
    assertSameRun(again, whole[name], steps);
    assert.deepEqual(rolloutsOf(again), rolloutsOf(whole[name]));
  });

  for (const step of name === "full" ? [1, 4] : [2, 3, 4]) {
    test(`${name}: resumed after step ${step}`, async () => {
      const dir = cutBack(whole[name], fixture.path(`cut-${name}-${step}`), step);
      await runTraining({ ...recipe, output_dir: dir, resume_from_checkpoint: "latest" });
      assertSameRun(dir, whole[name], steps);
    });
  }
}

test("a run that was finished and is made longer ends as one that was as long from the start", async () => {
  // a run is evaluated at its end
  const { eval_steps: _, ...rest } = lora;
  const plain = { ...rest, eval_strategy: "no" };
  const [long, dir] = [await run(plain), await run({ ...plain, max_steps: 4 })];
  await runTraining({ ...plain, output_dir: dir, resume_from_checkpoint: "latest" });
  assertSameRun(dir, long, steps);
});

test("what is drawn again keeps its rollout's weights, though the next was sampled meanwhile", async () => {
  const drawnAgain = {
    ...full,
    max_staleness: 2,
    dynamic_sampling: 2,
    reward_funcs: [`${fixture.rewards}#alike`],
  };
  const [a, b] = [await run({ ...drawnAgain, max_steps: 4 }), await run({ ...drawnAgain, max_steps: 4 })];
  assert.deepEqual(rolloutsOf(a), rolloutsOf(b));
  assert.ok(rowsOf(a).every((row) => !("loss" in row) || row["sampling/frac_redrawn"] === 1));
});

test("each rollout is of the weights of exactly max_staleness updates ago", async () => {
  for (const maxStaleness of [2]) {
    const dir = await run({ ...full, max_staleness: maxStaleness });
    const { config } = loadConfig({ values: { ...full, max_staleness: maxStaleness, output_dir: dir } });
    const { dataset, tokenizer, stopIds } = await prepareData({ ...config, task: "prompt" });
    const rows = rolloutsOf(dir);
    for (const round of [0, 1, 3, 5]) {
      const weights = Math.max(0, round - maxStaleness);
      const from = weights === 0 ? (full["model_name_or_path"] as string) : checkpointOf(dir, weights);
      const model = loadModel(from, { device: "cpu", dtype: "float32" });
      const own = rows.filter(({ rollout }) => rollout === round);
      const prompts = [...new Set(own.map(({ row }) => row))].map((row) => {
        const index = dataset.examples.findIndex(({ origin }) => row === `${origin.file}:${origin.line}`);
        return { index, example: dataset.examples[index] as (typeof dataset.examples)[number] };
      });
      const scorer = {
        names: ["none"],
        score: async ({ completions }: { completions: readonly unknown[] }) => ({
          functions: [{ name: "none", values: completions.map(() => 0), unscored: [], seconds: 0 }],
        }),
      };
      const drawn = await drawRollout(
        { config, model, dtype: "float32", scorer, tokenizer, stopIds },
        { round, step: round, prompts },
        {},
      );
      const ids = drawn.groups.flatMap(({ completions }) => completions.map((completion) => completion.ids));
      assert.deepEqual(
        own.map((row) => row.ids),
        ids,
        `rollout ${round}, max_staleness ${maxStaleness}`,
      );
    }
  }
});

test("a step is replayed, from a checkpoint with the weights that its rollout needs", async () => {
  assert.equal((await replay({ run: whole.full, step: 4 })).difference, null);
});

test("a loop of a program's own refuses it", async () => {
  await assert.rejects(
    openRolloutTraining({ values: { ...full, output_dir: fixture.path("loop") } }),
    /max_staleness: .* Set it to 0/,
  );
});

test("the weights are logged: 1 while the sampler is the policy, else within their bounds; the ratio is 1 at first", async () => {
  const rows = rowsOf(
    await run({ ...full, importance_sampling_clip_max: 1.2, importance_sampling_clip_min: 0.8 }),
  );
  const name = "sampling/importance_sampling_ratio";
  const [first, ...others] = rows.filter((row) => "loss" in row);
  assert.ok(Math.abs((first?.[`${name}/mean`] as number) - 1) < 1e-5);
  assert.ok(others.some((row) => (row[`${name}/frac_bounded`] as number) > 0));
  for (const row of others) {
    assert.deepEqual([row["ratio/min"], row["ratio/max"]], [1, 1]);
    const [min, max] = [row[`${name}/min`] as number, row[`${name}/max`] as number];
    assert.ok(max <= 1.2 && (min === 0 || min >= 0.8), `${min} ${max}`);
  }
});

test("a KL in the reward is that of the policy at its rollout's first step, not of the older one that sampled", async () => {
  const values: Values = { ...full, objective: "rloo", beta: 0.1 };
  const dir = await run(values);
  const { config } = loadConfig({ values: { ...values, output_dir: dir } });
  const { dataset } = await prepareData({ ...config, task: "prompt" });
  // the second rollout, of the weights of the start, is trained on after one update
  const own = rolloutsOf(dir).filter(({ rollout }) => rollout === 1);
  const [start, policy] = [full["model_name_or_path"] as string, checkpointOf(dir, 1)].map((from) =>
    logpsUnder(loadModel(from, { device: "cpu", dtype: "float32" }), own, dataset.examples),
  );
  const tokens = (policy ?? []).flatMap((logps) => [...logps]);
  const before = (start ?? []).flatMap((logps) => [...logps]);
  const kl = tokens.reduce((sum, logp, i) => sum + logp - at(before, i), 0) / tokens.length;
  assert.ok(Math.abs(kl) > 1e-4, `${kl}`);
  assertClose([rowsOf(dir).filter((row) => "loss" in row)[1]?.["kl"] as number], [kl], { atol: 1e-6 });
});

test("every part of a rollout is weighted by what the policy of its first step says of it, as in TRL", async () => {
  const values: Values = {
    ...{ ...full, max_staleness: 2, steps_per_generation: 2 },
    ...{ importance_sampling_mode: "token_truncate", importance_sampling_clip_max: 1e6 },
  };
  const dir = await run(values);
  const { config } = loadConfig({ values: { ...values, output_dir: dir } });
  const { dataset } = await prepareData({ ...config, task: "prompt" });
  const rollouts = rolloutsOf(dir);
  const modelAfter = (done: number) =>
    loadModel(done === 0 ? (full["model_name_or_path"] as string) : checkpointOf(dir, done), {
      ...{ device: "cpu", dtype: "float32" },
    });
  const rows = rowsOf(dir).filter((row) => "loss" in row);
  for (const step of [2, 3, 4, 5]) {
    const round = Math.floor(step / 2);
    const [policy, sampler] = [modelAfter(2 * round), modelAfter(2 * round - 2)];
    // two groups a step
    const own = rollouts.filter(
      ({ rollout, group }) => rollout === round && Math.floor(group / 2) === step % 2,
    );
    assert.equal(own.length, 8);
    const [old, sampled] = [policy, sampler].map((model) => logpsUnder(model, own, dataset.examples));
    const weights = own.flatMap((_, c) =>
      Array.from(old?.[c] ?? [], (logp, i) => Math.exp(logp - at(sampled?.[c] ?? [], i))),
    );
    const name = "sampling/importance_sampling_ratio";
    const [mean, min, max] = ["mean", "min", "max"].map(
      (what) => at(rows, step)[`${name}/${what}`] as number,
    );
    const expected = [
      weights.reduce((sum, weight) => sum + weight, 0) / weights.length,
      Math.min(...weights),
      Math.max(...weights),
    ];
    assertClose([mean ?? 0, min ?? 0, max ?? 0], expected, { rtol: 1e-4, atol: 1e-5 });
    assert.ok(Math.abs(at(expected, 2) - 1) > 1e-3, "the policy has moved");
    // a first step begins at its own old log-probs, a second one has moved from them
    assert.equal(at(rows, step)["ratio/max"] === 1, step % 2 === 0);
  }
});
