/**
 * Steps of the tiny models on given rollouts against the golden numbers of TRL and float64: losses, gradient norms of every
 * parameter, in every cut into micro-batches, and two updates on one rollout.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { at } from "../../src/base/at.ts";
import { loadMethod } from "../../src/config/load-config.ts";
import { allCompletions, toDevice } from "../../src/forward/batch.ts";
import { valueHead } from "../../src/forward/head.ts";
import { walk } from "../../src/forward/walk.ts";
import { dpo } from "../../src/methods/dpo/loss.ts";
import { grpo } from "../../src/methods/grpo/loss.ts";
import type { SettingsOf } from "../../src/methods/index.ts";
import type { CompletionObjective } from "../../src/methods/objective.ts";
import { onRollouts } from "../../src/methods/pairing/on-rollouts.ts";
import type { PairingOptions } from "../../src/methods/pairing/settings.ts";
import { ppo } from "../../src/methods/ppo/loss.ts";
import type { PpoOptions } from "../../src/methods/ppo/settings.ts";
import { valueLoss } from "../../src/methods/ppo/value-loss.ts";
import { rloo } from "../../src/methods/rloo/loss.ts";
import type { RolloutColumns, ScoredRollout } from "../../src/methods/rollout.ts";
import { slime } from "../../src/methods/slime/loss.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import { Linear } from "../../src/nn/linear.ts";
import { ParameterSet } from "../../src/nn/parameter-set.ts";
import type { RolloutGroup } from "../../src/online/rollout.ts";
import { byCompletion, rolloutBatches } from "../../src/online/rollout-batches.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { backward, noGrad, ops, scope, tensor } from "../../src/torch/index.ts";
import { modelParameters, trainAll } from "../../src/train/parameters.ts";
import { trainStep } from "../../src/train/step.ts";
import { isNightly } from "../support/campaign.ts";
import { assertClose, withoutLeaks } from "../support/close.ts";
import { fixtureModel } from "../support/fixtures.ts";
import {
  type GoldenGradients,
  type GrpoCase,
  grpoOptionsOf,
  type OnlineFamily,
  onlineBatch,
  onlineFamilies,
  onlineLosses,
  onlinePpo,
  totalRewards,
} from "../support/online-fixtures.ts";
import { fixtureRollout } from "../support/scored-rollout.ts";

/** Completions in a micro-batch of the twelve: all cuts into equal parts and a rest; those that leave the groups of four whole. */
const everySize: readonly number[] = [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1];
const wholeGroups: readonly number[] = [12, 8, 4];

/** Cuts of case `i`: every one in the nightly run; else the whole step and others by turns, so that the cases together have all. */
function sizesOf(i: number): readonly number[] {
  return isNightly ? everySize : [12, at(everySize, (i % 11) + 1), at(everySize, ((i + 6) % 11) + 1)];
}

const norm = (values: readonly number[]) => Math.hypot(...values);

/** Plain gradient descent, which keeps the norm of each gradient it was given. */
class Descent extends AdamW {
  readonly norms: Map<string, number> = new Map();
  readonly #parameters: ParameterSet;

  constructor(parameters: ParameterSet) {
    super([], { adam_beta1: 0, adam_beta2: 0, adam_epsilon: 0, weight_decay: 0 });
    this.#parameters = parameters;
  }

  override step(learningRate: number): void {
    noGrad(() => {
      for (const { name, tensor: parameter } of this.#parameters) {
        if (parameter.grad === null) continue;
        this.norms.set(name, norm(parameter.grad.toNumbers()));
        ops.sub_(parameter, ops.mul(parameter.grad, learningRate));
      }
    });
  }
}

/** The batch as groups of the rollout. `per`: completions of each prompt that are taken; left out: all. */
function groupsOf(family: OnlineFamily, per?: number): RolloutGroup[] {
  return onlineBatch(family).prompts.map(({ prompt_ids, completions }, index) => ({
    index,
    example: { origin: { file: family, line: index + 1 }, promptIds: prompt_ids, completions: [] },
    completions: completions.slice(0, per).map(({ ids, ended, given_old_logps }) => {
      return { ids, ended, logps: Float32Array.from(given_old_logps), kept: null };
    }),
  }));
}

interface Asked {
  objective: CompletionObjective;
  columns: RolloutColumns;
  groups: RolloutGroup[];
  /** Completions in a micro-batch. */
  size?: number;
  isMasking?: boolean;
  temperature?: number;
  learningRate?: number;
  /** The head keeps so little that it takes a group at a time. */
  inPieces?: boolean;
}

