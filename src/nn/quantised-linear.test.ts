/** Weights in 4 and 8 bits against bitsandbytes on the CPU: the codes, the numbers they stand for, and products with them. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { golden } from "../../test/support/goldens.ts";
import { type QuantType, quantBlock } from "../formats/quantisation.ts";
import { backward, type DType, noGrad, ops, type Tensor, tensor } from "../torch/index.ts";
import { Linear } from "./linear.ts";
import {
  EightBitLinear,
  FourBitLinear,
  fourBitMap,
  quantiseEightBits,
  quantiseFourBits,
} from "./quantised-linear.ts";

interface FourBits {
  shape: [number, number];
  seed: number;
  source: "float32" | "bfloat16";
  quantType: QuantType;
  nested: boolean;
  /** Bytes in base 64. */
  stored: Record<"codes" | "absmax" | "quant_map" | "nested_absmax" | "nested_quant_map", string> & {
    nested_offset: number;
  };
  /** SHA-256 of the float32 numbers. */
  dense: string;
}
interface EightBits extends Pick<FourBits, "shape" | "seed" | "dense"> {
  codes: string;
  SCB: string;
}
const { fourBits, eightBits } = golden<{ fourBits: FourBits[]; eightBits: EightBits[] }>("quantised");

/** As the golden script makes numbers. */
function pattern(shape: readonly [number, number], seed: number): Tensor {
  const values = Array.from({ length: shape[0] * shape[1] }, (_, i) => {
    const block = Math.floor(i / 64);
    if (block === 3) return 0;
    return (((((i * 7919 + seed * 104729) % 2003) - 1001) / 1001) * (1 + ((block + seed) % 5))) / 16;
  });
  return tensor(values, shape);
}

const readOf = (weight: Tensor) => (from: number, to: number) =>
  ops.narrow(ops.reshape(ops.to(weight, "float32"), [-1]), 0, from, to - from);

const bytesIn = (text: string): Buffer => Buffer.from(text, "base64");

function storedTensor(text: string, dtype: "uint8" | "int8" | "float32"): Tensor {
  const bytes = bytesIn(text);
  if (dtype === "uint8") return tensor([...bytes], undefined, { dtype });
  if (dtype === "int8") return tensor([...new Int8Array(bytes)], undefined, { dtype });
  return tensor(Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i)));
}

function digestOf(dense: Tensor): string {
  const hash = createHash("sha256");
  for (const piece of dense.pieces()) hash.update(piece);
  return hash.digest("hex");
}

/** The linear of bitsandbytes' own tensors. */
function saved({ shape, nested, stored }: FourBits): FourBitLinear {
  return new FourBitLinear(shape, null, {
    codes: storedTensor(stored.codes, "uint8"),
    absmax: storedTensor(stored.absmax, nested ? "uint8" : "float32"),
    map: storedTensor(stored.quant_map, "float32"),
    nested: nested
      ? {
          isModuleGroup: true,
          absmax: storedTensor(stored.nested_absmax, "float32"),
          map: storedTensor(stored.nested_quant_map, "float32"),
          offset: ops.reshape(tensor([stored.nested_offset]), []),
        }
      : null,
  });
}

/** What the addon's kernels, in turn, make of a linear's tensors. */
function denseBy(kernel: string, linear: FourBitLinear, dtype: DType): Tensor {
  const { codes, absmax, map, nested } = linear;
  const stored =
    nested === null ? [codes, absmax, map] : [codes, absmax, map, nested.absmax, nested.map, nested.offset];
  return ops.dequantise(stored, linear.shape, quantBlock, { dtype, kernel });
}

test("the tables of 4-bit numbers are bitsandbytes'", () => {
  withoutLeaks(() => {
    for (const { quantType, stored } of fourBits) {
      assert.deepEqual(
        fourBitMap(quantType).toNumbers(),
        storedTensor(stored.quant_map, "float32").toNumbers(),
      );
    }
  });
});

