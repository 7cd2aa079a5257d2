/** Generation on a GPU, or on what stands in for it: the CPU's tokens, prompts whole, pages begun copied, nothing kept. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Random } from "../../src/base/random.ts";
import type { ChoiceRow } from "../../src/generate/choice.ts";
import { chooseTokens } from "../../src/generate/choose.ts";
import { Engine } from "../../src/generate/engine.ts";
import { cacheShape, logitsAfter, newHidden, nextLogits } from "../../src/generate/forward.ts";
import type { GenerateEvent } from "../../src/generate/request.ts";
import { loadModel } from "../../src/models/load.ts";
import { pageTokens } from "../../src/nn/cache-pages.ts";
import { KVCache } from "../../src/nn/kv-cache.ts";
import { planAttention } from "../../src/nn/packed-attention.ts";
import { manualSeed, noGrad, ops, scope, type Tensor, tensor } from "../../src/torch/index.ts";
import { amount } from "../support/campaign.ts";
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

const plainSampling = { topK: null, topP: null, minP: null, repetitionPenalty: null, logprobs: null };

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

test("draws on the GPU are the host's: tokens, their log-probs, and rows that are not finite", {
  skip,
}, () => {
  using _ = scope();
  manualSeed(5);
  const [count, size] = [6, 40_000];
  const logits = ops.mul(ops.normal_(ops.zeros([count, size], { dtype: "float32" })), 3);
  ops.copy_(ops.narrow(ops.select(logits, 0, 4), 0, 7, 1), tensor([Number.NaN]));
  const rows = () =>
    Array.from({ length: count }, (_, i): ChoiceRow => {
      const sampling = {
        ...plainSampling,
        temperature: [0, 1, 0.7, 1e-9, 1, 30][i] ?? 1,
        samplingLogprobs: i !== 2,
      };
      const randoms = Array.from({ length: i + 1 }, (_, j) => new Random(10 * i + j));
      return { sampling, seen: new Set(), randoms };
    });
  const there = chooseTokens(ops.to(logits, device, "float32"), rows());
  const here = chooseTokens(logits, rows());
  const withoutLaw = (all: typeof here) =>
    all.map((row) => row?.map(({ sampling: _, ...rest }) => rest) ?? null);
  assert.deepEqual(withoutLaw(there), withoutLaw(here));
  assert.equal(there[4], null);
  const laws = (all: typeof here) =>
    all.map((row) => row?.map(({ sampling }) => [sampling?.kept, sampling?.logprob]) ?? []);
  for (const [i, row] of laws(here).entries()) {
    for (const [j, [kept, logprob]] of row.entries()) {
      assert.equal(laws(there)[i]?.[j]?.[0], kept);
      if (typeof logprob === "number") {
        assert.ok(Math.abs((laws(there)[i]?.[j]?.[1] as number) - logprob) < 1e-5, `row ${i}, draw ${j}`);
      }
    }
  }
});

for (const dtype of ["float32", "bfloat16"] as const) {
  test(`${dtype}: prompts in one pass have the logits of each alone`, { skip }, () => {
    using dir = temporaryDirectory();
    writeCheckpoint(dir.path, tinyConfig("qwen3"), checkpointTensors(tinyModel("qwen3")));
    const model = loadModel(dir.path, { device, dtype });
    const prompts = [pageTokens + 9, 1, 5].map((length) =>
      Array.from({ length }, (_, t) => (7 * t + length) % 32),
    );
    const after = (some: readonly number[][]): number[] => {
      using cache = new KVCache(cacheShape(model, dtype));
      using _ = scope();
      return noGrad(() => {
        const added = some.map((ids) => ({ span: { pages: [], length: 0 }, ids }));
        for (const { span, ids } of added) cache.extend([span], ids.length);
        const hidden = newHidden({ model, cache, dtype }, added);
        const lasts = some.map((_, i) => some.slice(0, i + 1).flat().length - 1);
        const first = logitsAfter(model, hidden, lasts);
        cache.extend(
          added.map(({ span }) => span),
          1,
        );
        const next = nextLogits(
          { model, cache, dtype },
          added.map(({ span }) => ({ span, id: 3 })),
        );
        return ops.to(ops.cat([first, next], 1), "cpu", "float32").toNumbers();
      });
    };
    assertClose(
      after(prompts),
      prompts.flatMap((prompt) => after([prompt])),
      { atol: dtype === "float32" ? 1e-5 : 5e-2 },
    );
  });
}

/** An engine on the device, and as many requests of `length` tokens in it, each greedy or drawn at temperature 1. */
function engineWith(dir: string, requests: { count: number; length: number; maxNewTokens: number }): Engine {
  const model = loadModel(dir, { device, dtype: "bfloat16" });
  const engine = new Engine({ model, tokenizer: null });
  for (let i = 0; i < requests.count; i++) {
    const promptIds = Array.from({ length: requests.length }, (_, t) => (7 * t + i) % 32);
    const { maxNewTokens } = requests;
    engine.submit(
      `${i}`,
      generateRequest({ promptIds, temperature: i % 2, maxNewTokens, stopIds: new Set() }),
      () => {},
    );
  }
  return engine;
}

