/**
 * A GPU against the CPU: attention in every type, scores, and whole training steps of every family. Where there is no CUDA device
 * the rehearsal device stands in (docs/rehearsal.md). `PREFTUNE_GPU_TESTS=cpu` runs the same comparisons on the CPU alone, to try
 * the tests themselves.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { scoreBatch } from "../../src/forward/score-batch.ts";
import { loadModel } from "../../src/models/load.ts";
import { packedAttention, planAttention } from "../../src/nn/packed-attention.ts";
import { type DType, gradients, manualSeed, ops, scope, type Tensor } from "../../src/torch/index.ts";
import { assertClose } from "../support/close.ts";
import { fixtureExamples, fixturePath } from "../support/fixture-files.ts";
import { microBatch } from "../support/fixtures.ts";
import { openGpu } from "../support/gpu.ts";
import { type GpuSetup, gpuExamples, modelOn, stepOn, trainingOn } from "../support/gpu-training.ts";
import { dense, denseMask, type Layout, segmentsOf } from "../support/packed.ts";
import { tinyNames } from "../support/tiny-models.ts";

const { device, skip, rehearsal } = await openGpu();
after(() => assert.deepEqual(rehearsal?.faults() ?? [], []));

/** Largest error of a value near 1, for each type. */
const rounding: Partial<Record<DType, number>> = { float32: 1e-5, bfloat16: 2e-2, float16: 3e-3 };

const layouts: Layout[] = [
  [[7, []]],
  [[5, [4, 6]]],
  [
    [1, [1, 1]],
    [40, [3, 1, 70]],
    [130, [200, 9]],
  ],
];

function largest(values: readonly number[]): number {
  return values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
}

/** Values on the device in `dtype`, and the same ones in float64 on the CPU. */
function leaves(shape: readonly number[], dtype: DType): { there: Tensor; here: Tensor } {
  const rounded = ops.to(ops.normal_(ops.zeros(shape, { dtype: "float32" })), dtype);
  const there = ops.to(rounded, device, dtype);
  const here = ops.to(rounded, "float64");
  for (const leaf of [there, here]) leaf.requiresGrad = true;
  return { there, here };
}

function numbers(x: Tensor): number[] {
  return ops.to(ops.detach(x), "cpu", "float64").toNumbers();
}

for (const dtype of ["float32", "bfloat16", "float16"] as const) {
  for (const headWidth of [16, 64, 128, 256]) {
    test(`attention, ${dtype}, heads of ${headWidth}: values and gradients`, { skip }, () => {
      manualSeed(headWidth);
      const error = rounding[dtype] as number;
      for (const layout of layouts) {
        for (const window of [null, 1, 50]) {
          using _ = scope();
          const segments = segmentsOf(layout);
          const count = segments.at(-1)?.end ?? 0;
          const inputs = [4, 2, 2].map((heads) => leaves([count, heads, headWidth], dtype));
          const [q, k, v] = inputs.map(({ there }) => there) as [Tensor, Tensor, Tensor];
          const wanted = inputs.map(({ here }) => here) as [Tensor, Tensor, Tensor];
          const scale = 1 / Math.sqrt(headWidth);
          const plan = planAttention(segments, { dtype, device, headWidth, scale, window });
          const got = packedAttention(q, k, v, plan);
          const want = dense(wanted, denseMask(segments, window), scale);
          assertClose(numbers(got), want.toNumbers(), { atol: 4 * error });
          const upstream = leaves(got.shape, dtype);
          const gotGrads = gradients([got], [q, k, v], { gradients: [ops.detach(upstream.there)] });
          const wantGrads = gradients([want], wanted, { gradients: [ops.detach(upstream.here)] });
          for (const [i, grad] of wantGrads.entries()) {
            const values = (grad as Tensor).toNumbers();
            const atol = 2 * error * Math.max(1, largest(values));
            assertClose(numbers(gotGrads[i] as Tensor), values, { atol });
          }
        }
      }
    });
  }
}

