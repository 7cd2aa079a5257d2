/**
 * What preparing a step's batch costs the main thread, in CPU time and as a fraction of a step of a very small model.
 *
 *   npm run ts -- scripts/bench-packing.ts [--pairs 64] [--rounds 21] [--threads 1]
 */
import { parseArgs } from "node:util";
import { at } from "../src/base/at.ts";
import type { Example } from "../src/data/example.ts";
import { packExamples } from "../src/data/packing.ts";
import { parseModelConfig } from "../src/formats/hf-config.ts";
import { toDevice } from "../src/forward/batch.ts";
import { simpo } from "../src/methods/simpo/loss.ts";
import { buildModel } from "../src/models/build.ts";
import { randomWeights } from "../src/models/weights.ts";
import { AdamW } from "../src/optim/adamw.ts";
import { noGrad, scope, setThreads } from "../src/torch/index.ts";
import { trainAll } from "../src/train/parameters.ts";
import { type Training, trainStep } from "../src/train/step.ts";
import { configOf, type ModelShape } from "./bench/shapes.ts";
import { generatedRows } from "./bench/workload.ts";

/** 0.27 million parameters: any model that is of use is larger, and its share smaller. */
const smallest: ModelShape = {
  family: "qwen3",
  layers: 4,
  width: 64,
  intermediate: 192,
  heads: 2,
  keyValueHeads: 1,
  headWidth: 32,
  vocabulary: 1024,
};

function examplesOf(pairs: number): Example[] {
  const rows = generatedRows(1);
  const small = (ids: readonly number[]) => ids.map((id) => id % smallest.vocabulary);
  return Array.from({ length: pairs }, (_, i) => {
    const row = at(rows, i % rows.length);
    return {
      origin: { file: "workload", line: i + 1 },
      promptIds: small(row.prompt_ids),
      completions: [{ ids: small(row.chosen_ids) }, { ids: small(row.rejected_ids) }],
    };
  });
}

/** Median CPU milliseconds of `rounds` calls, after one that does not count. */
function cost(rounds: number, body: () => void): number {
  const times = Array.from({ length: rounds + 1 }, () => {
    const before = process.cpuUsage();
    body();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  });
  return times.slice(1).toSorted((a, b) => a - b)[Math.floor(rounds / 2)] ?? Number.NaN;
}

function trainingOf(): Training {
  const model = buildModel(parseModelConfig(configOf(smallest), "config.json"), randomWeights(0.02, 1));
  const parameters = trainAll(model);
  return {
    model,
    adapter: null,
    parameters,
    objective: simpo({ beta: 2, simpo_gamma: 1, label_smoothing: 0, cpo_alpha: 0 }),
    optimizer: new AdamW(parameters, {
      adam_beta1: 0.9,
      adam_beta2: 0.999,
      adam_epsilon: 1e-8,
      weight_decay: 0,
    }),
    numerics: { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null },
    max_grad_norm: 1,
    reference: null,
  };
}

function main(): void {
  const { values } = parseArgs({
    options: {
      pairs: { type: "string", default: "64" },
      rounds: { type: "string", default: "21" },
      threads: { type: "string", default: "1" },
    },
  });
  const [pairs, rounds] = [Number(values.pairs), Number(values.rounds)];
  setThreads(Number(values.threads));
  const examples = examplesOf(pairs);
  const training = trainingOf();
  const packed = packExamples(examples);
  const indices = examples.map((_, i) => i);
  const step = cost(Math.min(rounds, 5), () =>
    trainStep(training, [{ packed, indices }], { learningRate: 1e-5, seed: 1, log_entropy: false }),
  );
  const packing = cost(rounds, () => packExamples(examples));
  const placing = cost(rounds, () => {
    using _ = scope();
    noGrad(() => toDevice(packed, "cpu"));
  });
  const { length: tokens } = packed.ids;
  console.log(`${pairs} pairs, ${tokens} tokens a step; CPU milliseconds, medians`);
  console.log(`a step of the smallest model ${step.toFixed(0)}`);
  for (const [name, ms] of Object.entries({ "packing, in JavaScript": packing, "into tensors": placing })) {
    const [share, each] = [((100 * ms) / step).toFixed(3), ((1e6 * ms) / tokens).toFixed(1)];
    console.log(`${name.padEnd(28)} ${ms.toFixed(2)}: ${share} % of the step, ${each} ns a token`);
  }
}

main();