test("a step takes waiting prompts together, up to 4,096 tokens of them", { skip }, () => {
  using dir = temporaryDirectory();
  writeCheckpoint(dir.path, tinyConfig("qwen3"), checkpointTensors(tinyModel("qwen3")));
  using engine = engineWith(dir.path, { count: 50, length: 100, maxNewTokens: 1 });
  engine.step();
  // one is taken in and has to wait for the next step
  assert.deepEqual([engine.stats.promptTokens, engine.stats.waiting], [4000, 9]);
  engine.step();
  assert.deepEqual([engine.stats.promptTokens, engine.stats.waiting], [5000, 0]);
});

test("prompts and answers beside each other cost one wait and one copy a step, whatever their number", {
  skip: skip || (rehearsal === null ? "only the rehearsal device counts" : false),
}, () => {
  using dir = temporaryDirectory();
  writeCheckpoint(dir.path, tinyConfig("qwen3"), checkpointTensors(tinyModel("qwen3")));
  const countsOf = (count: number) => {
    using engine = engineWith(dir.path, { count, length: 20, maxNewTokens: 9 });
    // the prompts' pass, the first of the answers' (which makes room in the cache), and one as all others are
    return Array.from({ length: 3 }, () => {
      rehearsal?.counts();
      engine.step();
      const { waits, toHost, toHostBytes, toDevice } = rehearsal?.counts() ?? assert.fail();
      return { waits: waits.length, toHost, toDevice, bytes: toHostBytes / count };
    });
  };
  const [two, eight] = [countsOf(2), countsOf(8)];
  assert.deepEqual(eight, two);
  // of an answer: its logits' bounds, and the id, log-prob and normaliser of its token
  for (const { waits, toHost, bytes } of eight) assert.deepEqual([waits, toHost, bytes], [1, 1, 7 * 8]);
});

test("memory that runs out anywhere in a generation ends the requests of the pass, and those after them are answered", {
  skip: skip || (rehearsal === null ? "only the rehearsal device runs out when it should" : false),
}, () => {
  using dir = temporaryDirectory();
  const longer = { max_position_embeddings: 512 };
  writeCheckpoint(
    dir.path,
    { ...tinyConfig("qwen3"), ...longer },
    checkpointTensors(tinyModel("qwen3", longer)),
  );
  const model = loadModel(dir.path, { device, dtype: "bfloat16" });
  /** The events of two answers to a prompt of `length` tokens, with memory for so many more allocations. */
  const ask = (engine: Engine, length: number, left = -1) => {
    const promptIds = Array.from({ length }, (_, t) => (7 * t + 3) % 32);
    const events: GenerateEvent[] = [];
    engine.submit("it", generateRequest({ promptIds, n: 2, maxNewTokens: 3 }), (event) => events.push(event));
    rehearsal?.runOutAfter(left);
    while (engine.step());
    rehearsal?.runOutAfter(-1);
    return events;
  };
  const of = () => {
    const engine = new Engine({ model, tokenizer: null });
    return { engine, first: ask(engine, 20) };
  };
  const unlimited = of();
  rehearsal?.counts();
  // the cache grows for it
  const want = ask(unlimited.engine, 9 * pageTokens);
  const allocations = rehearsal?.counts().allocations ?? assert.fail();
  unlimited.engine[Symbol.dispose]();
  const ends = new Set(Array.from({ length: 12 }, (_, i) => i));
  for (let end = 0; end < allocations; end += Math.ceil(allocations / amount(15, 500))) ends.add(end);
  for (const end of ends) {
    const { engine, first } = of();
    const place = `after ${end} of ${allocations} allocations`;
    const last = ask(engine, 9 * pageTokens, end).at(-1);
    assert.match(last?.type === "error" ? last.message : "", /rehearsal out of memory/, place);
    assert.equal(engine.stats.cacheBytesUsed, 0, place);
    assert.deepEqual(ask(engine, 20), first, place);
    assert.deepEqual(ask(engine, 9 * pageTokens), want, place);
    engine[Symbol.dispose]();
  }
});

for (const name of ["qwen3", "gemma3"] as const) {
  test(`${name}: greedy answers are the CPU's`, { skip }, () => {
    using dir = temporaryDirectory();
    writeCheckpoint(dir.path, tinyConfig(name), checkpointTensors(tinyModel(name)));
    assert.deepEqual(answers(dir.path, device), answers(dir.path, "cpu"));
  });
}
