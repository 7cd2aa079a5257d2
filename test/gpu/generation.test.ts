/** Generation on a GPU, or on what stands in for it: the CPU's tokens, prompts whole, pages begun copied, nothing kept. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Engine } from "../../src/generate/engine.ts";
import { loadModel } from "../../src/models/load.ts";
import { KVCache, pageTokens } from "../../src/nn/kv-cache.ts";
import { planAttention } from "../../src/nn/packed-attention.ts";
import { manualSeed, noGrad, ops, scope, type Tensor } from "../../src/torch/index.ts";
import { assertClose } from "../support/close.ts";
import { generateRequest } from "../support/generate-request.ts";
import { openGpu } from "../support/gpu.ts";
import {
  checkpointTensors,
  temporaryDirectory,
  tinyConfig,
  tinyModel,
  writeCheckpoint,
} from "../support/tiny-models.ts";

const { device, skip, rehearsal } = await openGpu();
after(() => assert.deepEqual(rehearsal?.faults() ?? [], []));

/** Greedy answers to a prompt of a page and more, two each, and to a short one beside it; and again. */
function answers(dir: string, on: string): number[][] {
  const model = loadModel(dir, { device: on, dtype: "float32" });
  using engine = new Engine({ model, tokenizer: null });
  const prompts = [pageTokens + 9, 5, pageTokens + 9];
  const given = prompts.map((length, i) => {
    const promptIds = Array.from({ length }, (_, t) => (7 * t + 3) % 32);
    const ids: number[] = [];
    engine.submit(`${i}`, generateRequest({ promptIds, n: 2, temperature: 0, maxNewTokens: 30 }), (event) => {
      if (event.type === "error") throw new Error(event.message);
      if (event.type === "token") ids.push(event.answer, event.id);
    });
    return ids;
  });
  while (engine.step());
  const { cacheBytesUsed, cacheBytesKept } = engine.stats;
  assert.equal(cacheBytesUsed, 0);
  assert.equal(cacheBytesKept > 0, on === "cpu");
  return given;
}

/** Softmax attention of one token's head: its numbers, then those of each key and value. */
function attended(
  q: readonly number[],
  keys: readonly number[][],
  values: readonly number[][],
  scale: number,
): number[] {
  const weights = keys.map((key) => Math.exp(scale * key.reduce((sum, x, e) => sum + x * (q[e] ?? 0), 0)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return q.map((_, e) =>
    values.reduce((sum, value, n) => sum + ((weights[n] ?? 0) / total) * (value[e] ?? 0), 0),
  );
}

/** Rows of head `head` of (n, heads, E). */
function rowsOf(x: Tensor, head: number): number[][] {
  const [count, , width] = x.shape as [number, number, number];
  const numbers = ops.contiguous(ops.to(ops.select(x, 1, head), "float32")).toNumbers();
  return Array.from({ length: count }, (_, n) => numbers.slice(n * width, (n + 1) * width));
}

for (const window of [null, 20]) {
  test(`bfloat16: newest tokens of several sequences attend in one call${window === null ? "" : ", within a window"}`, {
    skip,
  }, () => {
    using _ = scope();
    noGrad(() => {
      manualSeed(2);
      const [heads, keyHeads, headDim, scale] = [4, 2, 16, 0.25];
      const dtype = "bfloat16";
      const plan = planAttention([{ start: 0, end: 1, parent: -1 }], {
        ...{ dtype, device, headWidth: headDim, scale, cap: null, window },
      });
      using cache = new KVCache({ layers: [{ keyHeads, headDim }], dtype, device });
      const drawn = (tokens: number, count: number) =>
        ops.to(ops.normal_(ops.zeros([tokens, count, headDim], { dtype: "float32" })), dtype);
      const on = (x: Tensor) => ops.to(x, device, dtype);
      const sequences = [1, 7, pageTokens + 9].map((length) => {
        const span = { pages: [], length: 0 };
        const [k, v] = [drawn(length + 1, keyHeads), drawn(length + 1, keyHeads)];
        cache.extend([span], length);
        const whole = planAttention([{ start: 0, end: length, parent: -1 }], {
          ...{ dtype, device, headWidth: headDim, scale, cap: null, window },
        });
        const first = (x: Tensor) => on(ops.slice(x, 0, 0, length));
        cache.pass([{ span, count: length }])[0]?.(
          { q: on(drawn(length, heads)), k: first(k), v: first(v) },
          whole,
        );
        cache.extend([span], 1);
        return { span, k, v, length };
      });
      const q = drawn(sequences.length, heads);
      const newest = (part: "k" | "v") =>
        ops.cat(sequences.map((one) => ops.slice(one[part], 0, one.length)));
      const attend = cache.pass(sequences.map(({ span }) => ({ span, count: 1 })))[0];
      const out = attend?.({ q: on(q), k: on(newest("k")), v: on(newest("v")) }, plan) as Tensor;
      const got = ops.to(out, "cpu", "float32");
      for (const [i, { k, v, length }] of sequences.entries()) {
        const from = window === null ? 0 : Math.max(0, length + 1 - window);
        const seen = (x: Tensor) => ops.slice(x, 0, from);
        const want = Array.from({ length: heads }, (_, head) => {
          const shared = Math.floor((head * keyHeads) / heads);
          return attended(rowsOf(q, head)[i] ?? [], rowsOf(seen(k), shared), rowsOf(seen(v), shared), scale);
        });
        assertClose(ops.narrow(got, 0, i, 1), want.flat(), { atol: 3e-2 });
      }
    });
  });
}

for (const name of ["qwen3", "gemma3"] as const) {
  test(`${name}: greedy answers are the CPU's`, { skip }, () => {
    using dir = temporaryDirectory();
    writeCheckpoint(dir.path, tinyConfig(name), checkpointTensors(tinyModel(name)));
    assert.deepEqual(answers(dir.path, device), answers(dir.path, "cpu"));
  });
}
