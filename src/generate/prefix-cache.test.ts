/** Prompts that begin alike: what is computed again, the same numbers hit or miss, what goes first, and what is never shared. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutLeaks } from "../../test/support/close.ts";
import { fixturePath } from "../../test/support/fixture-files.ts";
import { generateRequest } from "../../test/support/generate-request.ts";
import {
  adaptPatterned,
  type TinyName,
  tinyAdapterConfig,
  tinyModel,
} from "../../test/support/tiny-models.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { loadModel } from "../models/load.ts";
import { shareWeights } from "../models/share-weights.ts";
import { pageTokens } from "../nn/cache-pages.ts";
import { type DType, setThreads, threads } from "../torch/index.ts";
import { Engine, type EngineParts } from "./engine.ts";
import type { GenerateEvent, GenerateRequest } from "./request.ts";

const long = (length: number, step: number) => Array.from({ length }, (_, i) => (i * step + (i >> 2)) % 32);

/** Engine and a way to ask it: the events of one request, the tokens that it cost, and those it found. */
function opened(model: CausalLM, parts: Partial<EngineParts> = {}) {
  const engine = new Engine({ model, tokenizer: null, ...parts });
  const ask = (changes: Partial<GenerateRequest>) => {
    const { promptTokens, cachedTokens } = engine.stats;
    const events: GenerateEvent[] = [];
    engine.submit("it", generateRequest({ logprobs: 2, ...changes }), (event) => events.push(event));
    while (engine.step());
    const ids = events.flatMap((event) => (event.type === "token" && event.answer === 0 ? [event.id] : []));
    const { stats } = engine;
    return {
      // to the bit; how much was found is told apart
      told: events.map((event) => (event.type === "done" ? { ...event, cachedTokens: 0 } : event)),
      done: events.find((event) => event.type === "done"),
      ids,
      computed: stats.promptTokens - promptTokens,
      cached: stats.cachedTokens - cachedTokens,
    };
  };
  return { engine, ask, [Symbol.dispose]: () => engine[Symbol.dispose]() };
}

/** What a fresh engine tells, which has nothing to find. */
function missed(model: CausalLM, changes: Partial<GenerateRequest>, parts: Partial<EngineParts> = {}) {
  using fresh = opened(model, { ...parts, limits: { keepsPrefixes: false } });
  const asked = fresh.ask(changes);
  assert.equal(asked.cached, 0);
  return asked.told;
}

const kinds = {
  none: null,
  LoRA: tinyAdapterConfig({ targetModules: ["q_proj", "v_proj", "o_proj", "up_proj", "down_proj"] }),
  DoRA: tinyAdapterConfig({ useDora: true }),
};

function modelOf(name: TinyName, kind: keyof typeof kinds): CausalLM {
  const model = tinyModel(name, { max_position_embeddings: 2048 });
  const config = kinds[kind];
  if (config !== null) adaptPatterned(model, config);
  return model;
}

/** A conversation of three turns: each computes its new tokens only, and says what a fresh engine says. */
function converse(model: CausalLM, dtype: DType, first: number): void {
  using chat = opened(model, { dtype });
  let prompt = long(first, 7);
  let known = 0;
  for (const [turn, temperature] of [0, 0.9, 1.3].entries()) {
    const asked = { promptIds: prompt, maxNewTokens: 13 + turn, temperature, seed: turn };
    const { told, ids, computed, cached, done } = chat.ask(asked);
    assert.deepEqual([computed, cached], [prompt.length - known, known], `turn ${turn}`);
    assert.equal(done?.type === "done" && done.cachedTokens, known);
    assert.deepEqual(told, missed(model, asked, { dtype }));
    // the newest token was drawn and not computed
    known = prompt.length + ids.length - 1;
    prompt = [...prompt, ...ids, ...long(20 + 30 * turn, 5 + turn)];
  }
}

for (const [name, kind] of [
  ["llama_tied", "none"],
  ["llama_untied", "DoRA"],
  ["qwen3", "LoRA"],
  ["gemma3", "none"],
  ["gemma3", "LoRA"],
] as const) {
  test(`${name}, adapter ${kind}: a turn of a chat computes its new tokens only, and says the same to the bit`, () => {
    withoutLeaks(() => {
      const model = modelOf(name, kind);
      for (const first of [5, pageTokens, 300]) converse(model, "float32", first);
      converse(model, "bfloat16", 50);
    });
  });
}

