/** The addon's own operators against the same mathematics in torch's operators, values and gradients, odd sizes included. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose } from "../../test/support/close.ts";
import {
  backward,
  batchInvariant,
  type DType,
  gradients,
  manualSeed,
  noGrad,
  ops,
  scope,
  type Tensor,
  tensor,
} from "../torch/index.ts";

function random(shape: readonly number[], spread = 1): Tensor {
  return ops.normal_(ops.zeros([...shape], { dtype: "float32" }), 0, spread);
}

/** Values and gradients of Σ f(inputs) · probe for both forms; the same values to the bit where nothing is recorded. */
function compare(
  inputs: readonly Tensor[],
  own: (...x: Tensor[]) => Tensor,
  plain: (...x: Tensor[]) => Tensor,
): void {
  const run = (f: (...x: Tensor[]) => Tensor, probe: Tensor | null) => {
    const leaves = inputs.map((x) => {
      const leaf = ops.detach(x);
      leaf.requiresGrad = true;
      return leaf;
    });
    const y = f(...leaves);
    const weights = probe ?? random(y.shape);
    backward([ops.sum(ops.mul(y, weights))]);
    return { y, weights, grads: leaves.map((leaf) => leaf.grad as Tensor) };
  };
  const expected = run(plain, null);
  const actual = run(own, expected.weights);
  assertClose(actual.y, expected.y.toNumbers(), { atol: 2e-5, rtol: 1e-5 });
  assert.deepEqual(noGrad(() => own(...inputs)).toNumbers(), actual.y.toNumbers());
  for (const [i, grad] of actual.grads.entries())
    assertClose(grad, (expected.grads[i] as Tensor).toNumbers(), { atol: 1e-4, rtol: 1e-5 });
}

function normalised(x: Tensor, weight: Tensor, eps: number): Tensor {
  const mean = ops.div(ops.sum(ops.mul(x, x), [-1], true), x.size(-1));
  return ops.mul(ops.div(x, ops.sqrt(ops.add(mean, eps))), weight);
}

function turned(x: Tensor, cos: Tensor, sin: Tensor): Tensor {
  const half = x.size(-1) / 2;
  const swapped = ops.cat([ops.neg(ops.slice(x, -1, half)), ops.slice(x, -1, 0, half)], -1);
  return ops.add(ops.mul(x, cos), ops.mul(swapped, sin));
}

for (const [rows, width] of [
  [1, 1],
  [3, 7],
  [300, 24],
  [129, 67],
] as const) {
  test(`rms_norm of ${rows} rows of ${width}`, () => {
    using _ = scope();
    manualSeed(rows);
    compare(
      [random([rows, width], 2), random([width])],
      (x, w) => ops.rmsNorm(x, w, 1e-5),
      (x, w) => normalised(x, w, 1e-5),
    );
  });
}

for (const [rows, heads, width] of [
  [1, 1, 2],
  [5, 3, 10],
  [140, 2, 64],
] as const) {
  test(`rotate_heads of ${rows} × ${heads} × ${width}, with and without a norm`, () => {
    using _ = scope();
    manualSeed(width);
    const half = random([rows, 1, width / 2], 3);
    const angle = ops.cat([half, half], -1);
    const [cos, sin] = [ops.cos(angle), ops.sin(angle)];
    const x = random([rows, heads, width]);
    for (const shape of [
      [rows, heads, width],
      [rows, heads * width],
    ])
      compare(
        [x],
        (v) => ops.rotateHeads(ops.view(v, shape), null, 0, cos, sin),
        (v) => turned(v, cos, sin),
      );
    compare(
      [x, random([width])],
      (v, w) => ops.rotateHeads(v, w, 1e-6, cos, sin),
      (v, w) => turned(normalised(v, w, 1e-6), cos, sin),
    );
  });
}

test("bfloat16 in a pass that records nothing: the bits of torch's conversions, of NaN, infinities and tiny numbers too", () => {
  using _ = scope();
  manualSeed(17);
  const weight = random([10]);
  const odd = [
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    1e-40,
    -3.38e38,
    0,
    -0,
    1,
    2,
    3,
  ];
  for (const rows of [3, 3000]) {
    const x = ops.to(ops.cat([random([rows, 10]), tensor(Float32Array.from(odd), [1, 10])]), "bfloat16");
    const forms = [
      () => ops.rmsNorm(x, weight, 1e-5),
      () => ops.rmsNorm(x, ops.to(weight, "bfloat16"), 1e-5),
    ];
    const numbers = (y: Tensor) => ops.to(y, "float32").toNumbers();
    for (const form of forms)
      assert.deepEqual(numbers(noGrad(() => batchInvariant(form))), numbers(noGrad(form)));
  }
});

