import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose } from "../../test/support/close.ts";
import { everyFamily, fixtureExamples, fixtureGoldens } from "../../test/support/fixture-files.ts";
import { fixtureModel } from "../../test/support/fixtures.ts";
import { generateRequest } from "../../test/support/generate-request.ts";
import { collectGarbage } from "../../test/support/memory.ts";
import { logitsOf, tinyModel } from "../../test/support/tiny-models.ts";
import { ConfigError } from "../base/errors.ts";
import { idsOf } from "../base/token-set.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { hostBytes, liveTensorCount, ops } from "../torch/index.ts";
import { Engine } from "./engine.ts";
import type { GenerateRequest } from "./request.ts";
import { type SampledCompletion, type SamplingOptions, sampleCompletions } from "./sample.ts";

const greedy: SamplingOptions = { temperature: 0, maxNewTokens: 20, stopIds: new Set(), seed: 1 };

for (const family of everyFamily) {
  test(`greedy answers of ${family} are those of transformers, token for token`, async () => {
    const prompts = fixtureExamples(family).map(({ promptIds }) => promptIds);
    // two at once: the rows of a batch have different lengths, and there is a second batch
    const answers = await sampleCompletions(fixtureModel(family), prompts, { ...greedy, promptsAtOnce: 2 });
    assert.deepEqual(
      answers,
      fixtureGoldens(family).greedy.map((ids, prompt) => ({ prompt, ids, stopId: null })),
    );
  });
}

const prompts = [[3, 1, 4], [1, 5, 9, 2, 6], [5]];
const warm: SamplingOptions = {
  temperature: 1,
  maxNewTokens: 8,
  stopIds: new Set(),
  seed: 7,
  answersPerPrompt: 3,
};

test("one seed gives the same answers, another gives others", async () => {
  const model = tinyModel("llama_tied");
  const once = await sampleCompletions(model, prompts, warm);
  assert.deepEqual(await sampleCompletions(model, prompts, warm), once);
  assert.notDeepEqual(await sampleCompletions(model, prompts, { ...warm, seed: 8 }), once);
  assert.deepEqual(
    once.map((answer) => answer.prompt),
    [0, 0, 0, 1, 1, 1, 2, 2, 2],
  );
  assert.notDeepEqual(once[0]?.ids, once[1]?.ids);
});

test("an answer does not depend on what else is in its batch", async () => {
  const model = tinyModel("qwen3");
  const together = await sampleCompletions(model, prompts, warm);
  assert.deepEqual(await sampleCompletions(model, prompts, { ...warm, promptsAtOnce: 1 }), together);
});

test("a stop token ends an answer and is not part of it", async () => {
  const model = tinyModel("llama_untied");
  const [free] = await sampleCompletions(model, prompts.slice(0, 1), greedy);
  const ids = free?.ids ?? [];
  const stop = ids.find((id, i) => i > 0 && ids.indexOf(id) === i) ?? ids[0] ?? -1;
  const before = ids.slice(0, ids.indexOf(stop));
  const [stopped] = await sampleCompletions(model, prompts.slice(0, 1), {
    ...greedy,
    stopIds: new Set([stop]),
  });
  assert.deepEqual(stopped, { prompt: 0, ids: before, stopId: stop });
});

test("first tokens come as often as the softmax at the temperature says", async () => {
  const model = tinyModel("llama_tied");
  const prompt = [3, 1, 4];
  const size = model.config.vocabSize;
  const last = logitsOf(model, prompt)
    .slice(-size)
    .map((logit) => Math.exp(logit / 2));
  const total = last.reduce((a, b) => a + b, 0);
  const count = 4000;
  const options = { ...warm, temperature: 2, maxNewTokens: 1, answersPerPrompt: count };
  const counts = new Array<number>(size).fill(0);
  for (const { ids } of await sampleCompletions(model, [prompt], options)) {
    const id = ids[0] ?? -1;
    counts[id] = (counts[id] ?? 0) + 1;
  }
  // chi-square over size cells: mean size - 1, deviation sqrt(2 (size - 1)); 6 deviations are never met by chance
  const chi = last.reduce((sum, p, id) => {
    const expected = (count * p) / total;
    return sum + ((counts[id] ?? 0) - expected) ** 2 / expected;
  }, 0);
  assert.ok(chi < size - 1 + 6 * Math.sqrt(2 * (size - 1)), `chi-square ${chi} of ${size} cells`);
});