test("the same on two threads", () => {
  const before = threads();
  try {
    setThreads(2);
    withoutLeaks(() => converse(modelOf("gemma3", "LoRA"), "float32", 300));
  } finally {
    setThreads(before);
  }
});

test("a prompt cut at any place continues with the same numbers", () => {
  withoutLeaks(() => {
    const model = modelOf("gemma3", "none");
    const promptIds = long(90, 7);
    const asked = { promptIds, maxNewTokens: 6, temperature: 0 };
    const want = missed(model, asked);
    for (const shared of [1, 17, 31, 32, 33, 63, 64, 65, 88, 89]) {
      using run = opened(model);
      run.ask({ promptIds: [...promptIds.slice(0, shared), 31, 30, 31], maxNewTokens: 40 });
      const { told, cached } = run.ask(asked);
      assert.ok(cached >= shared && cached < 90, `${shared}: ${cached}`);
      assert.deepEqual(told, want);
    }
  });
});

test("the same prompt again computes its last token; several answers of it, and others at the same time, share what is there", () => {
  withoutLeaks(() => {
    const model = modelOf("qwen3", "none");
    using run = opened(model);
    const asked = { promptIds: long(77, 3), n: 3, maxNewTokens: 20 };
    const first = run.ask(asked);
    const again = run.ask(asked);
    assert.deepEqual([first.computed, again.computed, again.cached], [77, 1, 76]);
    assert.deepEqual(again.told, first.told);
    assert.deepEqual(first.told, missed(model, asked));
    // long common prompts that arrive together: the second finds the first's while that one still runs
    const common = long(200, 11).map((id) => 31 - id);
    const both = [1, 2].map((end) => [...common, end, 5, 6]);
    const { promptTokens } = run.engine.stats;
    const told = both.map((promptIds, i) => {
      const events: GenerateEvent[] = [];
      run.engine.submit(`${i}`, generateRequest({ promptIds, logprobs: 2 }), (event) => events.push(event));
      return events;
    });
    while (run.engine.step());
    assert.equal(run.engine.stats.promptTokens - promptTokens, 203 + (203 - 6 * pageTokens));
    for (const [i, promptIds] of both.entries()) {
      const tokens = (events: readonly GenerateEvent[]) => events.filter(({ type }) => type === "token");
      assert.deepEqual(tokens(told[i] ?? []), tokens(missed(model, { promptIds })));
    }
  });
});

test("adapters find nothing of each other's or of the base's", () => {
  withoutLeaks(() => {
    const base = modelOf("llama_tied", "none");
    const adapters = new Map(["one", "two"].map((name) => [name, shareWeights(base)]));
    adaptPatterned(adapters.get("one") as CausalLM, tinyAdapterConfig());
    adaptPatterned(adapters.get("two") as CausalLM, tinyAdapterConfig({ targetModules: ["up_proj"] }));
    using run = opened(base, { adapters });
    for (const adapter of [null, "one", "two"]) {
      const asked = { promptIds: long(70, 7), adapter, temperature: 0 };
      const first = run.ask(asked);
      const again = run.ask(asked);
      assert.deepEqual([first.cached, again.cached], [0, 69]);
      assert.deepEqual(first.told, missed(base, asked, { adapters }));
      assert.deepEqual(again.told, first.told);
    }
  });
});

test("a prompt's own log-probs need all of it: nothing is taken, the same is told, and others find it", () => {
  withoutLeaks(() => {
    const model = modelOf("llama_untied", "none");
    using run = opened(model);
    const asked = { promptIds: long(300, 7), promptLogprobs: 1, maxNewTokens: 3 };
    const first = run.ask(asked);
    const again = run.ask(asked);
    assert.deepEqual([again.computed, again.cached], [300, 0]);
    assert.deepEqual(again.told, first.told);
    assert.equal(run.ask({ promptIds: long(300, 7) }).cached, 299);
  });
});

