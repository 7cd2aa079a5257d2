import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { TorchError } from "../base/errors.ts";
import {
  backward,
  type DType,
  enableGrad,
  generatorState,
  gradients,
  liveTensorCount,
  manualSeed,
  noGrad,
  ops,
  scope,
  setDeterministic,
  setGeneratorState,
  type Tensor,
  tensor,
} from "./index.ts";
import { native } from "./native.ts";
import { bind, camelCase } from "./operator.ts";

test("an operator computes what torch computes", () => {
  withoutLeaks(() => {
    const a = tensor([1, 2, 3, 4], [2, 2]);
    const b = tensor([10, 20, 30, 40], [2, 2]);
    assertClose(ops.matmul(a, b), [70, 100, 150, 220], {});
    assertClose(ops.add(a, b, { alpha: 0.5 }), [6, 12, 18, 24], {});
    assertClose(ops.sum(a, [0]), [4, 6], {});
    assert.deepEqual(ops.cat([a, b], 1).shape, [2, 4]);
  });
});

test("in-place operators give back their own argument", () => {
  withoutLeaks(() => {
    const a = tensor([1, 2]);
    const before = liveTensorCount();
    assert.equal(ops.mul_(a, 3), a);
    assert.equal(liveTensorCount(), before);
    assertClose(a, [3, 6], {});
  });
});

test("errors carry operator, schema and shapes", () => {
  withoutLeaks(() => {
    const call = () => ops.matmul(tensor([1, 2, 3, 4], [2, 2]), tensor([1, 2, 3]));
    assert.throws(call, (error: unknown) => {
      assert.ok(error instanceof TorchError);
      assert.match(error.message, /aten::matmul failed/);
      assert.match(error.message, /schema: aten::matmul\(Tensor self, Tensor other\) -> Tensor/);
      assert.match(error.message, /self float32\[2, 2\], other float32\[3\]/);
      return true;
    });
  });
});

test("wrong argument types and unknown options are named", () => {
  withoutLeaks(() => {
    const a = tensor([1]);
    const loose = (operator: unknown) => operator as (...args: unknown[]) => unknown;
    assert.throws(() => loose(ops.matmul)(a, "x"), /argument "other": expected a tensor/);
    assert.throws(() => loose(ops.addcmul)(a, a, a, { vlaue: 2 }), /no option "vlaue"; it has value/);
    assert.throws(
      () => bind<(x: Tensor) => Tensor>("aten::no_such_thing")(a),
      /no operator aten::no_such_thing/,
    );
  });
});

test("autograd: leaf gradients accumulate, gradients() leaves leaves alone", () => {
  withoutLeaks(() => {
    const x = tensor([1, 2, 3]);
    x.requiresGrad = true;
    backward([ops.sum(ops.mul(x, x))]);
    backward([ops.sum(ops.mul(x, x))]);
    assertClose(x.grad as Tensor, [4, 8, 12], {});
    x.grad = null;
    const [dx, none] = gradients([ops.sum(ops.mul(x, x))], [x, Object.assign(leaf(), {})]);
    assertClose(dx as Tensor, [2, 4, 6], {});
    assert.equal(none, null);
    assert.equal(x.grad, null);
  });
});

function leaf(): Tensor {
  const t = tensor([1]);
  t.requiresGrad = true;
  return t;
}

test("noGrad and enableGrad nest and survive exceptions", () => {
  withoutLeaks(() => {
    const x = leaf();
    noGrad(() => {
      assert.equal(ops.mul(x, x).requiresGrad, false);
      enableGrad(() => assert.equal(ops.mul(x, x).requiresGrad, true));
      assert.equal(ops.mul(x, x).requiresGrad, false);
    });
    assert.throws(() => noGrad(() => JSON.parse("{")));
    assert.equal(ops.mul(x, x).requiresGrad, true);
  });
});

test("scopes free what they made, keep moves a tensor one scope out, exceptions included", () => {
  const base = liveTensorCount();
  let kept: Tensor | null = null;
  {
    using outer = scope();
    assert.throws(() => {
      using inner = scope();
      kept = inner.keep(tensor([1, 2]));
      tensor([3]);
      throw new Error("inside");
    }, /inside/);
    assert.equal(liveTensorCount(), base + 1);
    assertClose(kept as unknown as Tensor, [1, 2], {});
    outer[Symbol.dispose]();
  }
  assert.equal(liveTensorCount(), base);
  assert.throws(() => (kept as unknown as Tensor).item(), /after it was freed/);
});

test("a freed handle is never mistaken for the tensor that took its slot", () => {
  withoutLeaks(() => {
    const first = tensor([1]);
    first.dispose();
    const second = tensor([2]);
    assert.equal(first.isAlive, false);
    assert.throws(() => ops.neg(first), /after it was freed/);
    assertClose(second, [2], {});
  });
});

test("typed arrays: copied by default, shared with a tensor on request; data read from a tensor is a copy", () => {
  withoutLeaks(() => {
    const array = Float32Array.of(1, 2, 3);
    const shared = tensor(array, [3], { copy: false });
    const copied = tensor(array);
    array[0] = 7;
    assertClose(shared, [7, 2, 3], {});
    assertClose(copied, [1, 2, 3], {});
    const read = copied.data() as Float32Array;
    ops.mul_(copied, 2);
    assert.deepEqual([...read], [1, 2, 3]);
    const room = new Float32Array(4);
    assert.deepEqual([...copied.data(room)], [2, 4, 6]);
    assert.equal(copied.data(new Float32Array(3)).length, 3);
    assert.deepEqual([...room], [2, 4, 6, 0]);
    assert.throws(() => copied.data(new Float32Array(2)), /3 numbers of float32 do not fit/);
    assert.throws(() => copied.data(new Int32Array(3)), /3 numbers of float32 do not fit/);
  });
});

