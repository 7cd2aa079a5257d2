/** Reward models against TRL's RewardTrainer: scores, losses and gradients of every family, however a step is cut. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Example } from "../../src/data/example.ts";
import { packExamples } from "../../src/data/packing.ts";
import type { MicroBatch } from "../../src/forward/batch.ts";
import { rewardsOfBatch } from "../../src/forward/score-rewards.ts";
import { reward } from "../../src/methods/reward/loss.ts";
import { buildRewardModel } from "../../src/models/build.ts";
import { loadRewardModel } from "../../src/models/load-reward-model.ts";
import type { RewardModel } from "../../src/models/reward-model.ts";
import { randomWeights } from "../../src/models/weights.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { noGrad, ops, scope, tensor } from "../../src/torch/index.ts";
import { trainAll } from "../../src/train/parameters.ts";
import { type Training, trainStep } from "../../src/train/step.ts";
import { EpochSteps } from "../../src/train/step-source.ts";
import { assertClose, withoutLeaks } from "../support/close.ts";
import {
  type FixtureFamily,
  families,
  fixtureExamples,
  fixturePath,
  type GoldenGradients,
} from "../support/fixture-files.ts";
import { golden } from "../support/goldens.ts";

interface RewardCase {
  margins: boolean;
  center: number | null;
  loss: number;
  metrics: Record<string, number>;
  grads: GoldenGradients;
}

interface RewardGoldens {
  margins: number[];
  families: Record<FixtureFamily, { score: number[]; scores: number[][]; cases: Record<string, RewardCase> }>;
}

const goldens = golden<RewardGoldens>("reward-models");

/** The fixture's model with the golden script's score layer, its tensors in separate memory. */
function fixtureRewardModel(family: FixtureFamily): RewardModel {
  const model = loadRewardModel(fixturePath(family, "model"), { copy: true, newScore: "normal" });
  const values = goldens.families[family].score;
  noGrad(() =>
    ops.copy_(model.score.dense("float32"), tensor(Float32Array.from(values), [1, values.length])),
  );
  return model;
}

function trainingOf(
  model: RewardModel,
  center: number | null,
  checkpointing: boolean,
): Training<RewardModel> {
  const parameters = trainAll(model);
  return {
    model,
    adapter: null,
    parameters,
    objective: reward({ center_rewards_coefficient: center ?? 0 }),
    optimizer: new AdamW(parameters, {
      adam_beta1: 0.9,
      adam_beta2: 0.999,
      adam_epsilon: 1e-8,
      weight_decay: 0,
    }),
    numerics: { dtype: "float32", gradient_checkpointing: checkpointing, logits_chunk_size: null },
    max_grad_norm: 0,
    reference: null,
  };
}

/** The rows with the margins of the golden script. */
function examplesOf(family: FixtureFamily, margins: boolean): Example[] {
  return fixtureExamples(family).map((example, i) =>
    margins ? { ...example, margin: goldens.margins[i] as number } : example,
  );
}

/** The rows as one step in micro-batches of `size` rows, as a run makes them. */
function cutOf(examples: readonly Example[], size: number, share_prompt: boolean): MicroBatch[] {
  const steps = new EpochSteps(examples, {
    train_batch_size: null,
    per_device_train_batch_size: size,
    per_device_eval_batch_size: 1,
    gradient_accumulation_steps: examples.length / size,
    tokens_per_step: null,
    max_tokens_per_micro_batch: null,
    share_prompt,
    num_train_epochs: 1,
    max_steps: 1,
    data_order: "shuffled",
    seed: 1,
    scores: true,
  });
  return steps.next(0).batches;
}

const cuts: [name: string, size: number, share: boolean][] = [
  ["one batch", 4, true],
  ["2 × 2", 2, true],
  ["4 × 1", 1, true],
  ["one batch, a prompt for each answer", 4, false],
];

