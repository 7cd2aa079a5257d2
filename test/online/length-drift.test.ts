/**
 * docs/guarantees.md, "A length-normalised anchor shortens answers", on a model: the mean step of many rollouts under rewards of a
 * coin against the formula, whose expectations are over all completions of a small vocabulary, by the chain rule through the model.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { at } from "../../src/base/at.ts";
import { Random } from "../../src/base/random.ts";
import { loadMethod } from "../../src/config/load-config.ts";
import type { SettingsOf } from "../../src/methods/index.ts";
import { type CompletionObjective, sumByCompletion } from "../../src/methods/objective.ts";
import { onRollouts } from "../../src/methods/pairing/on-rollouts.ts";
import { slime } from "../../src/methods/slime/loss.ts";
import type { ParameterSet } from "../../src/nn/parameter-set.ts";
import { type RolloutGroup, rollout } from "../../src/online/rollout.ts";
import { update } from "../../src/online/update.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { noGrad, ops, scope, type Tensor, tensor } from "../../src/torch/index.ts";
import { trainAll } from "../../src/train/parameters.ts";
import { amount } from "../support/campaign.ts";
import { assertClose } from "../support/close.ts";
import { tinyModel } from "../support/tiny-models.ts";

/** Tokens, of which the last two end a completion; completions have at most three. */
const vocabulary = 8;
const ends: ReadonlySet<number> = new Set([6, 7]);
const longest = 3;
const prompts: readonly (readonly number[])[] = [
  [3, 5, 4],
  [1, 0],
];
/** Of each prompt, in a rollout. */
const generations = 128;

const examples = prompts.map((promptIds, index) => {
  const origin = { file: "prompts", line: index + 1 };
  return { index, example: { origin, promptIds: [...promptIds], completions: [] } };
});

/** Keeps the gradient of a step, all parameters one after the other, and changes nothing. */
class Kept extends AdamW {
  gradient: number[] = [];
  readonly #of: ParameterSet;

  constructor(of: ParameterSet) {
    super([], { adam_beta1: 0, adam_beta2: 0, adam_epsilon: 0, weight_decay: 0 });
    this.#of = of;
  }

  override step(): void {
    this.gradient = [...this.#of].flatMap(({ tensor: { grad } }) => grad?.toNumbers() ?? assert.fail());
  }
}

const model = tinyModel("qwen3", { vocab_size: vocabulary });
const parameters = trainAll(model);
const optimizer = new Kept(parameters);

/** The loss of `objective` on completions, and its gradient. */
function gradientOf(objective: CompletionObjective, groups: RolloutGroup[], rewards: number[]) {
  using _ = scope();
  const numerics = { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null } as const;
  const training = { model, adapter: null, parameters, objective, optimizer, numerics };
  const { loss } = update(
    { ...training, max_grad_norm: 0, reference: null },
    objective,
    { groups, rewards, scores: { functions: [] } },
    {
      ...{ learning_rate: 0, seed: 1, max_completion_length: longest },
      ...{ per_device_train_batch_size: rewards.length },
    },
  );
  return { loss, gradient: optimizer.gradient };
}

/** Every completion that may be drawn. */
function* everyCompletion(before: readonly number[] = []): Generator<number[]> {
  for (let token = 0; token < vocabulary; token++) {
    const ids = [...before, token];
    if (ends.has(token) || ids.length === longest) yield ids;
    else yield* everyCompletion(ids);
  }
}

const all = examples.map(
  (prompt): RolloutGroup => ({
    ...prompt,
    completions: [...everyCompletion()].map((ids) => ({
      ...{ ids, ended: ends.has(at(ids, ids.length - 1)), kept: null },
      logps: new Float32Array(ids.length),
    })),
  }),
);

/** E[f(|y|)], the mean over prompts, and its gradient. */
function expectationOf(f: (lengths: Tensor) => Tensor) {
  const objective: CompletionObjective = {
    name: "expectation",
    over: "groups",
    prepare: () => ({ columns: {}, metrics: {} }),
    evaluate(completions) {
      const probabilities = ops.exp(sumByCompletion(completions.logps, completions));
      const sum = ops.sum(ops.mul(probabilities, f(completions.lengths)));
      return { loss: ops.mul(sum, 1 / prompts.length), metrics: {} };
    },
  };
  const count = all.reduce((sum, { completions }) => sum + completions.length, 0);
  const { loss, gradient } = gradientOf(objective, all, new Array<number>(count).fill(0));
  return { value: loss, gradient };
}

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * at(b, i), 0);

