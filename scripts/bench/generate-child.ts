/** Child program, `generate-child.ts PLAN`: our engine's greedy answers to the benchmark's prompts, one JSON line. */
import { quantisationOfForm } from "../../src/formats/quantisation.ts";
import { Engine } from "../../src/generate/engine.ts";
import type { GenerateRequest } from "../../src/generate/request.ts";
import { loadModel } from "../../src/models/load.ts";
import { namedTensors } from "../../src/nn/module.ts";
import { itemSize, noGrad, ops, scope, setThreads } from "../../src/torch/index.ts";
import { gemmGflops } from "./gemm.ts";
import { type GenerationPlan, type GenerationRecord, promptsOf } from "./generate-record.ts";

const plan = JSON.parse(process.argv[2] ?? "") as GenerationPlan;
setThreads(plan.threads);
const { form = "float32" } = plan;
const dtype = form === "bfloat16" ? form : "float32";
const quantise = quantisationOfForm(form === "int8" ? "int8" : "dtype");
const model = loadModel(plan.modelDir, { dtype, quantise, copy: true });

/** A greedy request; it stops at its length alone. */
function requestOf(promptIds: readonly number[], maxNewTokens: number): GenerateRequest {
  return {
    ...{ promptIds, n: 1, maxNewTokens, temperature: 0, topK: null, topP: null, minP: null, seed: 0 },
    ...{ repetitionPenalty: null, stopIds: new Set<number>(), stop: [], logprobs: null, adapter: null },
  };
}

function logprobsOf(promptIds: readonly number[]): number[] {
  using engine = new Engine({ model, tokenizer: null, dtype });
  const logprobs: number[] = [];
  engine.submit("scored", { ...requestOf(promptIds, 0), promptLogprobs: 0 }, (event) => {
    if (event.type === "error") throw new Error(event.message);
    if (event.type === "prompt") logprobs.push(...event.tokens.flatMap(({ logprob }) => logprob ?? []));
  });
  while (engine.step());
  return logprobs;
}

function answers(batch: number, newTokens: number): number[][] {
  using engine = new Engine({ model, tokenizer: null, dtype, limits: { maxRunning: batch } });
  const ids = promptsOf(plan, batch).map((promptIds, i) => {
    const own: number[] = [];
    engine.submit(`${i}`, requestOf(promptIds, newTokens), (event) => {
      if (event.type === "token") own.push(event.id);
      if (event.type === "error") throw new Error(event.message);
    });
    return own;
  });
  while (engine.step());
  return ids;
}

/** The blocks and the head: of an embedding that is no head only a row is read. */
function weightsRead(): { bytes: number; seconds: number } {
  using _ = scope();
  const { embed_tokens } = model.model;
  const tied = model.config.tieWordEmbeddings;
  const all = new Set([...namedTensors(model)].map(([, x]) => x));
  const read = [...all].filter((x) => tied || x !== embed_tokens.weight);
  const bytes = read.reduce((sum, x) => sum + x.numel * itemSize(x.dtype), 0);
  const seconds = Array.from({ length: 5 }, () => {
    using _ = scope();
    const began = performance.now();
    for (const x of read) ops.sum(x);
    return (performance.now() - began) / 1000;
  });
  return { bytes, seconds: Math.min(...seconds) };
}

/** An engine's answers, and what they took. */
function timed(batch: number, newTokens: number): { seconds: number; cpu: number; ids: number[][] } {
  const began = performance.now();
  const before = process.cpuUsage();
  const ids = answers(batch, newTokens);
  const { user, system } = process.cpuUsage(before);
  return { seconds: (performance.now() - began) / 1000, cpu: (user + system) / 1e6, ids };
}

const record: GenerationRecord = {
  runs: [],
  weights: noGrad(weightsRead),
  ...(plan.limits && { gemmGflops: gemmGflops() }),
  ...(plan.scored && { logprobs: logprobsOf(plan.scored) }),
};
for (const batch of plan.batches) {
  answers(batch, 3);
  const promptSeconds = plan.limits ? { promptSeconds: timed(batch, 1).seconds } : {};
  record.runs.push({ batch, ...timed(batch, plan.newTokens), ...promptSeconds });
}
process.stdout.write(`${JSON.stringify(record)}\n`);
