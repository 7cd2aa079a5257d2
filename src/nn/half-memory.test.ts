/** What products in bfloat16 leave behind: libraries compile programs for each shape, and a micro-batch has its own number of tokens. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { residentMiB } from "../../test/support/memory.ts";
import { segmentsOf } from "../../test/support/packed.ts";
import {
  backward,
  liveTensorCount,
  manualSeed,
  ops,
  scope,
  setThreads,
  type Tensor,
} from "../torch/index.ts";
import { packedAttention, planAttention } from "./packed-attention.ts";

const dtype = "bfloat16";
const [heads, width] = [4, 16];
const [size, inner] = [heads * width, 96];

function weightOf(out: number, input: number): Tensor {
  const weight = ops.to(ops.normal_(ops.zeros([out, input], { dtype: "float32" }), 0, 0.1), dtype);
  weight.requiresGrad = true;
  return weight;
}

/** Forward and backward pass of a layer over a pair of answers, `tokens` in all. */
function pass(weights: readonly [Tensor, Tensor, Tensor], tokens: number): void {
  using _ = scope();
  const [mixed, up, down] = weights;
  const segments = segmentsOf([[Math.floor(tokens / 2), [Math.ceil(tokens / 4), Math.floor(tokens / 4)]]]);
  const count = segments.at(-1)?.end ?? 0;
  const x = ops.to(ops.normal_(ops.zeros([count, size], { dtype: "float32" })), dtype);
  const plan = planAttention(segments, { dtype, device: "cpu", headWidth: width, scale: 0.25, window: null });
  const byHead = ops.view(ops.linear(x, mixed), [count, heads, width]);
  const seen = packedAttention(byHead, byHead, byHead, plan);
  backward([ops.sum(ops.linear(ops.linear(seen, up), down))]);
  for (const weight of weights) weight.grad = null;
}

test("bfloat16: micro-batches of ever other lengths do not take ever more memory", {
  skip: existsSync("/proc/self/statm") ? false : "resident memory is compared on Linux",
}, () => {
  setThreads(1);
  using _ = scope();
  manualSeed(21);
  const weights = [weightOf(size, size), weightOf(inner, size), weightOf(size, inner)] as const;
  for (let tokens = 60; tokens < 120; tokens++) pass(weights, tokens);
  const [before, live] = [residentMiB(), liveTensorCount()];
  for (let tokens = 120; tokens < 240; tokens++) pass(weights, tokens);
  assert.equal(liveTensorCount(), live);
  const grown = residentMiB() - before;
  assert.ok(grown < 12, `120 lengths took ${grown.toFixed(1)} MiB`);
});
