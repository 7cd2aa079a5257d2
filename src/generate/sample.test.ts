import assert from "node:assert/strict";
import { test } from "node:test";
import { families, fixtureExamples, fixtureGoldens } from "../../test/support/fixture-files.ts";
import { fixtureModel } from "../../test/support/fixtures.ts";
import { generateRequest } from "../../test/support/generate-request.ts";
import { logitsOf, tinyModel } from "../../test/support/tiny-models.ts";
import { ConfigError } from "../base/errors.ts";
import { hostBytes, liveTensorCount } from "../torch/index.ts";
import { Engine } from "./engine.ts";
import { type SamplingOptions, sampleCompletions } from "./sample.ts";

const greedy: SamplingOptions = { temperature: 0, maxNewTokens: 20, stopIds: new Set(), seed: 1 };

for (const family of families) {
  test(`greedy answers of ${family} are those of transformers, token for token`, () => {
    const prompts = fixtureExamples(family).map(({ promptIds }) => promptIds);
    // two at once: the rows of a batch have different lengths, and there is a second batch
    const answers = sampleCompletions(fixtureModel(family), prompts, { ...greedy, promptsAtOnce: 2 });
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

test("one seed gives the same answers, another gives others", () => {
  const model = tinyModel("llama_tied");
  const once = sampleCompletions(model, prompts, warm);
  assert.deepEqual(sampleCompletions(model, prompts, warm), once);
  assert.notDeepEqual(sampleCompletions(model, prompts, { ...warm, seed: 8 }), once);
  assert.deepEqual(
    once.map((answer) => answer.prompt),
    [0, 0, 0, 1, 1, 1, 2, 2, 2],
  );
  assert.notDeepEqual(once[0]?.ids, once[1]?.ids);
});

test("an answer does not depend on what else is in its batch", () => {
  const model = tinyModel("qwen3");
  const together = sampleCompletions(model, prompts, warm);
  assert.deepEqual(sampleCompletions(model, prompts, { ...warm, promptsAtOnce: 1 }), together);
});

test("a stop token ends an answer and is not part of it", () => {
  const model = tinyModel("llama_untied");
  const [free] = sampleCompletions(model, prompts.slice(0, 1), greedy);
  const ids = free?.ids ?? [];
  const stop = ids.find((id, i) => i > 0 && ids.indexOf(id) === i) ?? ids[0] ?? -1;
  const before = ids.slice(0, ids.indexOf(stop));
  const [stopped] = sampleCompletions(model, prompts.slice(0, 1), { ...greedy, stopIds: new Set([stop]) });
  assert.deepEqual(stopped, { prompt: 0, ids: before, stopId: stop });
});

test("first tokens come as often as the softmax at the temperature says", () => {
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
  for (const { ids } of sampleCompletions(model, [prompt], options)) {
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

test("sampling leaves no tensors behind", () => {
  const model = tinyModel("gemma3");
  const before = liveTensorCount();
  sampleCompletions(model, prompts, warm);
  assert.equal(liveTensorCount(), before);
});

test("options out of range are refused by name", () => {
  const model = tinyModel("llama_tied");
  const refused = (changes: Partial<SamplingOptions>, message: RegExp) =>
    assert.throws(() => sampleCompletions(model, prompts, { ...warm, ...changes }), {
      name: ConfigError.name,
      message,
    });
  refused({ temperature: -1 }, /^temperature: expected a number of at least 0, got -1\.$/);
  refused({ maxNewTokens: 0 }, /^maxNewTokens: expected a whole number of at least 1, got 0\.$/);
  refused({ answersPerPrompt: 1.5 }, /^answersPerPrompt: .* got 1\.5\.$/);
  assert.throws(
    () => sampleCompletions(model, [[1], []], warm),
    /^ConfigError: prompt 1: expected at least one token/,
  );
});

test("rollouts without a turn of the event loop leave no memory behind, log-probs and penalties asked for or not", () => {
  // logits of more than the 64 KiB from which on memory is counted
  const model = tinyModel("llama_tied", { vocab_size: 20_000, max_position_embeddings: 64 });
  const options = { ...warm, stopIds: new Set<number>() };
  sampleCompletions(model, prompts, options);
  const [tensors, bytes] = [liveTensorCount(), hostBytes()];
  for (let round = 0; round < 10; round++) {
    sampleCompletions(model, prompts, { ...options, seed: round });
    const engine = new Engine({ model, tokenizer: null });
    for (const [i, promptIds] of prompts.entries()) {
      engine.submit(
        `${i}`,
        generateRequest({ promptIds, n: 2, logprobs: 2, repetitionPenalty: 1.2 }),
        () => {},
      );
    }
    while (engine.step());
    engine[Symbol.dispose]();
  }
  assert.deepEqual([liveTensorCount(), hostBytes()], [tensors, bytes]);
});
