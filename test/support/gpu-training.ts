/** Trainings of tiny models on a device, for tests that need a GPU, and what a step may do there. */
import assert from "node:assert/strict";
import type { RunConfig } from "../../src/config/run-config.ts";
import type { Example } from "../../src/data/example.ts";
import { parseModelConfig } from "../../src/formats/hf-config.ts";
import type { MicroBatch } from "../../src/forward/batch.ts";
import type { Objective } from "../../src/methods/objective.ts";
import { simpo } from "../../src/methods/simpo/loss.ts";
import { buildModel } from "../../src/models/build.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { type DType, ops } from "../../src/torch/index.ts";
import { adapterParameters, trainAll } from "../../src/train/parameters.ts";
import { type StepResult, type Training, trainStep } from "../../src/train/step.ts";
import { microBatch } from "./fixtures.ts";
import { neutralNorm, patternedWeights } from "./patterned.ts";
import type { Counts } from "./rehearsal.ts";
import {
  adaptPatterned,
  type ConfigJson,
  type TinyName,
  tinyAdapterConfig,
  tinyConfig,
} from "./tiny-models.ts";

/** What is trained, and how. */
export interface GpuSetup {
  name: TinyName;
  trains: "LoRA" | "full";
  /** Of the activations; of the weights too where an adapter is trained. */
  dtype: DType;
  gradient_checkpointing: boolean;
  activation_offloading?: boolean;
  /** Changed values of config.json. */
  config?: ConfigJson;
  /** Of the adapter; default 0. */
  dropout?: number;
  /** Default SimPO. */
  objective?: Objective;
  /** Default AdamW with averages in float32. */
  optim?: RunConfig["optim"];
}

/** Four pairs of different lengths. */
export const gpuExamples: Example[] = Array.from({ length: 4 }, (_, i) => ({
  origin: { file: "gpu.test.ts", line: i + 1 },
  promptIds: Array.from({ length: 3 + 2 * i }, (_, t) => (7 * i + 3 * t) % 32),
  completions: [5, 8].map((length, side) => ({
    ids: Array.from({ length: length - i }, (_, t) => (11 * side + 5 * t + i) % 32),
  })),
}));

/** The pairs as a step of two micro-batches. */
function gpuBatches(): MicroBatch[] {
  return [microBatch(gpuExamples.slice(0, 3)), microBatch(gpuExamples.slice(3))];
}

/** The model on the device `where`. */
export function modelOn(where: string, { name, trains, dtype, config: changes }: GpuSetup): CausalLM {
  const config = parseModelConfig({ ...tinyConfig(name), ...changes }, `${name}/config.json`);
  const weights = patternedWeights(neutralNorm(config));
  const held = trains === "full" ? "float32" : dtype;
  return buildModel(config, (path, shape) => ops.to(weights(path, shape), where, held));
}

/** A training on the device `where`. */
export function trainingOn(where: string, setup: GpuSetup): Training {
  const model = modelOn(where, setup);
  const { trains, dtype, dropout = 0, gradient_checkpointing, activation_offloading = false } = setup;
  const adapter = trains === "full" ? null : adaptPatterned(model, tinyAdapterConfig({ dropout }));
  const parameters = adapter === null ? trainAll(model) : adapterParameters(model);
  return {
    model,
    adapter,
    parameters,
    objective: setup.objective ?? simpo({ beta: 2, simpo_gamma: 1, label_smoothing: 0, cpo_alpha: 0 }),
    optimizer: new AdamW(parameters, {
      optim: setup.optim ?? "adamw_torch_fused",
      adam_beta1: 0.9,
      adam_beta2: 0.999,
      adam_epsilon: 1e-8,
      weight_decay: 0.01,
    }),
    numerics: { dtype, gradient_checkpointing, activation_offloading, logits_chunk_size: 8 },
    max_grad_norm: 1,
    reference: null,
  };
}

/** A step of a training, with entropies. */
export function stepOn(training: Training): StepResult {
  return trainStep(training, gpuBatches(), { learningRate: 1e-3, seed: 1, log_entropy: true });
}

/**
 * Requires of a step in bfloat16 that the computer waited once, for the one copy of its numbers, that no operator needed the
 * device's values at the call, and that products are in bfloat16: all but those that gather gradients in float32, one for each
 * part of the vocabulary.
 */
export function assertQuietStep({ waits, toHost, early, launches }: Counts): void {
  assert.deepEqual(waits, ["copy to the host"]);
  assert.equal(toHost, 1);
  assert.deepEqual(early, []);
  const products = /^aten::(mm|addmm|bmm|baddbmm|_flash_attention_forward) /;
  const inOtherTypes = Object.entries(launches).filter(
    ([key]) => products.test(key) && !key.endsWith(" bfloat16"),
  );
  const parts = 8;
  assert.ok(
    inOtherTypes.length <= 1 && inOtherTypes.every(([, times]) => times === parts),
    JSON.stringify(inOtherTypes),
  );
}
