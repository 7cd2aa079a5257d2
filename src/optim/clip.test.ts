/** Clipping against `torch.nn.utils.clip_grad_norm_`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { float32, golden } from "../../test/support/goldens.ts";
import { type Tensor, tensor } from "../torch/index.ts";
import { clipGradNorm } from "./clip.ts";

interface Case {
  shapes: number[][];
  grads: number[][];
  maxNorm: number;
  norm: number;
  clipped: number[][];
}

const { clip: cases } = golden<{ clip: Case[] }>("optim");

const normOf = (grads: readonly Tensor[], maxNorm: number) => clipGradNorm(grads, maxNorm)?.item() ?? -1;
const gradsOf = ({ shapes, grads }: Case) => grads.map((values, i) => tensor(values, shapes[i]));

for (const [index, run] of cases.entries()) {
  test(`case ${index}: norm ${run.norm.toPrecision(3)} clipped to ${run.maxNorm} as torch does`, () => {
    withoutLeaks(() => {
      const grads = gradsOf(run);
      assertClose(normOf(grads, run.maxNorm), run.norm, { rtol: 2e-7 });
      grads.forEach((grad, i) => {
        assertClose(grad, float32(run.clipped[i] ?? []), { rtol: 3e-7 });
      });
    });
  });
}

test("3-4-5: the norm is joint, the result has the norm asked for", () => {
  withoutLeaks(() => {
    const grads = [tensor([3, 0]), tensor([[4]].flat(), [1, 1])];
    assert.equal(normOf(grads, 1), 5);
    assertClose(grads[0] as (typeof grads)[0], [0.6, 0], { atol: 1e-6 });
    assertClose(grads[1] as (typeof grads)[0], [0.8], { atol: 1e-6 });
  });
});

for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
  test(`a norm of ${bad} is returned and nothing is scaled`, () => {
    withoutLeaks(() => {
      const grads = [tensor([1, bad]), tensor([30, 40])];
      const norm = normOf(grads, 1);
      assert.ok(Object.is(norm, bad));
      assert.deepEqual(grads[0]?.toNumbers(), [1, bad]);
      assert.deepEqual(grads[1]?.toNumbers(), [30, 40]);
    });
  });
}

test("maxNorm 0 measures only; no gradients have no norm", () => {
  withoutLeaks(() => {
    const grads = [tensor([30, 40])];
    assert.equal(normOf(grads, 0), 50);
    assert.deepEqual(grads[0]?.toNumbers(), [30, 40]);
    assert.equal(clipGradNorm([], 1), null);
  });
});
