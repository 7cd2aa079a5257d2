/** Child program, `generate-child.ts PLAN`: our engine's greedy answers to the benchmark's prompts, one JSON line. */
import { Engine } from "../../src/generate/engine.ts";
import { loadModel } from "../../src/models/load.ts";
import { setThreads } from "../../src/torch/index.ts";
import { type GenerationPlan, type GenerationRecord, promptsOf } from "./generate-record.ts";

const plan = JSON.parse(process.argv[2] ?? "") as GenerationPlan;
setThreads(plan.threads);
const model = loadModel(plan.modelDir, { dtype: "float32", copy: true });

function answers(batch: number, newTokens: number): number[][] {
  using engine = new Engine({ model, tokenizer: null, limits: { maxRunning: batch } });
  const ids = promptsOf(plan, batch).map((promptIds, i) => {
    const own: number[] = [];
    const request = {
      promptIds,
      n: 1,
      maxNewTokens: newTokens,
      temperature: 0,
      topK: null,
      topP: null,
      minP: null,
      repetitionPenalty: null,
      stopIds: new Set<number>(),
      stop: [],
      seed: 0,
      logprobs: null,
      adapter: null,
    };
    engine.submit(`${i}`, request, (event) => {
      if (event.type === "token") own.push(event.id);
      if (event.type === "error") throw new Error(event.message);
    });
    return own;
  });
  while (engine.step());
  return ids;
}

const record: GenerationRecord = { runs: [] };
for (const batch of plan.batches) {
  answers(batch, 3);
  const began = performance.now();
  const before = process.cpuUsage();
  const ids = answers(batch, plan.newTokens);
  const { user, system } = process.cpuUsage(before);
  record.runs.push({ batch, seconds: (performance.now() - began) / 1000, cpu: (user + system) / 1e6, ids });
}
process.stdout.write(`${JSON.stringify(record)}\n`);
