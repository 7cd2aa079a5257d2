/** The engine: cached passes against whole ones, requests that come and go, adapters, and what the cache holds. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { generateRequest } from "../../test/support/generate-request.ts";
import {
  adaptPatterned,
  logitsOf,
  tinyAdapterConfig,
  tinyModel,
  tinyNames,
} from "../../test/support/tiny-models.ts";
import { packExamples } from "../data/packing.ts";
import { scoreBatch } from "../forward/score-batch.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { shareWeights } from "../models/share-weights.ts";
import { pageTokens } from "../nn/cache-pages.ts";
import { liveTensorCount } from "../torch/index.ts";
import { Engine, type EngineParts } from "./engine.ts";
import type { EndEvent, GenerateEvent, GenerateRequest } from "./request.ts";

/** Each token as a letter. */
const letters = {
  isSpecial: () => false,
  decode: (ids: readonly number[]) => ids.map((id) => String.fromCharCode(97 + id)).join(""),
};

/** An engine whose requests' events are kept. */
function started(parts: EngineParts) {
  const engine = new Engine(parts);
  const events = new Map<string, GenerateEvent[]>();
  const submit = (id: string, changes: Partial<GenerateRequest> = {}) => {
    const told: GenerateEvent[] = [];
    events.set(id, told);
    engine.submit(id, generateRequest(changes), (event) => told.push(event));
  };
  const of = (id: string) => events.get(id) ?? [];
  const ids = (id: string, answer = 0) => tokensOf(of(id), answer).map((event) => event.id);
  const finish = () => {
    while (engine.step());
  };
  return { engine, submit, of, ids, finish, [Symbol.dispose]: () => engine[Symbol.dispose]() };
}

function tokensOf(events: readonly GenerateEvent[], answer = 0) {
  return events.flatMap((event) => (event.type === "token" && event.answer === answer ? [event] : []));
}

/** The same events, log-probs included, to the bit. */
function assertSame(got: readonly GenerateEvent[], want: readonly GenerateEvent[]): void {
  assert.deepEqual(got, want);
}

function endsOf(events: readonly GenerateEvent[]): EndEvent[] {
  return events.flatMap((event) => (event.type === "end" ? [event] : []));
}

/** ln p of each token of `answer`, from the logits of the whole text. */
function uncached(model: CausalLM, prompt: readonly number[], answer: readonly number[]): number[] {
  const size = model.config.vocabSize;
  const logits = logitsOf(model, [...prompt, ...answer]);
  return answer.map((id, i) => {
    const row = logits.slice((prompt.length + i - 1) * size, (prompt.length + i) * size);
    const most = Math.max(...row);
    return (row[id] as number) - most - Math.log(row.reduce((sum, x) => sum + Math.exp(x - most), 0));
  });
}

// longer than a page, than Gemma's window, and not a multiple of either
const longPrompt = Array.from({ length: pageTokens + 9 }, (_, i) => (7 * i + 3) % 32);
const adapters = {
  none: null,
  LoRA: tinyAdapterConfig({
    targetModules: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "down_proj"],
  }),
  DoRA: tinyAdapterConfig({ useDora: true, modulesToSave: ["embed_tokens", "lm_head"] }),
};

for (const name of tinyNames) {
  for (const [kind, config] of Object.entries(adapters)) {
    test(`${name}, adapter ${kind}: log-probs of cached decoding are those of the whole text, and of score`, () => {
      withoutLeaks(() => {
        const model = tinyModel(name);
        if (config !== null) adaptPatterned(model, config);
        using run = started({ model, tokenizer: null });
        const prompts = [[5], [3, 1, 4], longPrompt];
        prompts.forEach((promptIds, i) => {
          run.submit(`${i}`, { promptIds, n: 2, maxNewTokens: 40 - i, logprobs: 0 });
        });
        run.finish();
        for (const [i, promptIds] of prompts.entries()) {
          const answers = [0, 1].map((answer) => ({ ids: run.ids(`${i}`, answer) }));
          assert.deepEqual(
            answers.map(({ ids }) => ids.length),
            [40 - i, 40 - i],
          );
          const example = { origin: { file: "here", line: i }, promptIds, completions: answers };
          const batch = { packed: packExamples([example], { share_prompt: true }), indices: [0] };
          const numerics = {
            dtype: "float32",
            gradient_checkpointing: false,
            logits_chunk_size: null,
          } as const;
          for (const { completion, logps } of scoreBatch(model, batch, numerics)) {
            const got = tokensOf(run.of(`${i}`), completion).map(({ logprob }) => logprob as number);
            assertClose(got, Array.from(logps), { atol: 1e-5 });
            assertClose(got, uncached(model, promptIds, answers[completion]?.ids ?? []), { atol: 1e-5 });
          }
        }
      });
    });
  }
}

