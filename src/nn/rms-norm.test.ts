/** RMS norm against transformers' LlamaRMSNorm (offset 0) and Gemma3RMSNorm (offset 1). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { golden } from "../../test/support/goldens.ts";
import { type DType, ops, tensor } from "../torch/index.ts";
import { RMSNorm } from "./rms-norm.ts";

interface Case {
  offset: 0 | 1;
  dtype: DType;
  eps: number;
  x: number[];
  weight: number[];
  y: number[];
}

const { norms } = golden<{ norms: Case[] }>("nn");

for (const run of norms) {
  test(`offset ${run.offset}, ${run.dtype}`, () => {
    withoutLeaks(() => {
      const x = ops.to(tensor(run.x, [4, 12]), run.dtype);
      const norm = new RMSNorm(ops.to(tensor(run.weight), run.dtype), run.eps, run.offset);
      const y = norm.forward(x);
      assert.equal(y.dtype, run.dtype);
      // bfloat16 has 8 bits: rounding once or twice in between moves the last one
      const tolerance =
        run.dtype === "float32" ? { rtol: 1e-6, atol: 1e-6 } : { rtol: 2 ** -7, atol: 2 ** -9 };
      assertClose(ops.to(y, "float32"), run.y, tolerance);
    });
  });
}

test("a row of threes with eps 0 becomes the weight", () => {
  withoutLeaks(() => {
    const norm = new RMSNorm(tensor([1, 2, -4]), 0);
    assertClose(norm.forward(tensor([3, 3, 3], [1, 3])), [1, 2, -4], { atol: 1e-6 });
    const shifted = new RMSNorm(tensor([0, 1, -5]), 0, 1);
    assertClose(shifted.forward(tensor([3, 3, 3], [1, 3])), [1, 2, -4], { atol: 1e-6 });
  });
});

test("float32 weights serve bfloat16 activations", () => {
  withoutLeaks(() => {
    const norm = new RMSNorm(tensor([1, 1]), 0);
    const y = norm.forward(ops.to(tensor([2, -2], [1, 2]), "bfloat16"));
    assert.equal(y.dtype, "bfloat16");
    assertClose(ops.to(y, "float32"), [1, -1], {});
  });
});

test("a half-precision weight keeps its digits when one is added", () => {
  withoutLeaks(() => {
    // 1 + 2^-8 is not a bfloat16 number, its neighbours are 1 and 1 + 2^-7
    const norm = new RMSNorm(ops.to(tensor([2 ** -8, -(2 ** -9)]), "bfloat16"), 0, 1);
    assertClose(norm.forward(tensor([2, 2], [1, 2])), [1 + 2 ** -8, 1 - 2 ** -9], { atol: 1e-7 });
  });
});