/** Mean and its standard error. */
function estimate(values: readonly number[]): { mean: number; error: number } {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (values.length - 1);
  return { mean, error: Math.sqrt(variance / values.length) };
}

/** Minus the log-probs of what a coin chose, summed over a completion's tokens. */
const summed: CompletionObjective = {
  name: "summed",
  over: "groups",
  columns: { rewards: "completion" },
  prepare: ({ rewards }) => ({ columns: { rewards }, metrics: {} }),
  evaluate(completions) {
    const chosen = completions.columns["rewards"] as Tensor;
    const logps = ops.mul(sumByCompletion(completions.logps, completions), chosen);
    return { loss: ops.neg(ops.div(ops.sum(logps), ops.sum(chosen))), metrics: {} };
  },
};

/** Of each objective the steps, minus its gradients, on `rollouts` rollouts under rewards of a coin. */
async function stepsOf(objectives: readonly CompletionObjective[], rollouts: number): Promise<number[][][]> {
  const random = new Random(11);
  const steps: number[][][] = objectives.map(() => []);
  for (let seed = 0; seed < rollouts; seed++) {
    const groups = await rollout(model, examples, {
      ...{ num_generations: generations, max_completion_length: longest, temperature: 1 },
      ...{ stopIds: ends, seed, dtype: "float32" },
    });
    const rewards = groups.flatMap(({ completions }) => completions.map(() => random.below(2)));
    for (const [i, objective] of objectives.entries())
      steps[i]?.push(gradientOf(objective, groups, rewards).gradient.map((x) => -x));
  }
  return steps;
}

/** Moves the parameters along `direction`. */
function move(direction: readonly number[], by: number): void {
  using _ = scope();
  let first = 0;
  for (const { tensor: parameter } of parameters) {
    const part = direction.slice(first, first + parameter.numel).map((x) => by * x);
    noGrad(() => ops.add_(parameter, tensor(Float32Array.from(part), parameter.shape)));
    first += parameter.numel;
  }
}

const settings = loadMethod({ objective: "slime", preset: "script" }) as SettingsOf<"slime">;
const anchor = onRollouts(slime({ ...settings, lambda_w: 1, lambda_l: 0, lambda_d: 0 }), settings);

test("over many rollouts of a model the anchor's step is one up E[1/|y|], and answers shorten by what the formula says", async () => {
  const whole = expectationOf((lengths) => ops.onesLike(lengths));
  assertClose([whole.value, ...whole.gradient], [1, ...whole.gradient.map(() => 0)], { atol: 1e-5 });
  const inverse = expectationOf((lengths) => ops.reciprocal(lengths));
  const length = expectationOf((lengths) => lengths);
  const [anchored = [], unnormalised = []] = await stepsOf([anchor, summed], amount(100, 1000));

  const along = estimate(anchored.map((step) => dot(step, inverse.gradient)));
  const formula = dot(inverse.gradient, inverse.gradient);
  const text = `${along.mean} ± ${along.error}, ${formula}`;
  assert.ok(Math.abs(along.mean - formula) < 3 * along.error, text);
  // the interval excludes what other formulas say: the sum's, twice and half as much, and the step up 1 / E|y|
  const ofMean = -dot(length.gradient, inverse.gradient) / length.value ** 2;
  for (const wrong of [0, 2 * formula, formula / 2, ofMean])
    assert.ok(Math.abs(along.mean - wrong) > 3 * along.error, `${text}; ${wrong}`);

  const sum = estimate(unnormalised.map((step) => dot(step, inverse.gradient)));
  assert.ok(Math.abs(sum.mean) < 3 * sum.error, `${sum.mean} ± ${sum.error}`);
  assert.ok(Math.abs(sum.mean - formula) > 3 * sum.error, `${sum.mean} ± ${sum.error}, ${formula}`);

  const drift = dot(length.gradient, inverse.gradient);
  const { error } = estimate(anchored.map((step) => dot(step, length.gradient)));
  const rate = 1e-3;
  const mean = inverse.gradient.map((_, i) => anchored.reduce((total, step) => total + at(step, i), 0));
  move(mean, rate / anchored.length);
  const shorter = (expectationOf((lengths) => lengths).value - length.value) / rate;
  assert.ok(drift < 0 && Math.abs(shorter - drift) < 3 * error, `${shorter} ± ${error}, ${drift}`);
});