test("the same on torch's own attention, as accelerators take it", () => {
  withoutLeaks(() => {
    for (const name of ["qwen3", "gemma3"] as const) {
      const model = tinyModel(name);
      const exact = started({ model, tokenizer: null });
      const double = started({ model, tokenizer: null, dtype: "float64" });
      for (const run of [exact, double]) {
        run.submit("a", { promptIds: longPrompt, n: 2, temperature: 0, logprobs: 0 });
        run.submit("b", { promptIds: [5], temperature: 0, logprobs: 0 });
        run.finish();
      }
      for (const id of ["a", "b"]) {
        const want = uncached(model, id === "a" ? longPrompt : [5], double.ids(id));
        const got = tokensOf(double.of(id)).map(({ logprob }) => logprob as number);
        assertClose(got, want, { atol: 1e-5 });
      }
      exact.engine[Symbol.dispose]();
      double.engine[Symbol.dispose]();
    }
  });
});

for (const name of ["llama_untied", "qwen3", "gemma3"] as const) {
  for (const dtype of ["float32", "bfloat16"] as const) {
    for (const n of [1, 2]) {
      test(`${name}, ${dtype}: ${n} answers are the same, to the bit, whatever runs beside them and whenever they come`, () => {
        withoutLeaks(() => {
          const model = tinyModel(name);
          const asked = { promptIds: longPrompt, n, maxNewTokens: 20, logprobs: 3, temperature: 0.8 };
          using alone = started({ model, tokenizer: null, dtype });
          alone.submit("it", asked);
          alone.finish();
          using crowd = started({ model, tokenizer: null, dtype, limits: { maxRunning: 12 } });
          crowd.submit("early", { n: 3, maxNewTokens: 30, seed: 1 });
          for (let i = 0; i < 5; i++) crowd.engine.step();
          crowd.submit("it", asked);
          for (let i = 0; i < 4; i++)
            crowd.submit(`late ${i}`, { promptIds: [i], n: 2, temperature: 2, topP: 0.9 });
          crowd.engine.step();
          crowd.engine.cancel("early");
          crowd.finish();
          assertSame(crowd.of("it"), alone.of("it"));
          assert.equal(crowd.of("late 3").at(-1)?.type, "done");
        });
      });
    }
  }
}

for (const name of ["llama_tied", "gemma3"] as const) {
  test(`${name}: a long prompt goes part by part, and others' answers go on meanwhile`, () => {
    withoutLeaks(() => {
      const model = tinyModel(name, { max_position_embeddings: 2048 });
      const promptIds = Array.from({ length: 1100 }, (_, i) => (i * i + 3 * i) % 32);
      using run = started({ model, tokenizer: null });
      run.submit("short", { maxNewTokens: 30 });
      run.engine.step();
      run.submit("long", { promptIds, n: 2, maxNewTokens: 5, logprobs: 0 });
      run.submit("cancelled", { promptIds: promptIds.toReversed() });
      const seen: [tokens: number, others: number][] = [];
      while (run.ids("long").length === 0) {
        run.engine.step();
        seen.push([run.engine.stats.promptTokens - 3, run.ids("short").length]);
      }
      assert.deepEqual(seen.slice(0, 2), [
        [512, 2],
        [1024, 3],
      ]);
      assert.deepEqual(run.ids("short").length, 4);
      run.engine.step();
      run.engine.cancel("cancelled");
      run.finish();
      for (const answer of [0, 1]) {
        const got = tokensOf(run.of("long"), answer).map(({ logprob }) => logprob as number);
        assertClose(got, uncached(model, promptIds, run.ids("long", answer)), { atol: 1e-5 });
      }
      assert.equal(run.engine.stats.cacheBytesUsed, 0);
      assert.deepEqual(run.of("cancelled"), []);
    });
  });
}

