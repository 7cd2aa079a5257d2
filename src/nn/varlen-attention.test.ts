/**
 * Flash attention's plan by emulation: what the kernel is documented to do with it, in plain operators on the CPU, against
 * the dense masked softmax. The kernel itself runs on CUDA only: test/gpu/parity.test.ts.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { dense, denseMask, type Layout, random, segmentsOf } from "../../test/support/packed.ts";
import { gradients, manualSeed, ops, scope, type Tensor, tensor } from "../torch/index.ts";
import { planAttention, type Segment } from "./packed-attention.ts";
import {
  hasVarlenAttention,
  planVarlen,
  type SegmentBounds,
  type VarlenPlan,
  varlenAttention,
  varlenLayout,
} from "./varlen-attention.ts";

function boundsOf(segments: readonly Segment[]): SegmentBounds[] {
  return segments.map(({ start, end, parent }) => {
    const above = segments[parent];
    return { start, end, parentStart: above?.start ?? start, parentEnd: above?.end ?? start };
  });
}

/** 0 where a query of n sees a key of m: causal, aligned at the lower right, `reach` tokens back. */
function visible(n: number, m: number, reach: number | null): Tensor {
  const values = Array.from({ length: n * m }, (_, at) => {
    const distance = m - n + Math.floor(at / m) - (at % m);
    const isSeen = distance >= 0 && (reach === null || distance <= reach);
    return isSeen ? 0 : Number.NEGATIVE_INFINITY;
  });
  return tensor(values, [n, m], { dtype: "float64" });
}

/** The kernel's documented meaning: rows [q_i, q_i+1) of the queries attend to rows [k_i, k_i+1) of the keys. */
function emulated(q: Tensor, k: Tensor, v: Tensor, plan: VarlenPlan): Tensor {
  const [queries, keys] = [plan.queryOffsets.toNumbers(), plan.keyOffsets.toNumbers()];
  const gathered = (x: Tensor) => (plan.keyRows === null ? x : ops.indexSelect(x, 0, plan.keyRows));
  const [allKeys, allValues] = [gathered(k), gathered(v)];
  const parts = queries.slice(1).map((queryEnd, i) => {
    const [queryStart, keyStart, keyEnd] = [queries[i] ?? 0, keys[i] ?? 0, keys[i + 1] ?? 0];
    const [n, m] = [queryEnd - queryStart, keyEnd - keyStart];
    assert.ok(n <= plan.longestQueries && m <= plan.longestKeys);
    return dense(
      [
        ops.slice(q, 0, queryStart, queryEnd),
        ops.slice(allKeys, 0, keyStart, keyEnd),
        ops.slice(allValues, 0, keyStart, keyEnd),
      ],
      visible(n, m, plan.reach),
      plan.scale,
    );
  });
  return ops.cat(parts);
}

function compare(layout: Layout, window: number | null, [heads, shared]: readonly [number, number]): void {
  const segments = segmentsOf(layout);
  const count = segments.at(-1)?.end ?? 0;
  const inputs: [Tensor, Tensor, Tensor] = [
    random([count, heads, 4]),
    random([count, shared, 4]),
    random([count, shared, 4]),
  ];
  const upstream = ops.normal_(ops.zeros([count, heads * 4], { dtype: "float64" }));
  const plan = planVarlen(boundsOf(segments), { device: "cpu", window, scale: 0.4 });
  const got = emulated(...inputs, plan);
  const want = dense(inputs, denseMask(segments, window), 0.4);
  assertClose(got, want.toNumbers(), { atol: 1e-12 });
  const wantGrads = gradients([want], inputs, { gradients: [upstream] });
  for (const [i, grad] of gradients([got], inputs, { gradients: [upstream] }).entries()) {
    assertClose(grad as Tensor, (wantGrads[i] as Tensor).toNumbers(), { atol: 1e-11 });
  }
}

test("rows and offsets of a prompt with two answers and one without", () => {
  assert.deepEqual(
    varlenLayout(
      boundsOf(
        segmentsOf([
          [2, [1, 3]],
          [2, []],
        ]),
      ),
    ),
    {
      keyRows: Int32Array.from([0, 1, 0, 1, 2, 0, 1, 3, 4, 5, 6, 7]),
      queryOffsets: Int32Array.from([0, 2, 3, 6, 8]),
      keyOffsets: Int32Array.from([0, 2, 5, 10, 12]),
    },
  );
});

test("nothing is gathered where no segment has a parent, and no bound is below 2", () => {
  withoutLeaks(() => {
    const plan = planVarlen(boundsOf(segmentsOf([[1, []]])), { device: "cpu", window: 3, scale: 1 });
    assert.equal(plan.keyRows, null);
    assert.equal(plan.longestQueries, 2);
    assert.equal(plan.reach, 2);
  });
});

test("any layout and window: the kernel's meaning of the plan = the dense mask, gradients included", () => {
  const layout = fc.array(
    fc.tuple(fc.integer({ min: 1, max: 7 }), fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 3 })),
    { minLength: 1, maxLength: 3 },
  );
  const window = fc.option(fc.integer({ min: 1, max: 12 }), { nil: null });
  const heads = fc.constantFrom([2, 2] as const, [4, 2] as const, [3, 1] as const);
  withoutLeaks(() => {
    manualSeed(8);
    fc.assert(
      fc.property(layout, window, heads, (lengths, size, grouping) => {
        using _ = scope();
        compare(lengths, size, grouping);
      }),
      { numRuns: 60, seed: 23 },
    );
  });
});

test("half precision on a GPU takes it, other types, widths and devices do not; asking leaves nothing behind", () => {
  withoutLeaks(() => {
    assert.equal(hasVarlenAttention("meta", "bfloat16", 64), true);
    assert.equal(hasVarlenAttention("meta", "float16", 256), true);
    assert.equal(hasVarlenAttention("meta", "float32", 64), false);
    assert.equal(hasVarlenAttention("meta", "bfloat16", 12), false);
    assert.equal(hasVarlenAttention("meta", "bfloat16", 264), false);
    assert.equal(hasVarlenAttention("cpu", "bfloat16", 64), false);
    assert.equal(hasVarlenAttention("mps", "float16", 64), false);
  });
});

test("on device meta: the kernel's shapes and types, and those of its gradients", () => {
  withoutLeaks(() => {
    const segments = segmentsOf([[5, [3, 4]]]);
    const options = {
      dtype: "bfloat16",
      device: "meta",
      headWidth: 16,
      scale: 0.25,
      window: null,
    } as const;
    const { varlen, parts } = planAttention(segments, options);
    assert.ok(varlen !== null && parts === null);
    const leaf = (heads: number) => {
      const x = ops.zeros([12, heads, 16], { dtype: "bfloat16", device: "meta" });
      x.requiresGrad = true;
      return x;
    };
    const [q, k, v] = [leaf(4), leaf(2), leaf(2)];
    const out = varlenAttention(q, k, v, varlen);
    assert.deepEqual([out.shape, out.dtype], [[12, 4, 16], "bfloat16"]);
    const grads = gradients([out], [q, k, v], { gradients: [ops.detach(q)] });
    assert.deepEqual(
      grads.map((grad) => [grad?.shape, grad?.dtype]),
      [q, k, v].map((x) => [x.shape, "bfloat16"]),
    );
  });
});