test("bytes come in pieces of 4 MiB, of any type, also of a tensor whose rows lie apart", () => {
  withoutLeaks(() => {
    const numbers = 2 ** 20 + 3;
    const wide = ops.arange(0, 2 * numbers, 1, { dtype: "float32" });
    const everyOther = ops.slice(wide, 0, 0, 2 * numbers, 2);
    const pieces = [...everyOther.pieces()].map((piece) => piece.length);
    assert.deepEqual(pieces, [2 ** 22, 12]);
    const last = new Float32Array(3);
    for (const piece of everyOther.pieces()) if (piece.length === 12) new Uint8Array(last.buffer).set(piece);
    assert.deepEqual([...last], [2 ** 21, 2 ** 21 + 2, 2 ** 21 + 4]);
    const half = ops.to(tensor([1, -2]), "bfloat16");
    assert.deepEqual(
      [...half.pieces()].map((piece) => [...piece]),
      [[0x80, 0x3f, 0, 0xc0]],
    );
    assert.deepEqual([...ops.zeros([0]).pieces()], []);
  });
});

test("pieces of tensors that are read one after the other share an array, of two at a time they do not", () => {
  withoutLeaks(() => {
    const [one, two] = [tensor([1, 2]), tensor([3])];
    const bufferOf = (of: Tensor) => [...of.pieces()].map(({ buffer }) => buffer);
    assert.equal(bufferOf(one)[0], bufferOf(two)[0]);
    for (const piece of one.pieces()) {
      assert.deepEqual(
        [...two.pieces()].map((other) => [...other]),
        [[0, 0, 64, 64]],
      );
      assert.deepEqual([...piece], [0, 0, 128, 63, 0, 0, 0, 64]);
      break;
    }
    assert.equal(bufferOf(one)[0], bufferOf(two)[0]);
  });
});

test("integers, shapes and mismatches", () => {
  withoutLeaks(() => {
    const ids = tensor([3, 1, 2], [3], { dtype: "int64" });
    assert.equal(ids.dtype, "int64");
    assert.deepEqual(ids.toNumbers(), [3, 1, 2]);
    // a typed array of another type is converted, as torch.tensor converts one of NumPy's
    const converted = (values: Parameters<typeof tensor>[0], dtype: DType) =>
      tensor(values, [values.length], { dtype }).toNumbers();
    assert.deepEqual(converted(new Float64Array([1, 2, 3]), "float32"), [1, 2, 3]);
    assert.deepEqual(converted(new Int32Array([1, 2, 3, 4]).subarray(0, 2), "int64"), [1, 2]);
    assert.deepEqual(converted(BigInt64Array.of(5n), "int32"), [5]);
    assert.deepEqual(converted([0.5, 0, 2], "bool"), [1, 0, 1]);
    const shared = { dtype: "float64", copy: false } as const;
    assert.throws(() => tensor(Float32Array.of(1), [1], shared), /expected a typed array of float64/);
    const mask = ops.gt(tensor([1, -1]), 0);
    assert.deepEqual([...mask.data(new Uint8Array(2))].map(Number), [1, 0]);
    assert.throws(() => tensor([1, 2, 3], [2, 2]), /shape \[2,2\] holds 4 elements, 3 were given/);
    assert.equal(ops.to(tensor([1.5]), "bfloat16").dtype, "bfloat16");
    assert.throws(() => ops.to(tensor([1.5]), "bfloat16").toNumbers(), /convert it to float32/);
  });
});

test("seeds and generator state reproduce random numbers", () => {
  withoutLeaks(() => {
    manualSeed(7);
    const draw = () => ops.normal_(ops.zeros([4], { dtype: "float32" })).toNumbers();
    const state = generatorState("cpu");
    const first = draw();
    const second = draw();
    assert.notDeepEqual(first, second);
    setGeneratorState("cpu", state);
    assert.deepEqual(draw(), first);
    manualSeed(7);
    assert.deepEqual(draw(), first);
  });
});

test("deterministic kernels do not make torch fill new tensors", () => {
  withoutLeaks(() => {
    setDeterministic(true);
    try {
      const fresh = ops.empty([4096]).toNumbers();
      assert.ok(!fresh.every((x) => Number.isNaN(x)), "filled with NaN");
    } finally {
      setDeterministic(false);
    }
  });
});

test("names follow one rule", () => {
  assert.equal(camelCase("scaled_dot_product_attention"), "scaledDotProductAttention");
  assert.equal(camelCase("index_add_"), "indexAdd_");
  assert.equal(camelCase("_fused_adamw_"), "_fusedAdamw_");
});

test("bytes before a tensor, or past its end, are not read; no scope is closed that was not opened", () => {
  using _ = scope();
  const { handle } = ops.zeros([4], { dtype: "float32" });
  const bytes = new Uint8Array(8);
  native.read(handle, bytes, 8);
  for (const from of [-4, -8, 9, 2 ** 53, -(2 ** 62)])
    assert.throws(() => native.read(handle, bytes, from), /expected bytes within the tensor/);
  assert.throws(() => native.closeScope(0), /scopes must end in the reverse order/);
});