test("a request that one adapter's event cancelled is not computed under another", () => {
  withoutLeaks(() => {
    const base = tinyModel("llama_tied");
    const other = shareWeights(base);
    const engine = new Engine({ model: base, adapters: new Map([["other", other]]), tokenizer: null });
    let told = 0;
    engine.submit("a", generateRequest({ maxNewTokens: 6 }), () => {
      told++;
      if (told === 2) engine.cancel("b");
    });
    engine.submit("b", generateRequest({ adapter: "other", maxNewTokens: 6 }), () => {});
    while (engine.step());
    assert.equal(told, 8);
    assert.equal(engine.stats.cacheBytesUsed, 0);
    engine[Symbol.dispose]();
  });
});

test("many answers compute and hold their prompt once", () => {
  withoutLeaks(() => {
    using run = started({ model: tinyModel("llama_tied"), tokenizer: null });
    const page = 2 * 2 * 2 * 8 * 4 * pageTokens; // layers, K and V, key heads, features, bytes
    run.submit("a", { promptIds: longPrompt, n: 8, maxNewTokens: 5 });
    run.engine.step();
    assert.equal(run.engine.stats.promptTokens, longPrompt.length);
    assert.equal(run.engine.stats.cacheBytesUsed, 2 * page);
    run.engine.step();
    // a full page for all, and for each one with the prompt's end and its own tokens
    assert.equal(run.engine.stats.cacheBytesUsed, (1 + 8) * page);
    run.finish();
    const { completionTokens, running, cacheBytesUsed } = run.engine.stats;
    assert.deepEqual([completionTokens, running, cacheBytesUsed], [40, 0, 0]);
    assert.deepEqual(run.of("a").at(-1), {
      type: "done",
      promptTokens: longPrompt.length,
      cachedTokens: 0,
      completionTokens: 40,
    });
  });
});

test("a cancelled request frees its cache, tells nothing more, and lets the next one in", () => {
  const model = tinyModel("gemma3");
  const before = liveTensorCount();
  {
    using run = started({ model, tokenizer: null, limits: { maxRunning: 2 } });
    run.submit("a", { n: 2, maxNewTokens: 100 });
    run.submit("b", { n: 2, maxNewTokens: 3 });
    run.engine.step();
    run.engine.step();
    assert.deepEqual([run.engine.stats.running, run.engine.stats.waiting], [2, 1]);
    const told = run.of("a").length;
    run.engine.cancel("a");
    run.engine.cancel("unknown");
    assert.equal(run.engine.stats.cacheBytesUsed, 0);
    run.finish();
    assert.equal(run.of("a").length, told);
    assert.equal(run.of("b").at(-1)?.type, "done");
    assert.equal(run.engine.step(), false);
  }
  assert.equal(liveTensorCount(), before);
});

test("a request may cancel itself, and another, from its own event", () => {
  withoutLeaks(() => {
    const engine = new Engine({ model: tinyModel("llama_tied"), tokenizer: null });
    const told: string[] = [];
    for (const id of ["a", "b", "c"]) {
      engine.submit(id, generateRequest({ n: 2 }), (event) => {
        told.push(`${id} ${event.type}`);
        if (id !== "a" || told.filter((one) => one === "a token").length < 3) return;
        engine.cancel("a");
        engine.cancel("b");
      });
    }
    while (engine.step());
    assert.equal(told.filter((one) => one === "a token").length, 3);
    assert.ok(told.filter((one) => one === "b token").length <= 2);
    assert.equal(told.at(-1), "c done");
    assert.equal(engine.stats.cacheBytesUsed, 0);
    engine[Symbol.dispose]();
  });
});

test("adapters by name share the base's weights and answer as each would alone", () => {
  withoutLeaks(() => {
    const base = tinyModel("qwen3");
    const adapted = new Map<string, CausalLM>();
    for (const [name, config] of [
      ["one", tinyAdapterConfig()],
      ["two", tinyAdapterConfig({ targetModules: ["o_proj", "up_proj"], modulesToSave: ["lm_head"] })],
    ] as const) {
      const before = liveTensorCount();
      const model = shareWeights(base);
      assert.equal(liveTensorCount(), before);
      adaptPatterned(model, config);
      adapted.set(name, model);
    }
    using run = started({ model: base, adapters: adapted, tokenizer: null });
    for (const adapter of [null, "one", "two"]) run.submit(`${adapter}`, { adapter, n: 2, logprobs: 0 });
    run.finish();
    for (const [name, model] of [["null", base] as const, ...adapted]) {
      using alone = started({ model, tokenizer: null });
      alone.submit("it", { n: 2, logprobs: 0 });
      alone.finish();
      assertSame(run.of(name), alone.of("it"));
    }
    assert.notDeepEqual(run.of("one"), run.of("null"));
    assert.notDeepEqual(run.of("one"), run.of("two"));
    assert.throws(
      () => run.submit("x", { adapter: "tow" }),
      /there is no adapter "tow"; those loaded are one, two\. Did you mean "two"\?/,
    );
  });
});