/** One step of the model. */
function stepOf(model: CausalLM, parameters: ParameterSet, asked: Asked) {
  using _ = scope();
  const {
    objective,
    columns,
    groups,
    size = 12,
    isMasking = false,
    temperature = 1,
    learningRate = 0,
    inPieces = false,
  } = asked;
  const optimizer = new Descent(parameters);
  const batches = rolloutBatches(groups, 0, columns, {
    ...{ per_device_train_batch_size: size, max_tokens_per_micro_batch: null, share_prompt: true },
    ...{ mayCutGroups: objective.mayCutGroups ?? false, mask_truncated_completions: isMasking },
  });
  const training = {
    ...{ model, adapter: null, parameters, objective, optimizer, max_grad_norm: 0, reference: null },
    numerics: {
      dtype: "float32",
      gradient_checkpointing: false,
      logits_chunk_size: null,
      temperature,
      logits_kept_mib: inPieces ? 1e-4 : null,
    } as const,
  };
  const options = { learningRate, seed: 1, log_entropy: false, keep_logps: true };
  return { ...trainStep(training, batches, options), norms: optimizer.norms, batches };
}

type Outcome = Pick<ReturnType<typeof stepOf>, "loss" | "gradNorm" | "norms">;

interface Tolerance {
  rtol: number;
  loss: { atol: number; rtol: number };
}

const plain: Tolerance = { rtol: 1e-4, loss: { atol: 1e-6, rtol: 5e-5 } };

function assertGolden(
  got: Outcome,
  loss: number,
  want: Omit<GoldenGradients, "loss">,
  how: Tolerance = plain,
): void {
  assertClose(got.loss, loss, how.loss);
  assertClose(got.gradNorm, want.grad_norm, { rtol: how.rtol });
  for (const [name, value] of Object.entries(want.parameters)) {
    assertClose(got.norms.get(name) ?? assert.fail(name), value, { rtol: how.rtol, atol: 1e-6 });
  }
}

const pairing: PairingOptions = {
  ...{ pairs: "all", reward_gap: 0, rejected_quantile: 0, anchor_on: "all", anchor_threshold: 0 },
  ...{ kl_coef: 0, kl_in: "loss", kl_estimator: null, replay: 0, replay_coef: 0 },
};

function prepared(objective: CompletionObjective, rollout: ScoredRollout): RolloutColumns {
  return objective.prepare?.(rollout).columns ?? assert.fail("prepare");
}

/** The old log-probs that the file gives. */
function givenOld(family: OnlineFamily): RolloutColumns {
  return {
    oldLogps: onlineBatch(family).completions.map(({ given_old_logps }) =>
      Float32Array.from(given_old_logps),
    ),
  };
}

function askedOf(one: GrpoCase, family: OnlineFamily): Omit<Asked, "groups"> {
  const { reward_weights } = onlineBatch(family);
  const objective = grpo(grpoOptionsOf(one));
  const rewards =
    one.rewards === undefined ? {} : { rewards: totalRewards(one.rewards.flat(), reward_weights) };
  const own = prepared(objective, fixtureRollout(family, rewards));
  return {
    objective,
    columns: one.old === "given" ? { ...own, ...givenOld(family) } : own,
    isMasking: one.config["mask_truncated_completions"] === true,
    temperature: Number(one.config["temperature"] ?? 1),
  };
}

