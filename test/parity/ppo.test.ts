/** PPO's losses and gradients through whole models and heads: the golden numbers, in every cut into micro-batches. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadMethod } from "../../src/config/load-config.ts";
import type { MicroBatch } from "../../src/forward/batch.ts";
import type { SettingsOf } from "../../src/methods/index.ts";
import type { Objective } from "../../src/methods/objective.ts";
import { ppo } from "../../src/methods/ppo/loss.ts";
import { valueObjective } from "../../src/methods/ppo/value-loss.ts";
import type { ScoredRollout } from "../../src/methods/rollout.ts";
import type { Decoder } from "../../src/models/causal-lm.ts";
import { loadRewardModel } from "../../src/models/load-reward-model.ts";
import { rolloutBatches } from "../../src/online/rollout-batches.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { noGrad, ops, tensor } from "../../src/torch/index.ts";
import { trainAll } from "../../src/train/parameters.ts";
import { type Training, trainStep } from "../../src/train/step.ts";
import { assertClose, withoutLeaks } from "../support/close.ts";
import { fixturePath } from "../support/fixture-files.ts";
import { fixtureModel } from "../support/fixtures.ts";
import {
  type EqualLengths,
  type OnlineFamily,
  onlineBatch,
  onlineFamilies,
  onlinePpo,
  type PpoCase,
} from "../support/online-fixtures.ts";
import { fixtureRollout } from "../support/scored-rollout.ts";

/** What a case gives, in whichever of the file's two forms. */
interface Golden {
  name: string;
  options: PpoCase["options"];
  prompts: { promptIds: number[]; completions: number[][] }[];
  rollout: ScoredRollout;
  policy: { loss: number; norm: number; clipfrac: number };
  value: { loss: number; norm: number; clipfrac: number };
}

const floats = (rows: readonly number[][]) => rows.map((row) => Float32Array.from(row));

function ragged(family: OnlineFamily, one: PpoCase): Golden {
  const { prompts } = onlineBatch(family);
  return {
    name: `kl_coef ${one.options["kl_coef"]}`,
    options: one.options,
    prompts: prompts.map(({ prompt_ids, completions }) => ({
      promptIds: prompt_ids,
      completions: completions.map(({ ids }) => ids),
    })),
    rollout: fixtureRollout(family, { values: floats(one.old_values) }),
    policy: { loss: one.policy_loss, norm: one.policy.grad_norm, clipfrac: one.clipfrac },
    value: { loss: one.value_loss, norm: one.value.grad_norm, clipfrac: one.value_clipfrac },
  };
}

function equalLengths({ options, prompts, responses, given, scores, float64 }: EqualLengths): Golden {
  return {
    name: `equal lengths, kl_coef ${options["kl_coef"]}`,
    options,
    prompts: prompts.map((promptIds, i) => ({ promptIds, completions: [responses[i] as number[]] })),
    rollout: {
      groupSizes: prompts.map(() => 1),
      rewards: scores,
      truncated: scores.map(() => false),
      samplerLogps: floats(given.old_logps),
      referenceLogps: floats(given.ref_logps),
      max_completion_length: responses[0]?.length ?? 0,
      values: floats(given.old_values),
    },
    policy: { loss: float64.policy_loss, norm: float64.policy_grad_norm, clipfrac: float64.clipfrac },
    value: { loss: float64.value_loss, norm: float64.value_grad_norm, clipfrac: float64.value_clipfrac },
  };
}

function trainingOf<Model extends Decoder>(model: Model, objective: Objective): Training<Model> {
  const parameters = trainAll(model);
  const options = { adam_beta1: 0.9, adam_beta2: 0.999, adam_epsilon: 1e-8, weight_decay: 0 };
  return {
    ...{ model, adapter: null, parameters, objective, max_grad_norm: 0, reference: null },
    optimizer: new AdamW(parameters, options),
    numerics: { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null },
  };
}

function batchesOf({ prompts, rollout }: Golden, objective: Objective, size: number): MicroBatch[] {
  const prepared = (objective as ReturnType<typeof ppo>).prepare?.(rollout) ?? assert.fail();
  const groups = prompts.map(({ promptIds, completions }, index) => ({
    index,
    example: { origin: { file: "batch.json", line: index + 1 }, promptIds, completions: [] },
    completions: completions.map((ids) => ({
      ids,
      ended: true,
      logps: new Float32Array(ids.length),
      kept: null,
    })),
  }));
  return rolloutBatches(
    groups,
    0,
    { ...prepared.columns, oldLogps: rollout.samplerLogps },
    {
      ...{ per_device_train_batch_size: size, max_tokens_per_micro_batch: null, share_prompt: true },
      ...{ mayCutGroups: true, mask_truncated_completions: false },
    },
  );
}

for (const family of onlineFamilies) {
  const { value_head, ragged: raggedCases, equal_lengths_checked_with_trl } = onlinePpo(family);
  const cases = [
    ...raggedCases.map((one) => ragged(family, one)),
    ...equal_lengths_checked_with_trl.map(equalLengths),
  ];
  for (const one of cases) {
    test(`${family}, ${one.name}: losses and gradient norms of policy and value model`, () => {
      withoutLeaks(() => {
        const defaults = loadMethod({ objective: "ppo" }) as SettingsOf<"ppo">;
        const options = { ...defaults, ...(one.options as unknown as Partial<SettingsOf<"ppo">>) };
        const objective = ppo(options);
        const policy = trainingOf(fixtureModel(family), objective);
        const valueModel = loadRewardModel(fixturePath(family, "model"), { copy: true, newScore: "zero" });
        const head = tensor(Float32Array.from(value_head), [1, value_head.length]);
        noGrad(() => ops.copy_(ops.detach(valueModel.score.weight), head));
        const value = trainingOf(valueModel, valueObjective(options));
        const how = { learningRate: 0, seed: 0, log_entropy: false };
        for (const size of [12, 5, 1]) {
          const batches = batchesOf(one, objective, size);
          const own = trainStep(policy, batches, how);
          assertClose(own.loss, one.policy.loss, { rtol: 5e-5, atol: 1e-6 });
          assertClose(own.gradNorm, one.policy.norm, { rtol: 1e-4 });
          assertClose(own.metrics["policy/clipfrac_avg"] ?? -1, one.policy.clipfrac, { rtol: 1e-6 });
          const other = trainStep(value, batches, how);
          assertClose(other.loss, options.vf_coef * one.value.loss, { rtol: 5e-5, atol: 1e-6 });
          assertClose(other.gradNorm, one.value.norm, { rtol: 1e-4 });
          assertClose(other.metrics["loss/value_avg"] ?? -1, one.value.loss, { rtol: 5e-5, atol: 1e-6 });
          assertClose(other.metrics["val/clipfrac_avg"] ?? -1, one.value.clipfrac, { rtol: 1e-6 });
        }
      });
    });
  }
}
