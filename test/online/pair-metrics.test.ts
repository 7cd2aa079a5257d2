/**
 * What objectives over pairs log on rollouts, computed apart in plain numbers: from the completions and rewards that the run wrote down,
 * and the log-probs of each completion by itself under the weights of the step before and of the start.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { at } from "../../src/base/at.ts";
import { loadMethod } from "../../src/config/load-config.ts";
import { packExamples } from "../../src/data/packing.ts";
import { scoreBatch } from "../../src/forward/score-batch.ts";
import type { SettingsOf } from "../../src/methods/index.ts";
import { loadModel } from "../../src/models/load.ts";
import { openRolloutTraining } from "../../src/recipes/rollout-training.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { readRollouts } from "../../src/runs/rollouts.ts";
import { runPaths } from "../../src/runs/run-directory.ts";
import type { RolloutRow } from "../../src/runs/train-events.ts";
import { onlineFixture } from "../support/online-run.ts";
import { checkpointOf, runTraining, type Values } from "../support/runs.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());

const steps = 3;
const base = fixture.online["model_name_or_path"] as string;

/** A completion with its log-probs. */
interface Known {
  group: number;
  reward: number;
  policy: number[];
  reference: number[];
}

/** Log-probs of one completion after its prompt, alone in its batch. */
function logpsOf(model: ReturnType<typeof loadModel>, promptIds: number[], ids: number[]): number[] {
  const origin = { file: "rollout", line: 1 };
  const packed = packExamples([{ origin, promptIds, completions: [{ ids }] }]);
  const numerics = { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null } as const;
  return Array.from(at(scoreBatch(model, { packed, indices: [0] }, numerics), 0).logps);
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const mean = (values: readonly number[]) => sum(values) / values.length;
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const softplus = (x: number) => Math.log1p(Math.exp(x));

/** Pairs of each group that has any: every two completions whose rewards differ, the better one first. */
function pairsOf(all: readonly Known[]): [Known, Known][][] {
  return [...Map.groupBy(all, ({ group }) => group).values()]
    .map((group) =>
      group.flatMap((w) => group.filter((l) => l.reward < w.reward).map((l): [Known, Known] => [w, l])),
    )
    .filter(({ length }) => length > 0);
}

/** What every objective over pairs logs; `rewardOf` is its implicit reward. */
function common(all: readonly Known[], rewardOf: (one: Known) => number): Record<string, number> {
  const pairs = pairsOf(all);
  const flat = pairs.flat();
  const overPairs = (of: (pair: [Known, Known]) => number) => mean(flat.map(of));
  const groups = [...Map.groupBy(all, ({ group }) => group).values()];
  const rewards = all.map(({ reward }) => reward);
  const tokens = all.flatMap(({ policy, reference }) => policy.map((logp, t) => logp - at(reference, t)));
  return {
    reward: mean(rewards),
    reward_std: Math.sqrt(sum(rewards.map((r) => (r - mean(rewards)) ** 2)) / (rewards.length - 1)),
    frac_reward_zero_std: mean(
      groups.map((own) => Number(own.every(({ reward }) => reward === own[0]?.reward))),
    ),
    "pairs/frac_groups": pairs.length / groups.length,
    "pairs/per_group": flat.length / pairs.length,
    "objective/scores_margin": overPairs(([w, l]) => w.reward - l.reward),
    "rewards/chosen": overPairs(([w]) => rewardOf(w)),
    "rewards/rejected": overPairs(([, l]) => rewardOf(l)),
    "rewards/margins": overPairs(([w, l]) => rewardOf(w) - rewardOf(l)),
    "rewards/accuracies": overPairs(([w, l]) => Number(rewardOf(w) > rewardOf(l))),
    "logps/chosen": overPairs(([w]) => sum(w.policy)),
    "logps/rejected": overPairs(([, l]) => sum(l.policy)),
    "logps/chosen_mean": overPairs(([w]) => mean(w.policy)),
    "logps/rejected_mean": overPairs(([, l]) => mean(l.policy)),
    "lengths/chosen": overPairs(([w]) => w.policy.length),
    "lengths/rejected": overPairs(([, l]) => l.policy.length),
    // k2
    kl: mean(tokens.map((x) => x ** 2 / 2)),
  };
}

/** Mean over the groups that have pairs of the mean over their pairs. */
function overGroups(all: readonly Known[], of: (w: Known, l: Known) => number): number {
  return mean(pairsOf(all).map((pairs) => mean(pairs.map(([w, l]) => of(w, l)))));
}

type Expected = (all: readonly Known[]) => Record<string, number>;

const expected: Record<"slime" | "dpo" | "simpo", Expected> = {
  slime(all) {
    const o = loadMethod({ objective: "slime" }) as SettingsOf<"slime">;
    const margin = (w: Known, l: Known) => mean(w.policy) - mean(l.policy);
    const flat = pairsOf(all).flat();
    const rejected = flat.flatMap(([, l]) => l.policy);
    const margins = flat.map(([w, l]) => margin(w, l));
    const parts = {
      "slime/anchor_loss": -o.lambda_w * overGroups(all, (w) => mean(w.policy)),
      "slime/margin_loss": overGroups(all, (w, l) => {
        const delta = margin(w, l);
        return o.lambda_d * Math.max(0, o.margin_hard - delta) * sigmoid(o.kappa * (o.margin_soft - delta));
      }),
      "slime/rejected_penalty":
        o.lambda_l * mean(rejected.map((logp) => softplus(-logp - o.delta) ** o.power)),
    };
    return {
      ...common(all, ({ policy }) => mean(policy)),
      ...parts,
      loss: sum(Object.values(parts)),
      "slime/margin_mean": mean(margins),
      "slime/frac_hard_satisfied": mean(margins.map((delta) => Number(delta >= o.margin_hard))),
      "slime/frac_soft_zone": mean(
        margins.map((delta) => Number(delta < o.margin_hard && delta > o.margin_soft)),
      ),
      "slime/frac_rejected_tokens_penalised": mean(rejected.map((logp) => Number(logp < -o.delta))),
    };
  },
  dpo(all) {
    const { beta } = loadMethod({ objective: "dpo" }) as SettingsOf<"dpo">;
    const rewardOf = ({ policy, reference }: Known) => beta * (sum(policy) - sum(reference));
    return {
      ...common(all, rewardOf),
      loss: overGroups(all, (w, l) => softplus(rewardOf(l) - rewardOf(w))),
    };
  },
  simpo(all) {
    const { beta, simpo_gamma } = loadMethod({ objective: "simpo" }) as SettingsOf<"simpo">;
    const rewardOf = ({ policy }: Known) => beta * mean(policy);
    return {
      ...common(all, rewardOf),
      loss: overGroups(all, (w, l) => softplus(simpo_gamma - (rewardOf(w) - rewardOf(l)))),
    };
  },
};

for (const [objective, metricsOf] of Object.entries(expected)) {
  test(`${objective}: its metrics on rollouts are what the stored completions, rewards and weights give`, async () => {
    const outputDir = fixture.path(objective);
    const coefficient = 0.02;
    const values: Values = {
      ...{ ...fixture.online, objective, output_dir: outputDir, kl_coef: coefficient, max_steps: steps },
      // metrics of several micro-batches are added up
      ...{ per_device_train_batch_size: 4, gradient_accumulation_steps: 2, learning_rate: 5e-3 },
    };
    await runTraining(values);
    await using open = await openRolloutTraining({
      values: { ...values, output_dir: fixture.path("unused") },
    });
    const prompts = new Map(
      open.data.dataset.examples.map(({ origin, promptIds }) => [`${origin.file}:${origin.line}`, promptIds]),
    );
    const start = loadModel(base);
    const rows = readMetrics(runPaths(outputDir).metrics) as unknown as Record<string, number>[];
    const rollouts = readRollouts(runPaths(outputDir).rollouts);
    for (let step = 1; step <= steps; step++) {
      const policy = step === 1 ? start : loadModel(checkpointOf(outputDir, step - 1));
      const all = rollouts
        .filter((row) => row.step === step)
        .map((row: RolloutRow): Known => {
          const prompt = prompts.get(row.row) ?? assert.fail(row.row);
          const { group, ids, reward } = row;
          const [now, before] = [policy, start].map((model) => logpsOf(model, prompt, [...ids]));
          return { group, reward: reward ?? Number.NaN, policy: now ?? [], reference: before ?? [] };
        });
      assert.equal(all.length, 8);
      const want = metricsOf(all);
      want["loss"] = (want["loss"] ?? 0) + coefficient * (want["kl"] ?? 0);
      for (const [name, value] of Object.entries(want)) {
        const got = rows[step - 1]?.[name];
        const message = `step ${step}, ${name}: ${got}, expected ${value}`;
        assert.ok(got !== undefined && Math.abs(got - value) <= 1e-6 + 2e-5 * Math.abs(value), message);
      }
    }
    // the rows have nothing of pairs beside what is compared
    const names = Object.keys(rows[0] ?? {}).filter((name) =>
      /^(pairs|objective|logps|slime|rewards)\//.test(name),
    );
    const left = names.filter((name) => !/^rewards\/even\//.test(name) && !(name in metricsOf([])));
    assert.deepEqual(left, [], join(outputDir, "metrics.jsonl"));
  });
}
