/** What a rollout holds: its peak does not depend on the number of passes, and one after the other leaves nothing. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import type { RunConfig } from "../../src/config/run-config.ts";
import { type SamplingOptions, sampleCompletions } from "../../src/generate/sample.ts";
import { watchOf } from "../../src/recipes/watch.ts";
import { hostBytes, liveTensorCount, setThreads } from "../../src/torch/index.ts";
import type { PreparedData } from "../../src/train/prepare-data.ts";
import { amount, figure } from "../support/campaign.ts";
import { memory, resetPeak, residentMiB } from "../support/memory.ts";
import { tinyModel } from "../support/tiny-models.ts";

const noPeak = existsSync("/proc/self/clear_refs") ? false : "the peak of memory is in /proc on Linux only";
const mib = 2 ** 20;
const completions = 8;
// a pass's logits take 8 × 20,000 × 4 bytes: a rollout that held those of each pass would hold 214 MiB more for 350 passes more
const model = tinyModel("llama_tied", { vocab_size: 20_000, max_position_embeddings: 1024 });

/** Bytes that the KV cache grows by with `tokens` more of each completion; it doubles when it is full. */
function cacheBytes(tokens: number): number {
  const { numLayers, numKeyValueHeads, headDim } = model.config;
  return 2 * completions * tokens * numLayers * numKeyValueHeads * headDim * 2 * 4;
}

const asked: Record<string, Partial<SamplingOptions>> = {
  plain: {},
  "with log-probs": { samplingLogprobs: true },
  "with top-k, a penalty and log-probs": { topK: 20, repetitionPenalty: 1.1, samplingLogprobs: true },
  // nearly all tokens are kept: ids would take 8 × 350 × 19,000 × 4 bytes, 203 MiB
  "with top-p of a flat law and log-probs": { topP: 0.95, temperature: 1000, samplingLogprobs: true },
};

/** Bytes of what filters kept in the places of `tokens` more of each completion: a bit for each token of the vocabulary. */
const keptBytes = (tokens: number): number => (completions * tokens * model.config.vocabSize) / 8;

for (const [what, options] of Object.entries(asked)) {
  test(`a rollout of 400 tokens peaks no higher than one of 50, its cache apart: ${what}`, {
    skip: noPeak,
  }, async () => {
    setThreads(1);
    const peakOf = async (maxNewTokens: number): Promise<number> => {
      const before = resetPeak();
      const draws = { temperature: 1, maxNewTokens, stopIds: new Set<number>(), seed: 1 };
      await sampleCompletions(model, [[3, 1, 4]], { ...draws, answersPerPrompt: completions, ...options });
      return memory("VmHWM") - before;
    };
    await peakOf(50);
    const [short, long] = [await peakOf(50), await peakOf(400)];
    // what the garbage collector has not come to yet is not held
    const most = short + cacheBytes(350) + (options.topP === undefined ? 0 : keptBytes(350)) + 24 * mib;
    assert.ok(long < most, `50 tokens ${(short / mib).toFixed(1)} MiB, 400 ${(long / mib).toFixed(1)} MiB`);
  });
}

test("evaluations of the collapse watch leave memory and tensors as they are", async () => {
  setThreads(1);
  const config = { watch_temperature: 1, watch_max_new_tokens: 4, watch_samples: 2, seed: 3 } as RunConfig;
  const numerics = { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null } as const;
  const tokenizer = { decode: (ids: readonly number[]) => ids.join(" ") };
  const data = { stopIds: new Set<number>(), tokenizer } as unknown as PreparedData;
  const prompts = [
    { text: "a", ids: [3, 1, 4] },
    { text: "b", ids: [5] },
  ];
  const watch = watchOf(config, { model, numerics }, data, { prompts, way: "gathered" });
  const seen = async () => ({ ...(await watch.look()), cost: null });
  const first = await seen();
  const look = async (times: number) => {
    for (let i = 0; i < times; i++) assert.deepEqual(await seen(), first);
  };
  await look(50);
  const [tensors, bytes, resident] = [liveTensorCount(), hostBytes(), residentMiB()];
  const evaluations = amount(200, 1000);
  await look(evaluations);
  assert.deepEqual([liveTensorCount(), hostBytes()], [tensors, bytes]);
  // the logits of 200 evaluations of 4 passes, 4 rows each, are 244 MiB; in the short form pages that stay with the process weigh more
  const grown = (100 / evaluations) * (residentMiB() - resident);
  const most = amount(8, 1);
  figure(
    15,
    "Evaluations of the collapse watch",
    `${evaluations.toLocaleString("en")} evaluations, 0 live tensors more, ${grown.toFixed(2)} MiB more in 100 after the first 50`,
    `0 tensors, below ${most} MiB in 100`,
    grown < most,
  );
});