test("text, stop texts, stop tokens and alternatives", () => {
  withoutLeaks(() => {
    using run = started({ model: tinyModel("llama_untied"), tokenizer: letters });
    run.submit("free", { temperature: 0, maxNewTokens: 12, logprobs: 2 });
    run.finish();
    const ids = run.ids("free");
    const text = letters.decode(ids);
    const at = 5;
    const stop = text.slice(at, at + 3);
    const first = text.indexOf(stop);
    run.submit("text", { temperature: 0, maxNewTokens: 12, stop: ["nowhere", stop] });
    run.submit("token", { temperature: 0, maxNewTokens: 12, stopIds: new Set([ids[at] as number]) });
    run.finish();
    const said = (id: string) =>
      [...tokensOf(run.of(id)), ...endsOf(run.of(id))].map((event) => event.text).join("");
    assert.equal(said("free"), text);
    assert.equal(said("text"), text.slice(0, first));
    assert.deepEqual(endsOf(run.of("text"))[0], {
      type: "end",
      answer: 0,
      reason: "stop",
      text: "",
      stoppedBy: stop,
      last: null,
    });
    const ended = ids.indexOf(ids[at] as number);
    assert.equal(said("token"), text.slice(0, ended));
    assert.equal(endsOf(run.of("token"))[0]?.stoppedBy, ids[at]);
    for (const { id, logprob, top } of tokensOf(run.of("free"))) {
      assert.deepEqual(top[0], { id, logprob });
      assert.ok(top.length === 2 && (top[1]?.logprob ?? 0) <= (logprob ?? 0));
    }
    assert.equal(endsOf(run.of("free"))[0]?.reason, "length");
  });
});

test("a model's context ends an answer; what cannot fit is refused by name", () => {
  withoutLeaks(() => {
    const model = tinyModel("llama_tied", { max_position_embeddings: 16 });
    const limits = { maxRunning: 4, maxCacheTokens: 3 * pageTokens };
    using run = started({ model, tokenizer: null, limits });
    run.submit("a", { maxNewTokens: 100 });
    run.finish();
    assert.equal(run.ids("a").length, 13);
    assert.equal(endsOf(run.of("a"))[0]?.reason, "length");
    run.submit("b");
    const refused: [Partial<GenerateRequest>, RegExp][] = [
      [{ promptIds: [] }, /^the prompt: expected at least one token/],
      [{ promptIds: [32] }, /token ids below 32, the model's vocabulary, got 32/],
      [{ promptIds: Array.from({ length: 16 }, () => 1) }, /16 tokens, and the model's context ends at 16/],
      [{ n: 5 }, /^n: expected at most 4 answers at once, got 5/],
      [{ n: 4 }, /may take 128 tokens of cache, and there are 96/],
      [{ topP: 0 }, /^topP: expected a number above 0 and at most 1, got 0/],
      [{ topK: 0.5 }, /^topK: expected a whole number of at least 1, got 0\.5/],
      [{ minP: 2 }, /^minP: /],
      [{ repetitionPenalty: 0 }, /^repetitionPenalty: expected a number from 0\.01 to 100 .*, got 0/],
      [{ repetitionPenalty: 1e-308 }, /^repetitionPenalty: .*, got 1e-308/],
      [{ repetitionPenalty: 1e308 }, /^repetitionPenalty: .*, got 1e\+308/],
      [{ presencePenalty: Number.NaN }, /^presencePenalty: expected a finite number, got NaN/],
      [
        { logitBias: new Map([[3, Infinity]]) },
        /^logitBias of token 3: expected a finite number, got Infinity/,
      ],
      [{ temperature: Number.NaN }, /^temperature: .* got NaN/],
      [{ seed: 1.5 }, /^seed: /],
      [{ stop: [""] }, /^stop: /],
      [{ stop: ["x"] }, /stop texts need a tokenizer/],
      [{ adapter: "x" }, /no adapter "x"; none is loaded/],
    ];
    for (const [changes, message] of refused) {
      assert.throws(() => run.submit("c", changes), { name: "ConfigError", message });
    }
    assert.throws(() => run.submit("b"), /a request "b" is already under way/);
  });
});
