/** Dropout by token: the mask against a second implementation, its statistics, and what it may depend on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { deriveSeed } from "../base/random.ts";
import { backward, type DType, ops, type Tensor, tensor } from "../torch/index.ts";

/** (2, T) words of tokens that all differ. */
function keysOf(tokens: number, first = 0): Int32Array<ArrayBuffer> {
  return Int32Array.from({ length: 2 * tokens }, (_, i) => deriveSeed(first, i));
}

function placed(keys: Int32Array<ArrayBuffer>): Tensor {
  return tensor(keys, [2, keys.length / 2]);
}

/** T × n factors, by the operator. */
function factors(
  keys: Tensor,
  width: number,
  { p = 0.05, module = 1, dtype = "float32" as DType } = {},
): Tensor {
  return ops.tokenDropout(ops.ones([keys.size(1), width], { dtype }), keys, module, p);
}

/** The same in TypeScript, from what `native/dropout.h` says. */
function expected(keys: Int32Array, width: number, p: number, module: number): number[] {
  const tokens = keys.length / 2;
  const dropped = Math.min(65535, Math.round(p * 65536));
  return Array.from({ length: tokens * width }, (_, at) => {
    const [t, j] = [Math.floor(at / width), at % width];
    const [start, key] = [(keys[t] as number) + module, ((keys[tokens + t] as number) ^ module) | 1];
    let h = (start + Math.imul(j >> 1, 0x9e3779b9)) | 0;
    h = Math.imul(h ^ (h >>> 16), key);
    h = Math.imul(h ^ (h >>> 16), 0x735a2d97);
    const number = j % 2 === 0 ? (h << 16) >> 16 : h >> 16;
    return number + 32768 < dropped ? 0 : Math.fround(65536 / (65536 - dropped));
  });
}

test("the mask is the one that the header describes, for odd widths and every probability, in float32 and in torch's operators", () => {
  withoutLeaks(() => {
    for (const [tokens, width, p, module] of [
      [3, 1, 0.5, 0],
      [5, 7, 0.3, 4_000_000_000],
      [4, 256, 0.05, 1],
      [9, 515, 0.9, 123_456],
      [2, 1030, 0.999, 7],
      [2, 40, 0, 7],
      [2, 9000, 0.999999, 7],
    ] as const) {
      const keys = keysOf(tokens, width);
      const want = expected(keys, width, p, module);
      assert.deepEqual(factors(placed(keys), width, { p, module }).toNumbers(), want);
      // float64 has no kernel of its own: it goes by the operators that CUDA takes
      assertClose(factors(placed(keys), width, { p, module, dtype: "float64" }), want, { rtol: 1e-7 });
    }
  });
});

test("bfloat16 takes the same mask, and rounds once", () => {
  withoutLeaks(() => {
    const keys = placed(keysOf(6));
    const x = ops.to(ops.normal_(ops.zeros([6, 33], { dtype: "float32" })), "bfloat16");
    const got = ops.tokenDropout(x, keys, 5, 0.25);
    assert.equal(got.dtype, "bfloat16");
    const want = ops.to(ops.tokenDropout(ops.to(x, "float32"), keys, 5, 0.25), "bfloat16");
    const wide = (t: Tensor) => ops.to(t, "float32").toNumbers();
    assert.deepEqual(wide(got), wide(want));
  });
});

for (const dtype of ["float32", "float64"] as const) {
  test(`${dtype}: the gradient goes through what was kept, and NaN is not hidden`, () => {
    withoutLeaks(() => {
      const keys = placed(keysOf(4));
      const x = ops.normal_(ops.zeros([4, 21], { dtype }));
      const upstream = ops.normal_(ops.zeros([4, 21], { dtype }));
      x.requiresGrad = true;
      backward([ops.tokenDropout(x, keys, 9, 0.4)], { gradients: [upstream] });
      const mask = factors(keys, 21, { p: 0.4, module: 9, dtype });
      assertClose(x.grad as Tensor, ops.mul(upstream, mask).toNumbers(), { rtol: 1e-7 });
      const spoiled = ops.full([4, 21], Number.NaN, { dtype });
      assert.ok(ops.tokenDropout(spoiled, keys, 9, 0.4).toNumbers().every(Number.isNaN));
    });
  });
}

// several parts of rows, the last one short; in float64 torch's operators
for (const [dtype, rtol] of [
  ["float32", 1e-5],
  ["bfloat16", 2e-2],
  ["float64", 1e-12],
] as const) {
  test(`${dtype}: a product of what is kept equals dropout and product, with their gradients`, () => {
    withoutLeaks(() => {
      const [tokens, width, rank] = [1000, 300, 5];
      const keys = placed(keysOf(tokens));
      const normal = (...shape: number[]) => ops.normal_(ops.zeros(shape, { dtype: "float32" }));
      const upstream = ops.to(normal(tokens, rank), dtype);
      const [values, factor] = [ops.to(normal(tokens, width), dtype), normal(rank, width)];
      const [got, want] = [true, false].map((atOnce) => {
        const [x, a] = [ops.clone(values), ops.clone(factor)];
        for (const leaf of [x, a]) leaf.requiresGrad = true;
        const apart = () => ops.linear(ops.tokenDropout(x, keys, 7, 0.3), ops.to(a, dtype));
        const y = atOnce ? ops.droppedProduct(x, keys, a, 7, 0.3) : apart();
        backward([y], { gradients: [upstream] });
        assert.equal(y.dtype, dtype);
        return [y, x.grad as Tensor, a.grad as Tensor].map((one) => ops.to(ops.detach(one), "float64"));
      }) as [Tensor[], Tensor[]];
      for (const [index, one] of got.entries()) {
        const other = want[index] as Tensor;
        const apart = ops.linalgVectorNorm(ops.sub(one, other)).item();
        assert.ok(apart <= rtol * ops.linalgVectorNorm(other).item(), `${index}: ${apart} apart`);
      }
    });
  });
}