for (const family of families) {
  const { scores, cases } = goldens.families[family];

  test(`${family}: transformers' scores, alone and in a batch, with shared prompts and without`, () => {
    withoutLeaks(() => {
      using _ = scope();
      const model = fixtureRewardModel(family);
      const examples = fixtureExamples(family);
      const numerics = { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null } as const;
      for (const sharePrompt of [true, false]) {
        const packed = packExamples(examples, { share_prompt: sharePrompt, scores: true });
        const got = rewardsOfBatch(model, { packed, indices: examples.map((_, i) => i) }, numerics);
        assertClose(Array.from(got), scores.flat(), { atol: 2e-5 });
      }
    });
  });

  for (const [name, want] of Object.entries(cases)) {
    for (const [cut, size, share] of cuts) {
      test(`${family}, ${name}, ${cut}: loss and gradients are TRL's`, () => {
        withoutLeaks(() => {
          using _ = scope();
          const training = trainingOf(fixtureRewardModel(family), want.center, size === 2);
          const batches = cutOf(examplesOf(family, want.margins), size, share);
          const before = new Map<string, number[]>();
          // the gradients are read before the update clears them
          const { step } = training.optimizer;
          training.optimizer.step = (...given) => {
            for (const { name: parameter, tensor: value } of training.parameters) {
              before.set(parameter, value.grad?.toNumbers() ?? []);
            }
            step.apply(training.optimizer, given);
          };
          const result = trainStep(training, batches, { learningRate: 1e-3, seed: 1, log_entropy: false });
          assertClose(result.loss, want.loss, { rtol: 5e-5, atol: 1e-6 });
          assertClose(result.gradNorm, want.grads.global_norm, { rtol: 1e-4 });
          for (const [metric, value] of Object.entries(want.metrics)) {
            assertClose(result.metrics[metric] ?? Number.NaN, value, { rtol: 1e-4, atol: 2e-5 });
          }
          assert.deepEqual([...before.keys()].sort(), Object.keys(want.grads.params).sort());
          for (const [parameter, [norm, first, last]] of Object.entries(want.grads.params)) {
            const got = before.get(parameter) ?? [];
            assertClose(Math.hypot(...got), norm, { rtol: 1e-4, atol: 1e-6 });
            assertClose(got.slice(0, first.length), first, { rtol: 1e-3, atol: 1e-5 });
            assertClose(got.slice(-last.length), last, { rtol: 1e-3, atol: 1e-5 });
          }
        });
      });
    }
  }
}

test("a score belongs to its own text: other rows of the batch, and their lengths, do not change it", () => {
  withoutLeaks(() => {
    using _ = scope();
    const model = fixtureRewardModel("qwen3");
    const numerics = { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null } as const;
    const examples = fixtureExamples("qwen3");
    const alone = examples.flatMap((example) =>
      example.completions.flatMap((completion) => {
        const packed = packExamples([{ ...example, completions: [completion] }], { scores: true });
        return Array.from(rewardsOfBatch(model, { packed, indices: [0] }, numerics));
      }),
    );
    assertClose(alone, goldens.families.qwen3.scores.flat(), { atol: 2e-5 });
  });
});

test("another padding token of an export is not the row that is not trained: that is the start's", () => {
  withoutLeaks(() => {
    using _ = scope();
    const options = { newScore: "zero", padTokenId: 5 } as const;
    const { padTokenId, paddingRow } = loadRewardModel(fixturePath("qwen3", "model"), options).config;
    assert.deepEqual([padTokenId, paddingRow], [5, 0]);
  });
});

test("a new score layer is drawn as transformers draws it, from torch's generator alone", () => {
  withoutLeaks(() => {
    using _ = scope();
    const { config } = loadRewardModel(fixturePath("qwen3", "model"), { newScore: "normal" });
    const wide = { ...config, hiddenSize: 4096, numLayers: 0, vocabSize: 2, layerKinds: [] };
    const { score } = buildRewardModel(wide, randomWeights(0.02, 1));
    const values = score.dense("float32").toNumbers();
    const deviation = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
    assert.equal(score.bias, null);
    assertClose(deviation, 0.02, { rtol: 0.05 });
  });
});
