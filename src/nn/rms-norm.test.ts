/** RMS norm against transformers' LlamaRMSNorm (offset 0) and Gemma3RMSNorm (offset 1). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { float32, golden } from "../../test/support/goldens.ts";
import { type DType, ops, type Tensor, tensor } from "../torch/index.ts";
import { RMSNorm } from "./rms-norm.ts";
import { rotate } from "./rotary.ts";

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
      // bfloat16 has 8 bits: rounding once or twice in between moves the last one; beside 1 + w nothing is rounded in between
      const inHalf = run.offset === 1 ? {} : { rtol: 2 ** -7, atol: 2 ** -9 };
      const tolerance = run.dtype === "float32" ? { rtol: 1e-6, atol: 1e-6 } : inHalf;
      assertClose(ops.to(y, "float32"), float32(run.y), tolerance);
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

// 1 + 2^-8 is not a bfloat16 number, its neighbours are 1 and 1 + 2^-7
const weights = () => ops.to(tensor([2 ** -8, 2 ** -8, 2 ** -8, 2 ** -8]), "bfloat16");
// the first number is normalised to 1.75030, and that times 1 + 2^-8 is 1.75714: nearer to 1.7578125 than to 1.75
const row = () => ops.to(tensor([1.75, 0.55859375, 0.55859375, 0.55859375], [1, 4]), "bfloat16");

function firstOf(y: Tensor): number | undefined {
  assert.equal(y.dtype, "bfloat16");
  return ops.to(y, "float32").toNumbers()[0];
}

test("a half-precision weight keeps its digits when one is added", () => {
  withoutLeaks(() => {
    const norm = new RMSNorm(weights(), 0, 1);
    assertClose(norm.forward(tensor([2, 2, 2, 2], [1, 4])), Array(4).fill(1 + 2 ** -8), { atol: 1e-7 });
    assert.equal(firstOf(norm.forward(row())), 1.7578125);
  });
});

test("so it does in the norm of heads that are turned, and times a factor", () => {
  withoutLeaks(() => {
    const [cos, sin] = [1, 0].map((value) => ops.full([1, 1, 4], value, { dtype: "bfloat16" }));
    const angles = { cos: cos as Tensor, sin: sin as Tensor, width: 4, rounds: null };
    const heads = ops.unsqueeze(row(), 0);
    assert.equal(firstOf(rotate(heads, angles, 4, new RMSNorm(weights(), 0, 1))), 1.7578125);
    // 0.1125, as a bfloat16 number 0.1123: 1.7503 times that is 0.19657, which becomes 0.19629; times 0.1125 it is 0.19691
    const norm = new RMSNorm(ops.to(tensor([1.125, 1, 1, 1]), "bfloat16"), 0, 0, 0.1);
    assert.equal(firstOf(norm.forward(row())), 0.197265625);
  });
});
