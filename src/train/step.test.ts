/** A step reads from the device once, when everything has been asked of it: on a GPU, waiting in between costs time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutLeaks } from "../../test/support/close.ts";
import { scriptSlime, tinyTraining } from "../../test/support/tiny-training.ts";
import { packExamples } from "../data/packing.ts";
import type { MicroBatch } from "../forward/batch.ts";
import { dpo } from "../methods/dpo/loss.ts";
import type { Objective } from "../methods/objective.ts";
import { simpo } from "../methods/simpo/loss.ts";
import { Tensor } from "../torch/index.ts";
import { trainStep } from "./step.ts";

const origin = { file: "step.test.ts", line: 1 };
const batch: MicroBatch = {
  packed: packExamples([
    { origin, promptIds: [3, 7, 1, 9], completions: [{ ids: [12, 5, 2] }, { ids: [6, 8, 21, 2] }] },
    { origin, promptIds: [8, 4], completions: [{ ids: [21, 2] }, { ids: [17, 11, 2] }] },
  ]),
  indices: [0, 1],
};

/** How often `body` reads numbers out of tensors. */
function readsIn(body: () => void): number {
  let reads = 0;
  const { data, item } = Tensor.prototype;
  Tensor.prototype.data = function (this: Tensor) {
    reads++;
    return data.call(this);
  };
  Tensor.prototype.item = function (this: Tensor) {
    reads++;
    return item.call(this);
  };
  try {
    body();
  } finally {
    Object.assign(Tensor.prototype, { data, item });
  }
  return reads;
}

const objectives: Record<string, Objective> = {
  slime: scriptSlime,
  simpo: simpo({ beta: 2, simpo_gamma: 1, label_smoothing: 0, cpo_alpha: 0 }),
  dpo: dpo({ beta: 0.1, label_smoothing: 0, loss_type: "sigmoid" }),
};

for (const [name, objective] of Object.entries(objectives)) {
  test(`${name}: two micro-batches, clipping, update and metrics wait for the device once`, () => {
    withoutLeaks(() => {
      const training = tinyTraining("llama_tied", "full", objective);
      const step = () =>
        trainStep(training, [batch, batch], { learningRate: 1e-3, seed: 1, log_entropy: true });
      assert.equal(
        readsIn(() => assert.equal(step().skipped, null)),
        1,
      );
    });
  });
}

test("weights updated in the backward pass are never updated after a part of a step", () => {
  withoutLeaks(() => {
    const training = { ...tinyTraining("llama_tied", "full"), optimizer_in_backward: true, max_grad_norm: 0 };
    const before = training.parameters.tensors.values().next().value?.data().slice();
    const how = { learningRate: 1e-3, seed: 1, log_entropy: false };
    assert.throws(
      () => trainStep(training, [batch, batch], how),
      /^ShapeError: optimizer_in_backward: expected a step of one micro-batch, got 2/,
    );
    const now = () => training.parameters.tensors.values().next().value?.data();
    assert.deepEqual(now(), before);
    trainStep(training, [batch, batch], { ...how, frozen: true });
    assert.deepEqual(now(), before);
    assert.equal(trainStep(training, [batch], how).skipped, null);
    assert.notDeepEqual(now(), before);
  });
});