test("after an update of the weights nothing of the sampling before is used", async () => {
  const [updated, fresh] = [tinyModel("qwen3"), tinyModel("qwen3")];
  const long = [Array.from({ length: 100 }, (_, i) => (7 * i) % 32)];
  const sampling = { ...warm, samplingLogprobs: true };
  const before = await sampleCompletions(updated, long, sampling);
  for (const model of [updated, fresh]) {
    ops.mul_(model.model.embed_tokens.weight, 1.5);
  }
  const after = await sampleCompletions(updated, long, sampling);
  assert.deepEqual(after, await sampleCompletions(fresh, long, sampling));
  assert.notDeepEqual(after, before);
});

test("sampling leaves no tensors behind", async () => {
  const model = tinyModel("gemma3");
  // those of the tests before
  collectGarbage();
  await new Promise(setImmediate);
  const before = liveTensorCount();
  await sampleCompletions(model, prompts, warm);
  assert.equal(liveTensorCount(), before);
});

test("options out of range are refused by name", async () => {
  const model = tinyModel("llama_tied");
  const refused = (changes: Partial<SamplingOptions>, message: RegExp) =>
    assert.rejects(sampleCompletions(model, prompts, { ...warm, ...changes }), {
      name: ConfigError.name,
      message,
    });
  await refused({ temperature: -1 }, /^temperature: expected a number of at least 0, got -1\.$/);
  await refused({ maxNewTokens: 0 }, /^maxNewTokens: expected a whole number of at least 1, got 0\.$/);
  await refused({ answersPerPrompt: 1.5 }, /^answersPerPrompt: .* got 1\.5\.$/);
  await assert.rejects(
    sampleCompletions(model, [[1], []], warm),
    /^ConfigError: prompt 1: expected at least one token/,
  );
});

/** ln p of each drawn token under softmax(logits / temperature) over the tokens kept, from the logits of the whole text. */
function lawOf(
  model: CausalLM,
  prompt: readonly number[],
  { ids, stopId, kept }: SampledCompletion,
  temperature: number,
): number[] {
  const size = model.config.vocabSize;
  const drawn = stopId === null ? ids : [...ids, stopId];
  const logits = logitsOf(model, [...prompt, ...drawn]);
  return drawn.map((id, i) => {
    const from = (prompt.length + i - 1) * size;
    const row = logits.slice(from, from + size).map((logit) => logit / temperature);
    const set = kept?.[i];
    const places = set === undefined ? [...row.keys()] : idsOf(set);
    return (
      (row[id] as number) - Math.log(places.reduce((sum, place) => sum + Math.exp(row[place] as number), 0))
    );
  });
}

test("log-probs are those of the law drawn from, the end token's with them", async () => {
  const model = tinyModel("qwen3");
  const stopIds = new Set([0, 1, 2]);
  const asked = { ...warm, maxNewTokens: 12, stopIds, samplingLogprobs: true };
  const cases: Partial<SamplingOptions>[] = [
    { temperature: 0.7 },
    { temperature: 1.3, topP: 0.8 },
    { temperature: 2, topK: 9, minP: 0.02 },
  ];
  const ended = { stopped: 0, cut: 0 };
  for (const changes of cases) {
    const options = { ...asked, ...changes };
    const completions = await sampleCompletions(model, prompts, options);
    const plain = await sampleCompletions(model, prompts, { ...options, samplingLogprobs: false });
    assert.deepEqual(
      completions.map(({ prompt, ids, stopId }) => ({ prompt, ids, stopId })),
      plain,
    );
    for (const completion of completions) {
      const { prompt, ids, stopId, logprobs = new Float32Array(), kept } = completion;
      ended[stopId === null ? "cut" : "stopped"] += 1;
      assert.equal(logprobs.length, ids.length + (stopId === null ? 0 : 1));
      assert.equal(kept?.length ?? null, changes === cases[0] ? null : logprobs.length);
      assertClose([...logprobs], lawOf(model, prompts[prompt] ?? [], completion, options.temperature), {
        atol: 2e-6,
      });
    }
  }
  assert.ok(ended.stopped > 0 && ended.cut > 0, JSON.stringify(ended));
});