test("a product of what is kept refuses a matrix of another width", () => {
  withoutLeaks(() => {
    const [x, a] = [ops.ones([5, 4], { dtype: "float32" }), ops.ones([2, 3], { dtype: "float32" })];
    assert.throws(() => ops.droppedProduct(x, placed(keysOf(5)), a, 0, 0.1), /a matrix of 4 columns/);
  });
});

test("a token's features fall alike wherever in the batch it stands", () => {
  withoutLeaks(() => {
    const keys = keysOf(40);
    const rowOf = (mask: Tensor, t: number) => ops.slice(mask, 0, t, t + 1).toNumbers();
    const whole = factors(placed(keys), 100, { p: 0.3 });
    for (const t of [0, 17, 39]) {
      const alone = Int32Array.of(keys[t] as number, keys[40 + t] as number);
      assert.deepEqual(factors(placed(alone), 100, { p: 0.3 }).toNumbers(), rowOf(whole, t));
    }
  });
});

test("on device meta, which stands for a GPU: shapes and types of output and gradient", () => {
  withoutLeaks(() => {
    for (const dtype of ["float32", "bfloat16"] as const) {
      const x = ops.ones([5, 12], { dtype, device: "meta" });
      x.requiresGrad = true;
      const y = ops.tokenDropout(x, ops.ones([2, 5], { dtype: "int32", device: "meta" }), 3, 0.1);
      assert.deepEqual([y.shape, y.dtype], [[5, 12], dtype]);
      backward([y], { gradients: [ops.zerosLike(y)] });
      assert.deepEqual([x.grad?.shape, x.grad?.dtype], [[5, 12], dtype]);
    }
  });
});

test("keys of another number of tokens and probabilities out of range are refused", () => {
  withoutLeaks(() => {
    const x = ops.ones([5, 4], { dtype: "float32" });
    assert.throws(() => ops.tokenDropout(x, placed(keysOf(4)), 0, 0.1), /two words for each of the 5 tokens/);
    for (const p of [1, -0.1]) {
      assert.throws(() => ops.tokenDropout(x, placed(keysOf(5)), 0, p), /a probability from 0 to below 1/);
    }
  });
});

/** Deviations from p of T × n decisions, in units of one decision's standard deviation. */
function deviations(tokens: number, width: number, { p = 0.05, module = 1, first = 0 } = {}): Float64Array {
  const rounded = Math.round(p * 65536) / 65536;
  const size = Math.sqrt(rounded * (1 - rounded));
  const values = factors(placed(keysOf(tokens, first)), width, { p, module }).toNumbers();
  return Float64Array.from(values, (value) => ((value === 0 ? 1 : 0) - rounded) / size);
}

/** The mean of products of two series of independent deviations, in its standard deviations. */
function correlation(a: Float64Array, b: Float64Array): number {
  const n = Math.min(a.length, b.length);
  let sum = 0;
  for (let i = 0; i < n; i++) sum += (a[i] as number) * (b[i] as number);
  return sum / Math.sqrt(n);
}

for (const p of [0.05, 0.5]) {
  test(`p = ${p}: keep rate, variance of counts, and independence of features, tokens, modules and steps`, () => {
    withoutLeaks(() => {
      const [tokens, width] = [1000, 256];
      const base = deviations(tokens, width, { p });
      const ones = new Float64Array(base.length).fill(1);
      const found: Record<string, number> = { "keep rate": correlation(base, ones) };
      for (const shift of [1, 2, 3, 8, 16, width, 2 * width]) {
        found[`a shift by ${shift}`] = correlation(base, base.subarray(shift));
      }
      found["another module"] = correlation(base, deviations(tokens, width, { p, module: 2 }));
      found["a far module"] = correlation(base, deviations(tokens, width, { p, module: 0x9e3779b9 }));
      found["another step"] = correlation(base, deviations(tokens, width, { p, first: 1 }));
      const triples = base.map((x, i) => x * (base[i + 1] ?? 0));
      found["three in a row"] = correlation(triples, base.subarray(2));
      // how many a token, and how many a feature, loses: as spread as a binomial count
      const counts = (index: (i: number) => number, length: number) => {
        const sums = new Float64Array(length);
        base.forEach((x, i) => {
          sums[index(i)] = (sums[index(i)] as number) + x;
        });
        const each = base.length / length;
        const spread = sums.reduce((sum, x) => sum + x * x, 0) / length / each;
        return (spread - 1) * Math.sqrt(length / 2);
      };
      found["counts of tokens"] = counts((i) => Math.floor(i / width), tokens);
      found["counts of features"] = counts((i) => i % width, width);
      for (const [what, z] of Object.entries(found))
        assert.ok(Math.abs(z) < 4, `${what}: ${z} standard deviations`);
    });
  });
}

test("the mean of what is kept is the input's: the factor undoes the probability", () => {
  withoutLeaks(() => {
    for (const p of [0.05, 0.1, 0.5]) {
      const values = factors(placed(keysOf(1000)), 300, { p }).toNumbers();
      const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
      assertClose(mean, 1, { atol: 4 * Math.sqrt(p / (1 - p) / values.length) });
      const kept = values.filter((x) => x !== 0).length / values.length;
      assertClose(kept, 1 - p, { atol: 4 * Math.sqrt((p * (1 - p)) / values.length) + 1 / 131072 });
    }
  });
});
