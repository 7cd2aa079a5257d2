/** Tests of pair-gradients.ts: gradients against finite differences, the pull against its formula, steps put back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Example } from "../src/data/example.ts";
import { slime } from "../src/methods/slime/loss.ts";
import { scope } from "../src/torch/index.ts";
import { trainAll } from "../src/train/parameters.ts";
import { tinyModel } from "../test/support/tiny-models.ts";
import { marginPush } from "./implied-floor.ts";
import { dot, PairGradients } from "./pair-gradients.ts";

const settings = {
  lambda_w: 0.3,
  lambda_l: 0.2,
  delta: 1,
  margin_hard: 1.5,
  margin_soft: 1,
  kappa: 2.5,
  power: 2.5,
  lambda_d: 1,
};
const numerics = { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null } as const;

function gradientsOf(): PairGradients {
  const model = tinyModel("llama_tied");
  const trained = { model, adapter: null, parameters: trainAll(model), dispose: () => {} };
  return new PairGradients(trained, slime(settings), numerics);
}

const examples: Example[] = [
  {
    origin: { file: "x", line: 1 },
    promptIds: [3, 4, 5],
    completions: [{ ids: [6, 7, 8, 2] }, { ids: [9, 10, 2] }],
  },
  {
    origin: { file: "x", line: 2 },
    promptIds: [11, 12],
    completions: [{ ids: [13, 2] }, { ids: [14, 15, 16, 2] }],
  },
];

test("∇l_w along a direction is the change of l_w there; the weights come back", () => {
  using _ = scope();
  const gradients = gradientsOf();
  const reference = gradients.sums(examples);
  const before = gradients.chosenMeans(examples);
  const direction = gradients.direction(examples, reference);
  for (const [i, example] of examples.entries()) {
    const { chosen } = gradients.probe(example, reference.slice(2 * i, 2 * i + 2));
    const predicted = dot(chosen, direction);
    const step = 2e-3 / Math.abs(predicted);
    const look = (sign: 1 | -1): number =>
      gradients.stepped(direction, sign * step, () => gradients.chosenMeans([example])[0] ?? Number.NaN);
    const slope = (look(1) - look(-1)) / (2 * step);
    assert.ok(Math.abs(slope / predicted - 1) < 0.02, `pair ${i}: predicted ${predicted}, measured ${slope}`);
  }
  assert.deepEqual(gradients.chosenMeans(examples), before);
});

test("the pull is λw + g, and −∇L is pull · ∇l_w − g · ∇l_l plus the stabiliser's", () => {
  using _ = scope();
  const gradients = gradientsOf();
  const [example] = examples as [Example];
  const [chosenSum = 0, rejectedSum = 0] = gradients.sums([example]);
  const margin = chosenSum / 4 - rejectedSum / 3;
  const g = marginPush(settings, margin);
  const { pull } = gradients.probe(example, [0, 0]);
  assert.ok(Math.abs(pull - (settings.lambda_w + g)) < 1e-5, `${pull}, expected ${settings.lambda_w + g}`);
  const model = tinyModel("llama_tied");
  const trained = { model, adapter: null, parameters: trainAll(model), dispose: () => {} };
  const without = new PairGradients(trained, slime({ ...settings, lambda_l: 0 }), numerics);
  const { chosen, rejected, descent } = without.probe(example, [0, 0]);
  for (let i = 0; i < descent.length; i += 97) {
    const want = (settings.lambda_w + g) * (chosen[i] as number) - g * (rejected[i] as number);
    assert.ok(Math.abs((descent[i] as number) - want) < 1e-4 * Math.max(1, Math.abs(want)));
  }
});

test("in full tuning only the last block moves", () => {
  using _ = scope();
  const model = tinyModel("llama_tied");
  const parameters = trainAll(model);
  const gradients = new PairGradients(
    { model, adapter: null, parameters, dispose: () => {} },
    slime(settings),
    numerics,
  );
  const last = parameters.shards.filter(({ name }) =>
    name.startsWith(`model.layers.${model.model.layers.length - 1}.`),
  );
  assert.equal(
    gradients.weights,
    last.reduce((sum, { tensor }) => sum + tensor.numel, 0),
  );
  assert.ok(gradients.weights > 0);
});