for (const family of onlineFamilies) {
  const losses = onlineLosses(family);
  const groups = groupsOf(family);
  const shift = family === "qwen3" ? 0 : 3;

  test(`${family}: GRPO and its relatives, in every cut`, () => {
    withoutLeaks(() => {
      const model = fixtureModel(family);
      const parameters = trainAll(model);
      for (const [i, one] of losses.grpo.entries()) {
        const asked = askedOf(one, family);
        for (const size of one.case === "bnpo" ? [12] : sizesOf(i + shift)) {
          const step = stepOf(model, parameters, { ...asked, groups, size });
          assertGolden(step, one.float64.loss, { ...one.trl, grad_norm: one.float64.grad_norm });
        }
      }
    });
  });

  test(`${family}: bnpo divides by the tokens of a micro-batch, in how many pieces its head is computed`, () => {
    withoutLeaks(() => {
      const model = fixtureModel(family);
      const parameters = trainAll(model);
      const one =
        losses.grpo.find(({ case: name, old }) => name === "bnpo" && old === "given") ?? assert.fail();
      const bnpo = { ...askedOf(one, family), groups };
      const golden = stepOf(model, parameters, { ...bnpo, inPieces: true });
      assertGolden(golden, one.float64.loss, { ...one.trl, grad_norm: one.float64.grad_norm });
      // dapo divides by the tokens of the step: of each group alone that is what bnpo divides by
      const dapo = grpo({ ...grpoOptionsOf(one), loss_type: "dapo" });
      const alone = groups.map((group, g) => {
        const columns = Object.fromEntries(
          Object.entries(bnpo.columns).map(([name, values]) => [name, values.slice(4 * g, 4 * g + 4)]),
        );
        const asked = { ...bnpo, objective: dapo, columns: columns as RolloutColumns, groups: [group] };
        return stepOf(model, parameters, asked).loss;
      });
      const want = alone.reduce((sum, loss) => sum + loss, 0) / groups.length;
      assert.ok(Math.abs(want - one.float64.loss) > 1e-4, "the cut makes a difference");
      for (const inPieces of [false, true])
        assertClose(stepOf(model, parameters, { ...bnpo, size: 4, inPieces }).loss, want, plain.loss);
    });
  });

  test(`${family}: SLIME as the authors' code has it, in how many pieces its head is computed`, () => {
    withoutLeaks(() => {
      const model = fixtureModel(family);
      const parameters = trainAll(model);
      const options = loadMethod({ objective: "slime", preset: "reference-compat" }) as SettingsOf<"slime">;
      const objective = onRollouts(slime(options), pairing);
      const columns = prepared(objective, fixtureRollout(family));
      const [whole, pieces] = [false, true].map((inPieces) =>
        stepOf(model, parameters, { objective, columns, groups, inPieces }),
      );
      assertClose(pieces?.loss ?? Number.NaN, whole?.loss ?? 0, { rtol: 1e-6 });
      assertClose(pieces?.gradNorm ?? Number.NaN, whole?.gradNorm ?? 0, { rtol: 1e-5 });
    });
  });

  test(`${family}: RLOO, in every cut`, () => {
    withoutLeaks(() => {
      const model = fixtureModel(family);
      const parameters = trainAll(model);
      for (const [i, one] of losses.rloo.entries()) {
        const { beta, epsilon, normalize_advantages } = one;
        const objective = rloo({ beta, epsilon, normalize_advantages, reward_clip_range: null });
        const own = prepared(objective, fixtureRollout(family));
        const columns = { ...own, ...(one.old === "given" ? givenOld(family) : {}) };
        for (const size of sizesOf(i + shift)) {
          const step = stepOf(model, parameters, { objective, columns, groups, size });
          assertGolden(step, one.float64.loss, { ...one.trl, grad_norm: one.float64.grad_norm });
        }
      }
    });
  });

  test(`${family}: two updates on one rollout, the first pass's log-probs as the old ones, in every cut`, () => {
    const cuts = losses.inner_iterations.flatMap((one, i) =>
      sizesOf(i + shift).map((size) => ({ one, size })),
    );
    for (const { one, size } of cuts) {
      withoutLeaks(() => {
        const model = fixtureModel(family);
        const parameters = trainAll(model);
        const objective = grpo(grpoOptionsOf(one));
        const at0 = losses.logps_float64.map((row) => Float32Array.from(row));
        const columns = prepared(objective, fixtureRollout(family, { referenceLogps: at0 }));
        const learningRate = one.sgd_learning_rate;
        const first = stepOf(model, parameters, { objective, columns, groups, size, learningRate });
        assertGolden(first, one.first.loss, one.first);
        const oldLogps = byCompletion(first.batches, first.logps ?? assert.fail("log-probs"));
        const isReferred = one.beta > 0 ? { referenceTokenLogps: oldLogps } : {};
        const again = { ...columns, oldLogps, ...isReferred };
        const second = stepOf(model, parameters, { objective, columns: again, groups, size });
        assertGolden(second, one.second.loss, one.second, { rtol: 5e-4, loss: { atol: 1e-6, rtol: 5e-4 } });
        // the file's are ratios of tokens
        if (one.case === "gspo") return;
        assertClose(second.metrics["ratio/min"] ?? -1, one.ratio.min, { rtol: 2e-4 });
        assertClose(second.metrics["ratio/max"] ?? -1, one.ratio.max, { rtol: 2e-4 });
        assertClose(second.metrics["ratio/mean"] ?? -1, one.ratio.mean, { rtol: 2e-4 });
      });
    }
  });

  test(`${family}: SLIME on pairs of the groups, in every cut that leaves them whole`, () => {
    withoutLeaks(() => {
      const model = fixtureModel(family);
      const parameters = trainAll(model);
      for (const one of losses.slime_pairs) {
        const preset = loadMethod({ objective: "slime", preset: one.preset }) as SettingsOf<"slime">;
        const pairs = one.case === "all_pairs" ? "all" : "best_worst";
        const objective = onRollouts(slime(preset), { ...pairing, pairs });
        const columns = prepared(objective, fixtureRollout(family));
        for (const size of wholeGroups)
          assertGolden(stepOf(model, parameters, { objective, columns, groups, size }), one.loss, one);
      }
    });
  });

  test(`${family}: DPO on two answers a prompt, without TRL's tie`, () => {
    // its other case, IPO, is not ours: per token, in pairing.test.ts
    const one = losses.online_dpo.find((found) => found.case === "online_dpo_sigmoid") ?? assert.fail();
    withoutLeaks(() => {
      const model = fixtureModel(family);
      const parameters = trainAll(model);
      const whole = fixtureRollout(family);
      const firstTwo = <T>(values: readonly T[]) => values.filter((_, i) => i % 4 < 2);
      const rollout = {
        ...whole,
        ...{ groupSizes: [2, 2, 2], rewards: firstTwo(whole.rewards), truncated: firstTwo(whole.truncated) },
        ...{
          samplerLogps: firstTwo(whole.samplerLogps),
          referenceLogps: firstTwo(whole.referenceLogps ?? []),
        },
      };
      const objective = onRollouts(
        dpo({ beta: one.beta, label_smoothing: 0, loss_type: "sigmoid" }),
        pairing,
      );
      const columns = prepared(objective, rollout);
      for (const size of [6, 4, 2]) {
        const step = stepOf(model, parameters, { objective, columns, groups: groupsOf(family, 2), size });
        assertClose(step.loss, one.float64_without_ties.loss, plain.loss);
        assertClose(step.gradNorm, one.float64_without_ties.grad_norm, { rtol: 1e-4 });
      }
    });
  });

  test(`${family}: PPO's policy and value model, in every cut`, () => {
    const { ragged, value_head } = onlinePpo(family);
    for (const [i, one] of ragged.entries()) {
      const defaults = loadMethod({ objective: "ppo" }) as SettingsOf<"ppo">;
      const options = { ...defaults, ...(one.options as unknown as Partial<PpoOptions>) };
      withoutLeaks(() => {
        const values = one.old_values.map((row) => Float32Array.from(row));
        const objective = ppo(options);
        const own = prepared(objective, fixtureRollout(family, { values }));
        const model = fixtureModel(family);
        for (const size of sizesOf(i + shift)) {
          const columns = { ...own, ...givenOld(family) };
          const policy = stepOf(model, trainAll(model), { objective, columns, groups, size });
          assertGolden(policy, one.policy_loss, one.policy);
        }
        for (const size of sizesOf(i + shift)) {
          const value = valueStep(family, own, { options, value_head, groups, size });
          assertGolden(value, options.vf_coef * one.value_loss, one.value);
        }
      });
    }
  });
}

