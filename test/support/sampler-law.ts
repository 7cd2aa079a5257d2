/** The sampler's log-probs beside those of the training pass. */
import assert from "node:assert/strict";
import { at } from "../../src/base/at.ts";
import { packExamples } from "../../src/data/packing.ts";
import type { MicroBatch } from "../../src/forward/batch.ts";
import type { Numerics } from "../../src/forward/numerics.ts";
import type { SampledCompletion } from "../../src/generate/sample.ts";
import { type CompletionObjective, meanOf } from "../../src/methods/objective.ts";
import { type DType, ops, type Tensor } from "../../src/torch/index.ts";

/** The mean over tokens of the advantage times the log-prob, whose metric is the mean log-prob. */
export const reinforce: CompletionObjective = {
  name: "reinforce",
  over: "groups",
  columns: { advantages: "completion" },
  evaluate({ logps, completion, columns }, totals) {
    const weighted = ops.mul(logps, ops.indexSelect(columns["advantages"] as Tensor, 0, completion));
    return { loss: ops.mul(ops.sum(weighted), -1 / totals.tokens), metrics: { logps: meanOf(logps) } };
  },
};

/** Completions of `prompts` as training takes them: end tokens with them, `promptsABatch` prompts a micro-batch. */
export function batchesOf(
  prompts: readonly (readonly number[])[],
  completions: readonly SampledCompletion[],
  promptsABatch: number,
): MicroBatch[] {
  const batches: MicroBatch[] = [];
  for (let first = 0; first < prompts.length; first += promptsABatch) {
    const indices = [...prompts.keys()].slice(first, first + promptsABatch);
    const own = completions.filter(({ prompt }) => indices.includes(prompt));
    const examples = indices.map((index) => ({
      origin: { file: "rollout", line: index + 1 },
      promptIds: [...at(prompts, index)],
      completions: own.filter(({ prompt }) => prompt === index).map((one) => ({ ids: drawnOf(one) })),
    }));
    const advantages = own.map((_, i) => (i % 2 === 0 ? 1 : -0.5));
    const keptTokens = own.some(({ kept }) => kept !== null) ? own.flatMap(({ kept }) => kept ?? []) : null;
    batches.push({ packed: packExamples(examples), indices, columns: { advantages }, keptTokens });
  }
  return batches;
}

function drawnOf({ ids, stopId }: SampledCompletion): number[] {
  return stopId === null ? ids : [...ids, stopId];
}

/** How the training pass is computed. */
export function numericsOf(temperature: number, dtype: DType = "float32"): Numerics {
  return { dtype, temperature, gradient_checkpointing: false, logits_chunk_size: 48 };
}

/** Mean and largest difference of two lists of log-probs, nats, and the fraction beyond 1e-5. */
export function differenceOf(
  got: readonly number[],
  want: readonly number[],
): { mean: number; max: number; beyond: number } {
  assert.equal(got.length, want.length);
  const off = got.map((logp, i) => Math.abs(logp - at(want, i)));
  return {
    mean: off.reduce((sum, x) => sum + x, 0) / off.length,
    max: Math.max(...off),
    beyond: off.filter((x) => !(x <= 1e-5)).length / off.length,
  };
}
