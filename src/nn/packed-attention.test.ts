/**
 * Packed attention against one dense masked softmax over the whole stream in float64, gradients included: in float64 itself, where torch's
 * operators do it, and in float32 and half precision, where the addon's does.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { dense, denseMask, type Layout, random, segmentsOf } from "../../test/support/packed.ts";
import { ShapeError } from "../base/errors.ts";
import {
  backward,
  type DType,
  gradients,
  manualSeed,
  ops,
  scope,
  setThreads,
  type Tensor,
  threads,
} from "../torch/index.ts";
import { packedAttention, planAttention } from "./packed-attention.ts";

interface Shape {
  heads: number;
  shared: number;
  width: number;
  window: number | null;
}

/** Largest differences of results and gradients. */
const bounds = {
  float64: [1e-12, 1e-11],
  float32: [3e-6, 2e-5],
  float16: [1e-3, 8e-3],
  bfloat16: [8e-3, 6e-2],
} as const;

function compare(
  layout: Layout,
  { heads, shared, width, window }: Shape,
  dtype: DType & keyof typeof bounds = "float64",
): void {
  const [atol, atolOfGradients] = bounds[dtype];
  const segments = segmentsOf(layout);
  const count = segments.at(-1)?.end ?? 0;
  // what half precision can show: the result's rounding is what is left
  const typed = (x: Tensor) => ops.to(ops.to(x, dtype), "float64");
  const [q, k, v] = [
    typed(random([count, heads, width])),
    typed(random([count, shared, width])),
    typed(random([count, shared, width])),
  ];
  const upstream = ops.normal_(ops.zeros([count, heads * width], { dtype: "float64" }));
  const plan = planAttention(segments, { dtype, device: "cpu", headWidth: width, scale: 0.37, window });
  const got = ops.to(packedAttention(ops.to(q, dtype), ops.to(k, dtype), ops.to(v, dtype), plan), "float64");
  const want = dense([q, k, v], denseMask(segments, window), 0.37);
  assertClose(got, want.toNumbers(), { atol });
  const inputs = [q, k, v];
  const gotGrads = gradients([got], inputs, { gradients: [upstream] });
  const wantGrads = gradients([want], inputs, { gradients: [upstream] });
  wantGrads.forEach((grad, i) => {
    assertClose(gotGrads[i] as Tensor, (grad as Tensor).toNumbers(), {
      atol: atolOfGradients,
    });
  });
}

const layouts: Record<string, Layout> = {
  "one sequence": [[7, []]],
  "a shared prompt": [[5, [4, 6]]],
  "single tokens everywhere": [
    [1, [1, 1]],
    [1, []],
  ],
  "two prompts, one without answers": [
    [4, [3, 1, 5]],
    [6, []],
    [2, [2]],
  ],
};

for (const [name, layout] of Object.entries(layouts)) {
  test(`${name}: full and sliding, plain and grouped heads`, () => {
    withoutLeaks(() => {
      manualSeed(3);
      for (const window of [null, 1, 3, 6, 100]) {
        compare(layout, { heads: 2, shared: 2, width: 4, window });
        compare(layout, { heads: 4, shared: 2, width: 3, window });
        compare(layout, { heads: 3, shared: 1, width: 2, window });
        for (const dtype of ["float32", "float16", "bfloat16"] as const) {
          compare(layout, { heads: 4, shared: 2, width: 11, window }, dtype);
        }
      }
    });
  });
}

test("any layout, window and grouping", () => {
  const layout = fc.array(
    fc.tuple(fc.integer({ min: 1, max: 7 }), fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 3 })),
    { minLength: 1, maxLength: 3 },
  );
  const shape = fc.record({
    shared: fc.integer({ min: 1, max: 2 }),
    groups: fc.integer({ min: 1, max: 3 }),
    width: fc.integer({ min: 1, max: 5 }),
    window: fc.option(fc.integer({ min: 1, max: 12 }), { nil: null }),
  });
  withoutLeaks(() => {
    manualSeed(4);
    fc.assert(
      fc.property(layout, shape, (segments, { shared, groups, width, window }) => {
        using _ = scope();
        compare(segments, { heads: shared * groups, shared, width, window });
      }),
      { numRuns: 60, seed: 17 },
    );
  });
});

test("float32: more rows than a block has, and products on both sides of what the kernel for small ones takes", () => {
  withoutLeaks(() => {
    manualSeed(5);
    const layout: Layout = [
      [100, [50, 7]],
      [3, [99, 1]],
    ];
    for (const width of [5, 16, 27]) {
      for (const window of [null, 40]) compare(layout, { heads: 4, shared: 2, width, window }, "float32");
    }
  });
});

test("float32: threads share trees and key heads, and give the bits of one", () => {
  const before = threads();
  const segments = segmentsOf([
    [30, [40, 7]],
    [3, [9]],
    [120, [11, 5]],
  ]);
  const [count, headWidth] = [segments.at(-1)?.end ?? 0, 16];
  const plan = planAttention(segments, {
    dtype: "float32",
    device: "cpu",
    headWidth,
    scale: 0.3,
    window: 50,
  });
  const by = (several: number): number[][] => {
    using _ = scope();
    setThreads(several);
    manualSeed(6);
    const inputs = [6, 3, 3].map((heads) => random([count, heads, headWidth]));
    const [q, k, v] = inputs.map((x) => ops.to(x, "float32")) as [Tensor, Tensor, Tensor];
    const out = packedAttention(q, k, v, plan);
    return [out, ...gradients([ops.sum(ops.mul(out, out))], inputs)].map((x) => (x as Tensor).toNumbers());
  };
  try {
    const one = by(1);
    // three have the key heads' first trees at once; again and again, since it is a matter of their timing
    for (const several of [2, ...Array(8).fill(3)]) assert.deepEqual(by(several), one);
  } finally {
    setThreads(before);
  }
});

test("an answer does not see its sibling, nor the prompt its answers", () => {
  withoutLeaks(() => {
    const segments = segmentsOf([[2, [2, 2]]]);
    const v = random([6, 1, 1]);
    const plan = planAttention(segments, {
      dtype: "float64",
      device: "cpu",
      headWidth: 1,
      scale: 1,
      window: null,
    });
    const out = packedAttention(random([6, 1, 1]), random([6, 1, 1]), v, plan);
    const reach = Array.from({ length: 6 }, (_, row) => {
      v.grad = null;
      backward([ops.select(ops.select(out, 0, row), 0, 0)], { retainGraph: true });
      return (v.grad as Tensor | null)
        ?.toNumbers()
        .map((g) => (g === 0 ? 0 : 1))
        .join("");
    });
    assert.deepEqual(reach, ["100000", "110000", "111000", "111100", "110010", "110011"]);
  });
});

test("parents must come before their children and have none themselves", () => {
  const options = { dtype: "float32", device: "cpu", headWidth: 1, scale: 1, window: null } as const;
  const plan = (...parents: number[]) => {
    const segments = parents.map((parent, i) => ({ start: i, end: i + 1, parent }));
    return () => withoutLeaks(() => planAttention(segments, options));
  };
  for (const [make, index, parent] of [
    [plan(1, -1), 0, 1],
    [plan(0), 0, 0],
    [plan(-1, 0, 1), 2, 1],
    [plan(-1, 7), 1, 7],
  ] as const) {
    assert.throws(make, (error: unknown) => {
      assert.ok(error instanceof ShapeError);
      assert.match(error.message, new RegExp(`segment ${index} names segment ${parent} as parent`));
      return true;
    });
  }
});
