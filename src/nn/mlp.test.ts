/** The feed-forward layer and its dense parts against transformers' LlamaMLP and Gemma3MLP. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { golden } from "../../test/support/goldens.ts";
import type { Activation } from "../formats/model-config.ts";
import { backward, ops, type Tensor, tensor } from "../torch/index.ts";
import { Embedding, Linear } from "./linear.ts";
import { Mlp } from "./mlp.ts";

interface Case {
  activation: Activation;
  parameters: Record<string, number[]>;
  x: number[];
  y: number[];
}

const { mlps } = golden<{ mlps: Case[] }>("nn");

for (const run of mlps) {
  test(`${run.activation} gate`, () => {
    withoutLeaks(() => {
      const layer = (name: string, out: number, input: number) => {
        const bias = run.parameters[`${name}.bias`];
        const weight = tensor(run.parameters[`${name}.weight`] ?? [], [out, input]);
        return new Linear(weight, bias === undefined ? null : tensor(bias));
      };
      const mlp = new Mlp(
        layer("gate_proj", 7, 6),
        layer("up_proj", 7, 6),
        layer("down_proj", 6, 7),
        run.activation,
      );
      assertClose(mlp.forward(tensor(run.x, [3, 6])), run.y, { rtol: 1e-5, atol: 1e-5 });
    });
  });
}

test("a linear's weight may be kept in float32: the product is in the activations' type, the gradient in float32", () => {
  withoutLeaks(() => {
    const weight = tensor([1, 2, 3, 4], [2, 2]);
    weight.requiresGrad = true;
    const y = new Linear(weight, tensor([0.5, -0.5])).forward(ops.to(tensor([1, 1], [1, 2]), "bfloat16"));
    assert.equal(y.dtype, "bfloat16");
    assertClose(ops.to(y, "float32"), [3.5, 6.5], {});
    backward([ops.sum(y)]);
    const grad = weight.grad as Tensor;
    assert.equal(grad.dtype, "float32");
    assertClose(grad, [1, 1, 1, 1], {});
  });
});

test("an embedding gives the rows of its ids, and their gradients add up", () => {
  withoutLeaks(() => {
    const weight = tensor([0, 1, 10, 11, 20, 21], [3, 2]);
    weight.requiresGrad = true;
    const rows = new Embedding(weight).forward(tensor([2, 0, 2], [3], { dtype: "int64" }));
    assert.deepEqual(rows.toNumbers(), [20, 21, 0, 1, 20, 21]);
    backward([ops.sum(rows)]);
    assert.deepEqual(weight.grad?.toNumbers(), [1, 1, 0, 0, 2, 2]);
  });
});