test("products of float32 and bfloat16: the numbers of float64 to 16 bits, and sums in float32", {
  skip,
}, () => {
  using _ = scope();
  manualSeed(3);
  const [rows, inner, columns] = [37, 512, 48];
  // as of a softmax: most are small, some near 1
  const values = ops.exp(ops.mul(ops.normal_(ops.zeros([rows, inner], { dtype: "float32" })), 3));
  const weight = ops.to(ops.normal_(ops.zeros([inner, columns], { dtype: "float32" })), "bfloat16");
  const want = ops.matmul(ops.to(values, "float64"), ops.to(weight, "float64")).toNumbers();
  const scale = largest(want);
  const on = (x: Tensor) => ops.to(x, device, x.dtype);
  const got = ops.exactProduct(on(values), on(weight));
  assertClose(numbers(got), want, { atol: 2e-5 * scale });
  const sum = on(ops.full([rows, columns], 1, { dtype: "float32" }));
  ops.addProduct_(sum, on(values), on(weight));
  assertClose(
    numbers(sum),
    want.map((x) => x + 1),
    { atol: 4e-3 * scale },
  );
});

/** Losses and gradient norms of four steps in two micro-batches each. */
function stepsOn(where: string, setup: GpuSetup): { losses: number[]; norms: number[] } {
  using _ = scope();
  const training = trainingOn(where, setup);
  const results = Array.from({ length: 4 }, () => stepOn(training));
  assert.ok(results.every(({ skipped }) => skipped === null));
  return { losses: results.map((r) => r.loss), norms: results.map((r) => r.gradNorm) };
}

for (const name of tinyNames) {
  for (const trains of ["LoRA", "full"] as const) {
    for (const [dtype, checkpointing] of [
      ["float32", false],
      ["float32", true],
      ["bfloat16", false],
      ["bfloat16", true],
    ] as const) {
      test(`${name}, ${trains}, ${dtype}${checkpointing ? ", recomputed" : ""}: four steps as on the CPU`, {
        skip,
      }, () => {
        const setup = { name, trains, dtype, gradient_checkpointing: checkpointing };
        const [got, want] = [stepsOn(device, setup), stepsOn("cpu", { ...setup, dtype: "float32" })];
        const tolerance = dtype === "float32" ? { rtol: 1e-4, atol: 1e-5 } : { rtol: 0.05, atol: 0.02 };
        assertClose(got.losses, want.losses, tolerance);
        assertClose(got.norms, want.norms, dtype === "float32" ? { rtol: 1e-3 } : { rtol: 0.2 });
      });
    }
  }

  test(`${name}: scores as on the CPU`, { skip }, () => {
    for (const dtype of ["float32", "bfloat16"] as const) {
      const numerics = { dtype, gradient_checkpointing: false, logits_chunk_size: null };
      const scoresOn = (where: string) => {
        using _ = scope();
        const model = modelOn(where, { name, trains: "LoRA", dtype, gradient_checkpointing: false });
        return scoreBatch(model, microBatch(gpuExamples), numerics).map(({ sum }) => sum);
      };
      assertClose(scoresOn(device), scoresOn("cpu"), dtype === "float32" ? { atol: 1e-4 } : { rtol: 0.03 });
    }
  });
}

for (const quantise of [
  { bits: 4, quantType: "nf4", doubleQuant: true, skipModules: [] },
  { bits: 8, skipModules: [] },
] as const) {
  test(`log-probs with linears in ${quantise.bits} bits, quantised on the device`, { skip }, () => {
    using _ = scope();
    const batch = microBatch(fixtureExamples("qwen3"));
    const numerics = { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null } as const;
    const [got, want] = [device, "cpu"].map((where) => {
      const model = loadModel(fixturePath("qwen3", "model"), { device: where, quantise });
      return scoreBatch(model, batch, numerics).map(({ sum }) => sum);
    });
    assertClose(got ?? [], want ?? [], { rtol: 1e-5 });
  });
}