test("with a limit the page left longest ago goes first, and what is kept never costs a request its place", () => {
  withoutLeaks(() => {
    const model = modelOf("llama_tied", "none");
    const pages = 8;
    using run = opened(model, { limits: { maxCacheTokens: pages * pageTokens } });
    const [a, b, c] = [7, 11, 13].map((step) => ({ promptIds: long(3 * pageTokens, step), maxNewTokens: 1 }));
    run.ask(a as object);
    run.ask(b as object);
    assert.equal(run.ask(a as object).cached, 3 * pageTokens - 1);
    run.ask(c as object); // takes b's place, which was left longest ago
    assert.equal(run.ask(a as object).cached, 3 * pageTokens - 1);
    const { cacheBytesReserved, cacheBytesKept } = run.engine.stats;
    assert.ok(cacheBytesKept <= cacheBytesReserved);
    assert.ok(run.ask(b as object).cached < 3 * pageTokens - 1);
    // all of the cache for one
    const large = { promptIds: long((pages - 1) * pageTokens, 17), maxNewTokens: pageTokens + 1 };
    assert.deepEqual(run.ask(large).told, missed(model, large));
  });
});

test("very many different prompts take no more memory than the largest of them", () => {
  withoutLeaks(() => {
    const model = modelOf("llama_tied", "none");
    using run = opened(model);
    run.ask({ promptIds: long(100, 7), n: 2 });
    const { cacheBytesReserved } = run.engine.stats;
    for (let i = 0; i < 200; i++) {
      const promptIds = long(1 + ((i * 37) % 100), 1 + i).map((id, t) => (id + t * i) % 32);
      run.ask({ promptIds, maxNewTokens: 1 + (i % 8) });
      const { stats } = run.engine;
      assert.equal(stats.cacheBytesReserved, cacheBytesReserved);
      assert.equal(stats.cacheBytesUsed, 0);
      assert.ok(stats.cacheBytesKept <= cacheBytesReserved);
    }
  });
});

test("a request cancelled in its prompt or its answer leaves what is computed, and nothing else", () => {
  withoutLeaks(() => {
    const model = modelOf("gemma3", "none");
    const promptIds = long(1100, 7);
    const asked = { promptIds, maxNewTokens: 4 };
    const want = missed(model, asked);
    for (const [steps, found] of [
      [1, 512],
      [2, 1024],
      [3, 1099],
      [6, 1099],
    ] as const) {
      using run = opened(model);
      run.engine.submit("gone", generateRequest({ promptIds, n: 2, maxNewTokens: 50 }), () => {});
      for (let i = 0; i < steps; i++) run.engine.step();
      run.engine.cancel("gone");
      assert.equal(run.engine.stats.cacheBytesUsed, 0);
      const { told, cached } = run.ask(asked);
      assert.equal(cached, found);
      assert.deepEqual(told, want);
    }
  });
});

test("a pass that fails leaves nothing of its own to find", () => {
  const model = modelOf("llama_tied", "none");
  using run = opened(model);
  const promptIds = long(70, 7);
  const block = model.model.layers[1] as { forward: (...args: unknown[]) => unknown };
  const { forward } = block;
  block.forward = () => {
    throw new Error("this pass fails");
  };
  assert.deepEqual(run.ask({ promptIds }).told, [{ type: "error", message: "this pass fails" }]);
  block.forward = forward;
  const { told, cached } = run.ask({ promptIds });
  assert.equal(cached, 0);
  assert.deepEqual(told, missed(model, { promptIds }));
});

test("nothing is kept where it is switched off, nor where the attention is torch's own", () => {
  withoutLeaks(() => {
    const model = modelOf("llama_tied", "none");
    for (const parts of [{ limits: { keepsPrefixes: false } }, { dtype: "float64" }] as const) {
      using run = opened(model, parts);
      for (let i = 0; i < 2; i++) assert.equal(run.ask({ promptIds: long(70, 7) }).computed, 70);
      assert.equal(run.engine.stats.cacheBytesKept, 0);
    }
  });
});

test("nothing is kept of Gemma 2, whose scores are capped: docs/generation.md names it", () => {
  withoutLeaks(() => {
    const model = loadModel(fixturePath("gemma2", "model"), { dtype: "float32" });
    using run = opened(model);
    for (let i = 0; i < 2; i++) assert.equal(run.ask({ promptIds: long(70, 7) }).computed, 70);
    assert.equal(run.engine.stats.cacheBytesKept, 0);
  });
});