test("a repetition penalty is part of the law", async () => {
  const options = { ...warm, repetitionPenalty: 1.5, samplingLogprobs: true };
  const model = tinyModel("llama_tied");
  const [penalised] = await sampleCompletions(model, prompts, options);
  const [prompt = []] = prompts;
  const { ids, logprobs } = penalised as SampledCompletion;
  const size = model.config.vocabSize;
  const row = logitsOf(model, prompt).slice(-size);
  for (const id of prompt) row[id] = (row[id] as number) * ((row[id] as number) < 0 ? 1.5 : 1 / 1.5);
  const sum = row.reduce((total, logit) => total + Math.exp(logit), 0);
  assertClose(logprobs?.[0] ?? 0, (row[ids[0] ?? -1] as number) - Math.log(sum), { atol: 2e-6 });
});

test("greedy decoding has no law: its log-probs are refused before anything is computed", async () => {
  const model = tinyModel("llama_tied");
  const message =
    /^samplingLogprobs: expected a temperature above 0, got 0\.000001: below 0\.00001 decoding is greedy/;
  const options = { ...warm, temperature: 1e-6, samplingLogprobs: true };
  await assert.rejects(sampleCompletions(model, prompts, options), { name: ConfigError.name, message });
  using engine = new Engine({ model, tokenizer: null });
  const request = generateRequest({ temperature: 1e-6, samplingLogprobs: true });
  assert.throws(() => engine.submit("a", request, () => {}), { name: ConfigError.name, message });
});

test("sampling tells the tokens so far, and stops between two passes", async () => {
  const model = tinyModel("llama_tied");
  const told: number[] = [];
  await sampleCompletions(model, prompts, { ...warm, onProgress: (tokens) => told.push(tokens) });
  assert.deepEqual(told, [9, 18, 27, 36, 45, 54, 63, 72]);
  const controller = new AbortController();
  const before = liveTensorCount();
  let passes = 0;
  const sampling = sampleCompletions(model, prompts, {
    ...warm,
    signal: controller.signal,
    onProgress: () => {
      passes += 1;
      // what stops a rollout comes by the event loop
      if (passes === 3) setImmediate(() => controller.abort(new Error("enough")));
    },
  });
  await assert.rejects(sampling, /^Error: enough$/);
  assert.ok(passes < 8, `${passes} passes`);
  assert.equal(liveTensorCount(), before);
  await assert.rejects(sampleCompletions(model, prompts, { ...warm, signal: AbortSignal.abort() }), /abort/i);
});

test("rollouts without a turn of the event loop leave no memory behind, log-probs, penalties and filters asked for or not", () => {
  // logits of more than the 64 KiB from which on memory is counted
  const model = tinyModel("llama_tied", { vocab_size: 20_000, max_position_embeddings: 64 });
  const asked: Partial<GenerateRequest>[] = [
    { n: 3 },
    { n: 2, logprobs: 2, repetitionPenalty: 1.2 },
    { n: 2, topP: 0.5, samplingLogprobs: true },
  ];
  const rollouts = (seed: number) => {
    for (const changes of asked) {
      const engine = new Engine({ model, tokenizer: null });
      for (const [i, promptIds] of prompts.entries()) {
        engine.submit(`${i}`, generateRequest({ promptIds, seed, ...changes }), () => {});
      }
      while (engine.step());
      engine[Symbol.dispose]();
    }
  };
  rollouts(0);
  const [tensors, bytes] = [liveTensorCount(), hostBytes()];
  for (let round = 1; round <= 10; round++) rollouts(round);
  assert.deepEqual([liveTensorCount(), hostBytes()], [tensors, bytes]);
});
