/** Clipping against `torch.nn.utils.clip_grad_norm_`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { float32, golden } from "../../test/support/goldens.ts";
import { manualSeed, ops, setThreads, type Tensor, tensor, threads } from "../torch/index.ts";
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

test("float64 gradients are measured and stay as they are", () => {
  withoutLeaks(() => {
    const grads = [tensor([3, 4], [2], { dtype: "float64" })];
    assert.deepEqual([normOf(grads, 0), normOf(grads, 0)], [5, 5]);
    assert.deepEqual(grads[0]?.toNumbers(), [3, 4]);
  });
});

/** Σ x² in float64, added up here one by one. */
function squares(values: Float32Array): number {
  let sum = 0;
  for (const x of values) sum += x * x;
  return sum;
}

// torch's own norm of the last of them is 1e-4 too small
for (const count of [100_003, 3_000_001, 12_000_000]) {
  test(`the norm of ${count} numbers is that of float64, and so is the factor`, () => {
    withoutLeaks(() => {
      manualSeed(count);
      const grads = [count - 1000, 1000].map((n) =>
        ops.normal_(ops.zeros([n], { dtype: "float32" }), 0.1, 1),
      );
      const want = Math.sqrt(grads.reduce((sum, g) => sum + squares(g.data() as Float32Array), 0));
      const first = ops.narrow(grads[0] as Tensor, 0, 0, 8).toNumbers();
      assertClose(normOf(grads, want / 3), want, { rtol: 1e-12 });
      assertClose(
        ops.narrow(grads[0] as Tensor, 0, 0, 8),
        first.map((x) => x / 3),
        { rtol: 2e-7 },
      );
    });
  });
}

test("the norm of half-precision gradients is summed up in float64, beside float32 ones", () => {
  withoutLeaks(() => {
    // 3 and 4 are numbers of every type; a sum of squares in float16 ends at 65,504
    for (const dtype of ["bfloat16", "float16"] as const) {
      const half = ops.full([9, 12_347], 3, { dtype });
      const single = ops.full([4, 1001], 4, { dtype: "float32" });
      assertClose(normOf([half, single], 0), Math.sqrt(9 * 9 * 12_347 + 16 * 4004), { rtol: 1e-14 });
      assertClose(normOf([half], 1), 3 * Math.sqrt(9 * 12_347), { rtol: 1e-14 });
      const clipped = 1 / Math.sqrt(9 * 12_347);
      assertClose(ops.to(ops.narrow(half, 0, 0, 1), "float32").toNumbers()[0] as number, clipped, {
        rtol: 5e-3,
      });
    }
  });
});

test("the norm does not depend on the threads, nor on how the numbers lie in memory", () => {
  const before = threads();
  try {
    withoutLeaks(() => {
      manualSeed(5);
      const grad = ops.normal_(ops.zeros([3001, 701], { dtype: "float32" }));
      const norms = [1, 2].map((count) => {
        setThreads(count);
        return normOf([grad], 0);
      });
      assert.equal(norms[0], norms[1]);
      assertClose(normOf([ops.t(grad)], 0), norms[0] as number, { rtol: 1e-14 });
      assert.equal(normOf([ops.full([2], 1e30, { dtype: "float32" })], 0), Math.SQRT2 * Math.fround(1e30));
    });
  } finally {
    setThreads(before);
  }
});
