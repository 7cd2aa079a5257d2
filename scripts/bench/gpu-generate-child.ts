/** Child program: greedy answers of a model with random weights on a GPU, one JSON line: tokens a second by number of answers at once. */
import { Engine } from "../../src/generate/engine.ts";
import { buildModel } from "../../src/models/build.ts";
import { manualSeed, memoryInUse, noGrad } from "../../src/torch/index.ts";
import { promptsOf } from "./generate-record.ts";
import { gpuModelConfig, weightsOn } from "./gpu-models.ts";
import type { GpuGenerationPlan, GpuGenerationRecord } from "./gpu-record.ts";

const plan = JSON.parse(process.argv[2] ?? "") as GpuGenerationPlan;
manualSeed(0);
const model = noGrad(() => buildModel(gpuModelConfig(plan.model), weightsOn(plan.device, "bfloat16")));

function answer(batch: number, newTokens: number): number {
  using engine = new Engine({ model, tokenizer: null, limits: { maxRunning: batch } });
  let tokens = 0;
  for (const [i, promptIds] of promptsOf(plan, batch).entries()) {
    const request = {
      ...{ promptIds, n: 1, maxNewTokens: newTokens, temperature: 0, topK: null, topP: null, minP: null },
      ...{
        repetitionPenalty: null,
        stopIds: new Set<number>(),
        stop: [],
        seed: 0,
        logprobs: null,
        adapter: null,
      },
    };
    engine.submit(`${i}`, request, (event) => {
      if (event.type === "token") tokens++;
      if (event.type === "error") throw new Error(event.message);
    });
  }
  while (engine.step());
  return tokens;
}

const record: GpuGenerationRecord = { runs: [], peakMb: 0 };
for (const batch of plan.batches) {
  answer(batch, 4);
  const began = performance.now();
  const tokens = answer(batch, plan.newTokens);
  record.runs.push({ batch, tokensPerSecond: tokens / ((performance.now() - began) / 1000) });
}
record.peakMb = memoryInUse(plan.device).peak / 2 ** 20;
process.stdout.write(`${JSON.stringify(record)}\n`);