for (const one of fourBits) {
  const { shape, seed, source, quantType, nested, stored } = one;
  const name = `${quantType}${nested ? ", double quantisation" : ""}, [${shape}] of ${source}`;
  test(`${name}: bitsandbytes' codes, and the same numbers of its tensors by every kernel`, () => {
    withoutLeaks(() => {
      const weight = ops.to(pattern(shape, seed), source);
      const got = quantiseFourBits(shape, { quantType, doubleQuant: nested }, "cpu", readOf(weight));
      assert.deepEqual(got.codes.toNumbers(), [...bytesIn(stored.codes)]);
      if (got.nested === null) {
        // of its last block, where it is shorter, bitsandbytes bounds a zero
        assert.deepEqual(got.absmax.toNumbers(), storedTensor(stored.absmax, "float32").toNumbers());
      } else {
        assertClose(got.nested.offset, [stored.nested_offset], { rtol: 2e-7 });
        assert.deepEqual(got.absmax.toNumbers(), [...bytesIn(stored.absmax)]);
        assertClose(got.nested.absmax, storedTensor(stored.nested_absmax, "float32").toNumbers(), {
          rtol: 1e-6,
        });
      }
      const theirs = saved(one);
      for (const kernel of ["auto", "scalar", "operators"]) {
        const dense = denseBy(kernel, theirs, "float32");
        assert.equal(digestOf(dense), one.dense, kernel);
        assert.equal(digestOf(denseBy(kernel, theirs, "bfloat16")), digestOf(ops.to(dense, "bfloat16")));
      }
      const own = new FourBitLinear(shape, null, got);
      assertClose(own.dense("float32"), theirs.dense("float32").toNumbers(), { rtol: 1e-6 });
    });
  });
}

for (const { shape, seed, codes, SCB, dense } of eightBits) {
  test(`8 bits, [${shape}]: bitsandbytes' rows, and the same numbers`, () => {
    withoutLeaks(() => {
      const got = quantiseEightBits(shape, "cpu", readOf(pattern(shape, seed)));
      assert.deepEqual(got.codes.toNumbers(), [...new Int8Array(bytesIn(codes))]);
      assert.deepEqual(got.scale.toNumbers(), storedTensor(SCB, "float32").toNumbers());
      const linear = new EightBitLinear(shape, null, got.codes, got.scale);
      assert.equal(digestOf(linear.dense("float32")), dense);
      const plain = ops.dequantise([got.codes, got.scale], shape, 0, {
        dtype: "float32",
        kernel: "operators",
      });
      assert.equal(digestOf(plain), dense);
    });
  });
}

test("a row of zeros in 8 bits", () => {
  withoutLeaks(() => {
    const got = quantiseEightBits([2, 3], "cpu", readOf(tensor([0, 0, 0, 1, -2, 0.5], [2, 3])));
    assert.deepEqual(
      new EightBitLinear([2, 3], null, got.codes, got.scale).dense("float32").toNumbers().slice(0, 3),
      [0, 0, 0],
    );
  });
});

test("a row with numbers too large for float16 in 8 bits is itself, not NaN", () => {
  withoutLeaks(() => {
    const values = [70_000, -35_000, 0.1, 1, -2, 0.5];
    const { codes, scale } = quantiseEightBits([2, 3], "cpu", readOf(tensor(values, [2, 3])));
    assert.deepEqual(codes.toNumbers(), [127, -64, 0, 64, -127, 32]);
    assert.deepEqual(scale.toNumbers(), [70_000, 2]);
  });
});

for (const dtype of ["float32", "bfloat16"] as const) {
  test(`${dtype}: a product and its gradient are those of the matrix, which the graph does not keep`, () => {
    withoutLeaks(() => {
      const shape = [24, 70] as const;
      const bias = tensor(Array.from({ length: 24 }, (_, i) => i / 8));
      const four = { quantType: "nf4", doubleQuant: true } as const;
      const read = readOf(pattern(shape, 4));
      const rows = quantiseEightBits(shape, "cpu", read);
      const held = [
        new FourBitLinear(shape, bias, quantiseFourBits(shape, four, "cpu", read)),
        new EightBitLinear(shape, bias, rows.codes, rows.scale),
      ];
      for (const linear of held) {
        const twin = new Linear(
          noGrad(() => linear.dense(dtype)),
          bias,
        );
        const [got, want] = [linear, twin].map((one) => {
          const x = ops.to(pattern([5, 70], 2), dtype);
          x.requiresGrad = true;
          const y = one.forward(x);
          backward([ops.sum(ops.mul(ops.to(y, "float32"), pattern([5, 24], 3)))]);
          return [digestOf(ops.detach(y)), digestOf(x.grad as Tensor)];
        });
        assert.deepEqual(got, want);
      }
    });
  });
}

test("tensors that do not fit each other are refused by the addon", () => {
  withoutLeaks(() => {
    const { codes, absmax, map } = saved(fourBits[0] as FourBits);
    const make =
      (stored: Tensor[], block = quantBlock) =>
      () =>
        ops.dequantise(stored, [160, 128], block, { dtype: "float32" });
    assert.throws(make([codes, absmax]), /expected rows as 20480 contiguous numbers of Char/);
    assert.throws(make([codes, ops.narrow(absmax, 0, 0, 7), map]), /the blocks' largest values as 320/);
    assert.throws(make([codes, absmax, map], 63), /blocks of an even number, got 63/);
    assert.throws(make([codes, absmax, map, map]), /the 2, 3 or 6 tensors/);
  });
});