/** The value model's loss and gradients, `size` completions in a micro-batch: a second copy of the model under the file's head. */
function valueStep(
  family: OnlineFamily,
  columns: RolloutColumns,
  given: { options: PpoOptions; value_head: number[]; groups: RolloutGroup[]; size: number },
) {
  using _ = scope();
  const model = fixtureModel(family);
  const layer = new Linear(tensor(Float32Array.from(given.value_head), [1, given.value_head.length]));
  layer.weight.requiresGrad = true;
  const body = modelParameters(model).filter(({ name }) => name !== "lm_head.weight");
  for (const { tensor: parameter } of body) parameter.requiresGrad = true;
  const trained = new ParameterSet([...body, { name: "score.weight", tensor: layer.weight }]);
  const batches = rolloutBatches(given.groups, 0, columns, {
    ...{ per_device_train_batch_size: given.size, max_tokens_per_micro_batch: null, share_prompt: true },
    ...{ mayCutGroups: true, mask_truncated_completions: false },
  });
  const tokens = batches.reduce((sum, { packed }) => sum + packed.targets.length, 0);
  const numerics = { dtype: "float32", gradient_checkpointing: false, trained } as const;
  const parts = batches.map((batch) => {
    const placed = toDevice(batch.packed, "cpu");
    const pass = walk(model, placed, valueHead(layer), numerics);
    const head = pass.head(allCompletions(placed));
    const values = ops.detach(ops.to(head.values, "float64"));
    values.requiresGrad = true;
    const column = (name: string) => tensor(Float64Array.from(batch.columns?.[name] ?? []));
    const columnsOf = { values, oldValues: column("oldValues"), returns: column("returns") };
    const { loss } = valueLoss(columnsOf, given.options, tokens);
    backward([loss]);
    head.backward(ops.to(values.grad ?? assert.fail("no gradient"), "float32"));
    pass.backward();
    return loss.item();
  });
  const norms = new Map([...trained].map((p) => [p.name, norm(p.tensor.grad?.toNumbers() ?? [])]));
  trained.clearGrads();
  return { loss: parts.reduce((sum, part) => sum + part, 0), norms, gradNorm: norm([...norms.values()]) };
}