for (const dtype of ["bfloat16", "float16"] as const) {
  test(`rms_norm and rotate_heads in ${dtype}: float32's numbers, rounded once; the weight may be float32`, () => {
    using _ = scope();
    manualSeed(16);
    const [x, weight, probe] = [
      rounded(dtype, [130, 3, 10], 2),
      rounded(dtype, [10]),
      rounded(dtype, [130, 3, 10]),
    ];
    const angle = ops.to(rounded(dtype, [130, 1, 10], 3), dtype);
    const [cos, sin] = [ops.cos(angle), ops.sin(angle)];
    const forms: ((v: Tensor, w: Tensor, c: Tensor, s: Tensor) => Tensor)[] = [
      (v, w) => ops.rmsNorm(v, w, 1e-5),
      (v, w, c, s) => ops.rotateHeads(v, w, 1e-5, c, s),
      (v, _w, c, s) => ops.rotateHeads(v, null, 0, c, s),
    ];
    const run = (form: number, [typeOfX, typeOfWeight]: readonly [DType, DType]) => {
      const leaves = [ops.clone(ops.to(x, typeOfX)), ops.clone(ops.to(weight, typeOfWeight))] as const;
      for (const leaf of leaves) leaf.requiresGrad = true;
      const y = (forms[form] as (typeof forms)[0])(...leaves, ops.to(cos, typeOfX), ops.to(sin, typeOfX));
      assert.equal(y.dtype, typeOfX);
      backward([y], { gradients: [ops.to(probe, typeOfX)] });
      return [y, leaves[0].grad as Tensor, ...(form === 2 ? [] : [leaves[1].grad as Tensor])];
    };
    const epsilon = dtype === "bfloat16" ? 2 ** -8 : 2 ** -11;
    forms.forEach((_form, form) => {
      const want = run(form, ["float32", "float32"]);
      for (const types of [
        [dtype, dtype],
        [dtype, "float32"],
      ] as const) {
        for (const [i, got] of run(form, types).entries()) {
          assert.equal(got.dtype, i < 2 ? dtype : types[1]);
          assertClose(ops.to(got, "float32"), (want[i] as Tensor).toNumbers(), {
            rtol: 1.01 * epsilon,
            atol: 1e-4,
          });
        }
      }
    });
  });
}

test("gated: SwiGLU far from zero, where its exponential saturates", () => {
  using _ = scope();
  manualSeed(4);
  compare(
    [random([11, 13], 60), random([11, 13])],
    (g, u) => ops.gated(g, u, "silu"),
    (g, u) => ops.mul(ops.silu(g), u),
  );
});

test("lora_linear is the sum of its products, over few rows and over many", () => {
  using _ = scope();
  manualSeed(5);
  const weight = random([9, 12], 0.3);
  for (const rows of [1, 10, 12, 13, 40]) {
    compare(
      [random([rows, 12]), random([4, 12], 0.3), random([9, 4], 0.3)],
      (x, a, b) => ops.loraLinear(x, weight, a, b, 1.5),
      (x, a, b) => ops.add(ops.linear(x, weight), ops.mul(ops.linear(ops.linear(x, a), b), 1.5)),
    );
  }
});

/** Numbers of `dtype` as float32. */
function rounded(dtype: DType, shape: readonly number[], spread = 1): Tensor {
  return ops.to(ops.to(random(shape, spread), dtype), "float32");
}

for (const dtype of ["bfloat16", "float16"] as const) {
  for (const drops of [false, true]) {
    test(`lora_linear_half in ${dtype}${drops ? " with dropout" : ""}: float32's numbers but for rounding; gradients of A and B in float32`, () => {
      using _ = scope();
      manualSeed(15);
      const weight = rounded(dtype, [24, 32], 0.3);
      const values = { x: rounded(dtype, [20, 32]), dropped: rounded(dtype, [20, 32]) };
      const factors = { a: rounded(dtype, [4, 32], 0.3), b: rounded(dtype, [24, 4], 0.3) };
      const upstream = rounded(dtype, [20, 24]);
      const leaf = (value: Tensor, type: DType) => {
        const own = ops.clone(ops.to(value, type));
        own.requiresGrad = true;
        return own;
      };
      const [x, dropped] = [leaf(values.x, dtype), leaf(values.dropped, dtype)];
      const [a, b] = [leaf(factors.a, "float32"), leaf(factors.b, "float32")];
      const [ah, bh] = [ops.to(factors.a, dtype), ops.to(factors.b, dtype)];
      const got = ops.loraLinearHalf(x, drops ? dropped : null, ops.to(weight, dtype), a, b, ah, bh, 1.5);
      const asked = drops ? [x, a, b, dropped] : [x, a, b];
      const grads = gradients([got], asked, { gradients: [ops.to(upstream, dtype)] });
      const exact = asked.map((own) => leaf(own, "float32"));
      const [wx, wa, wb, wd] = exact as [Tensor, Tensor, Tensor, Tensor | undefined];
      const low = ops.linear(ops.linear(wd ?? wx, wa), wb);
      const want = ops.add(ops.linear(wx, weight), ops.mul(low, 1.5));
      const wanted = gradients([want], exact, { gradients: [upstream] });
      const close = { rtol: 0.02, atol: 0.15 };
      assertClose(ops.to(ops.detach(got), "float32"), want.toNumbers(), close);
      assert.deepEqual(
        grads.map((grad) => grad?.dtype),
        asked.map((own) => own.dtype),
      );
      for (const [i, grad] of grads.entries())
        assertClose(ops.to(grad as Tensor, "float32"), (wanted[i] as Tensor).toNumbers(), close);
    });
  }
}

