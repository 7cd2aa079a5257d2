import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose } from "../../../test/support/close.ts";
import { logitsOf, tinyModel } from "../../../test/support/tiny-models.ts";
import type { SampledCompletion } from "../../generate/sample.ts";
import { scope } from "../../torch/index.ts";
import { completionEntropies } from "./completion-entropies.ts";

/** −Σ p log p of the softmax of `logits`, in float64. */
function entropyOf(logits: readonly number[]): number {
  const most = Math.max(...logits);
  const weights = logits.map((x) => Math.exp(x - most));
  const total = weights.reduce((a, b) => a + b, 0);
  return -weights.reduce((sum, w) => sum + (w / total) * Math.log(w / total), 0);
}

test("the entropy at each token of each answer, the one that ended it included, is that of the logits before it", () => {
  using _ = scope();
  const model = tinyModel("llama_tied");
  const size = model.lm_head.weight.size(0);
  // the third has no answer, answers come in no order
  const prompts = Array.from({ length: 10 }, (_, i) => [3 + i, 5, 7 + i].slice(0, 1 + (i % 3)));
  const answers: SampledCompletion[] = [
    { prompt: 9, ids: [4, 4], stopId: null },
    { prompt: 0, ids: [9, 8, 7], stopId: 2 },
    { prompt: 1, ids: [], stopId: 2 },
    { prompt: 0, ids: [6], stopId: null },
    ...[3, 4, 5, 6, 7, 8].map((prompt) => ({ prompt, ids: [prompt, 11], stopId: 2 })),
  ];
  const numerics = { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null } as const;
  const got = completionEntropies(model, prompts, answers, numerics);
  assert.equal(got.length, answers.length);
  for (const tokensAtOnce of [1, 9, 16]) {
    const cut = completionEntropies(model, prompts, answers, { ...numerics, tokensAtOnce });
    for (const [i, values] of cut.entries()) assertClose(values, got[i] ?? [], { atol: 1e-5 });
  }
  for (const [i, { prompt, ids, stopId }] of answers.entries()) {
    const asked = prompts[prompt] as number[];
    const told = stopId === null ? ids : [...ids, stopId];
    const logits = logitsOf(model, [...asked, ...told]);
    const expected = told.map((_, at) => {
      const from = (asked.length - 1 + at) * size;
      return entropyOf(logits.slice(from, from + size));
    });
    assert.equal(got[i]?.length, expected.length);
    for (const [at, value] of expected.entries()) {
      assert.ok(Math.abs((got[i]?.[at] as number) - value) < 1e-4, `${got[i]?.[at]}, not ${value}`);
    }
  }
});
