/** The set of trained tensors: which modules it trains, gradients, and copies in half precision. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutLeaks } from "../../test/support/close.ts";
import { backward, heldCopy, ops, tensor } from "../torch/index.ts";
import { Embedding, Linear } from "./linear.ts";
import { ParameterSet } from "./parameter-set.ts";

function parts() {
  const linear = new Linear(tensor([1, 2, 3, 4], [2, 2]), tensor([0, 1]));
  const frozen = new Linear(tensor([5, 6, 7, 8], [2, 2]));
  const embedding = new Embedding(tensor([1, 1, 2, 2], [2, 2]));
  for (const trained of [linear.weight, embedding.weight]) trained.requiresGrad = true;
  const shards = [
    { name: "linear.weight", tensor: linear.weight },
    { name: "embedding.weight", tensor: embedding.weight },
  ];
  const set = new ParameterSet(shards, [linear.weight, frozen.weight]);
  return { linear, frozen, embedding, set };
}

test("names, sizes, and the modules that hold a trained tensor at any depth", () => {
  withoutLeaks(() => {
    const { linear, frozen, set } = parts();
    assert.deepEqual([...set.tensors.keys()], ["linear.weight", "embedding.weight"]);
    assert.equal(set.tensors.get("linear.weight"), linear.weight);
    assert.equal(set.numel, 8);
    const block = (inner: Linear) => ({ isModuleGroup: true, layers: [frozen, inner] });
    assert.deepEqual([set.trains(linear), set.trains(frozen)], [true, false]);
    assert.deepEqual([set.trains(block(linear)), set.trains(block(frozen))], [true, false]);
  });
});

test("gradients: those there are, zeros to add to where there is none, and none after the step", () => {
  withoutLeaks(() => {
    const { linear, embedding, set } = parts();
    assert.deepEqual(set.grads(), []);
    backward([ops.sum(linear.forward(tensor([1, 2], [1, 2])))]);
    assert.deepEqual(
      set.grads().map((grad) => grad.toNumbers()),
      [[1, 2, 1, 2]],
    );
    assert.deepEqual(set.gradOf(linear.weight).toNumbers(), [1, 2, 1, 2]);
    ops.add_(set.gradOf(embedding.weight), tensor([3], []));
    assert.deepEqual(
      set.grads().map((grad) => grad.toNumbers()),
      [
        [1, 2, 1, 2],
        [3, 3, 3, 3],
      ],
    );
    set.clearGrads();
    assert.deepEqual([linear.weight.grad, embedding.weight.grad], [null, null]);
  });
});

test("gathered in half precision: a copy of what is trained and multiplied by, until it is released", () => {
  withoutLeaks(() => {
    const { linear, frozen, embedding, set } = parts();
    assert.deepEqual(set.gather("float32"), []);
    assert.equal(set.gather("bfloat16").length, 1);
    assert.deepEqual(
      [linear, frozen, embedding].map(({ weight }) => heldCopy(weight, "bfloat16") !== null),
      [true, false, false],
    );
    set.release();
    assert.equal(heldCopy(linear.weight, "bfloat16"), null);
  });
});