test("exp_rows_ gives what a softmax needs, also over a big vocabulary", () => {
  using _ = scope();
  manualSeed(6);
  const logits = random([3, 70_001], 5);
  const logSumExp = ops.logsumexp(ops.to(logits, "float64"), [1], true).toNumbers();
  const [max, total] = ops.expRows_(logits);
  const own = ops.add(ops.to(max, "float64"), ops.log(ops.to(total, "float64")));
  assertClose(own, logSumExp, { atol: 1e-6 });
  assert.ok(logits.toNumbers().every((v) => v >= 0 && v <= 1));
});

test("greatest gives the first of the greatest numbers of a row as argmax does, and -1 where one is not finite", () => {
  using _ = scope();
  manualSeed(7);
  for (const width of [1, 7, 8, 1023, 1024, 1025, 5000, 70_001]) {
    const logits = random([4, width], 5);
    assert.deepEqual(ops.greatest(logits).toNumbers(), ops.argmax(logits, -1).toNumbers());
    const rounded = ops.round(logits);
    assert.deepEqual(
      ops.greatest(rounded).toNumbers(),
      ops.argmax(rounded, -1).toNumbers(),
      "of equal ones the first",
    );
    assert.deepEqual(ops.greatest(ops.zeros([2, width], { dtype: "float32" })).toNumbers(), [0, 0]);
    const least = ops.add(ops.zeros([1, width], { dtype: "float32" }), -3.4028234663852886e38);
    assert.deepEqual(ops.greatest(least).toNumbers(), [0]);
    for (const bad of [Number.NaN, Infinity, -Infinity]) {
      const damaged = logits.toNumbers().with(3 * width - 1, bad);
      assert.deepEqual(
        ops
          .greatest(tensor(damaged, [4, width]))
          .toNumbers()
          .map((place) => place < 0),
        [false, false, true, false],
      );
    }
  }
});

test("products of few rows: odd sizes, added to a bias, and a row alone as among others", () => {
  using _ = scope();
  manualSeed(8);
  for (const [input, out] of [
    [1, 1],
    [17, 5],
    [64, 26],
    [1300, 51],
  ] as const) {
    const weight = random([out, input], 1 / Math.sqrt(input));
    const bias = random([out]);
    const exactly = ops.to(weight, "float64");
    for (const rows of [1, 2, 3, 7, 8, 15, 32, 33]) {
      const x = random([rows, input]);
      const wanted = ops.linear(ops.to(x, "float64"), exactly).toNumbers();
      assertClose(ops.linear(x, weight), wanted, { atol: 5e-6 });
      const biased = ops.linear(ops.to(x, "float64"), exactly, ops.to(bias, "float64"));
      assertClose(ops.linear(x, weight, bias), biased.toNumbers(), { atol: 5e-6 });
      const last = ops.linear(ops.slice(x, 0, rows - 1), weight);
      assertClose(last, wanted.slice(-out), { atol: 5e-6 });
    }
  }
});

test("windows below zero, and tensors without heads or features, are refused before memory is touched", () => {
  using _ = scope();
  const attend = (heads: number, keyHeads: number, width: number, window: number) =>
    ops.segmentAttention(
      random([9, heads, width]),
      random([9, keyHeads, width]),
      random([9, keyHeads, width]),
      [0, 9, 0, 0],
      1,
      window,
    );
  const decode = (heads: number, keyHeads: number, width: number, window: number) => {
    const [keys, values] = [random([2, keyHeads, width, 32]), random([2, keyHeads, 32, width])];
    const [k, v] = [random([1, keyHeads, width]), random([1, keyHeads, width])];
    const table = tensor(Int32Array.of(1, 40, 3, 0, 1));
    return ops.pagedAttention(random([1, heads, width]), k, v, keys, values, table, 1, 1, window);
  };
  for (const call of [attend, decode]) {
    assert.ok(call(2, 1, 4, 3).toNumbers().every(Number.isFinite));
    assert.throws(() => call(2, 1, 4, -3), /expected a window of tokens, or 0 for none, got -3/);
    assert.throws(() => call(2, 0, 4, 0), /q and k do not fit together/);
    assert.throws(
      () => call(0, 1, 4, 0),
      /expected a head and a feature at least, got q of shape \[\d, 0, 4\]/,
    );
    assert.throws(
      () => call(2, 1, 0, 0),
      /expected a head and a feature at least, got q of shape \[\d, 2, 0\]/,
    );
  }
});
