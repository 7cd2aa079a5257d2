/**
 * Child program: one run of our trainer on the benchmark's rows, one JSON line (`RunRecord`). A separate process, so
 * that its memory is its own. Takes an `OurPlan` as JSON in its only argument.
 */

import { askedQuantisation } from "../../src/formats/quantisation.ts";
import type { MicroBatch } from "../../src/forward/batch.ts";
import type { Numerics } from "../../src/forward/numerics.ts";
import { scoreBatch } from "../../src/forward/score-batch.ts";
import { dpo } from "../../src/methods/dpo/loss.ts";
import { needsReference, type Objective } from "../../src/methods/objective.ts";
import { simpo } from "../../src/methods/simpo/loss.ts";
import { slime } from "../../src/methods/slime/loss.ts";
import { SLIME_SCRIPT } from "../../src/methods/slime/settings.ts";
import { type Adapter, addAdapter } from "../../src/models/adapt.ts";
import { buildModel } from "../../src/models/build.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import { loadModel } from "../../src/models/load.ts";
import { randomWeights } from "../../src/models/weights.ts";
import type { ParameterSet } from "../../src/nn/parameter-set.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { manualSeed, setThreads } from "../../src/torch/index.ts";
import type { ReferenceSource } from "../../src/train/completion-logps.ts";
import { adapterParameters, trainAll } from "../../src/train/parameters.ts";
import { type Training, trainStep } from "../../src/train/step.ts";
import { gemmGflops } from "./gemm.ts";
import { batchesOf } from "./layouts.ts";
import { benchAdapterConfig } from "./ours-adapter.ts";
import { barePeakMb, peakMb } from "./peak.ts";
import type { OurPlan, OurRecord, RunPlan } from "./run-record.ts";
import { modelConfigOf, shapeNamed } from "./shapes.ts";
import { readRows } from "./workload.ts";

const objectives: Record<string, () => Objective> = {
  slime: () => slime(SLIME_SCRIPT),
  dpo: () => dpo({ beta: 0.1, label_smoothing: 0, loss_type: "sigmoid" }),
  simpo: () => simpo({ beta: 2, simpo_gamma: 1, label_smoothing: 0, cpo_alpha: 0 }),
};

/** The model in a directory, held as training holds it, or one of a shape's name with weights made here. */
function modelOf({ modelDir, mode, variant = {} }: OurPlan): CausalLM {
  const shape = shapeNamed(modelDir);
  if (shape === null) {
    // what is trained stays float32
    const dtype = mode === "full" ? "float32" : (variant.dtype ?? "float32");
    return loadModel(modelDir, { copy: true, dtype, quantise: askedQuantisation(variant) });
  }
  manualSeed(0);
  return buildModel(modelConfigOf(shape), randomWeights(0.02, 1));
}

function trainable(
  model: CausalLM,
  mode: RunPlan["mode"],
): { adapter: Adapter | null; parameters: ParameterSet } {
  if (mode === "full") return { adapter: null, parameters: trainAll(model) };
  return { adapter: addAdapter(model, benchAdapterConfig), parameters: adapterParameters(model) };
}

/** Reference sums of all steps' completions, from the model before it is trained. */
function referenceOf(model: CausalLM, batches: readonly MicroBatch[], numerics: Numerics): ReferenceSource {
  const sums = new Map(
    batches.map((batch) => [batch.indices[0], scoreBatch(model, batch, numerics).map((s) => s.sum)]),
  );
  return (batch) => ({ referenceLogps: sums.get(batch.indices[0]) ?? [] });
}

function allOf({ steps }: OurPlan, batchesAt: (step: number) => MicroBatch[]): MicroBatch[] {
  return Array.from({ length: steps }, (_, step) => batchesAt(step)).flat();
}

function trainingOf(plan: OurPlan, batchesAt: (step: number) => MicroBatch[]): Training {
  const { variant = {} } = plan;
  const model = modelOf(plan);
  const { adapter, parameters } = trainable(model, plan.mode);
  const objective = (objectives[plan.objective] as () => Objective)();
  const {
    dtype = "float32",
    gradient_checkpointing = false,
    gradient_checkpointing_blocks = null,
    activation_offloading = false,
    logits_chunk_size = null,
    logits_kept_mib = null,
  } = variant;
  const numerics: Numerics = {
    dtype,
    gradient_checkpointing,
    gradient_checkpointing_blocks,
    activation_offloading,
    logits_chunk_size,
    logits_kept_mib,
  };
  parameters.gather(dtype);
  return {
    ...{ model, adapter, parameters, objective, numerics },
    optimizer: new AdamW(parameters, {
      optim: variant.optim ?? "adamw_torch_fused",
      adam_beta1: 0.9,
      adam_beta2: 0.999,
      adam_epsilon: 1e-8,
      weight_decay: 0,
    }),
    max_grad_norm: variant.max_grad_norm ?? 1,
    optimizer_in_backward: variant.optimizer_in_backward ?? false,
    reference: needsReference(objective) ? referenceOf(model, allOf(plan, batchesAt), numerics) : null,
  };
}

/** CLOCK_MONOTONIC, seconds. */
function now(): number {
  return Number(process.hrtime.bigint()) / 1e9;
}

function run(plan: OurPlan): OurRecord {
  setThreads(plan.threads);
  const bareMb = barePeakMb();
  const rows = readRows(plan.workload);
  const batchesAt = (step: number) =>
    batchesOf(rows, { first: step * plan.pairs, count: plan.pairs }, plan.variant ?? {});
  const training = trainingOf(plan, batchesAt);
  const record = { losses: [] as number[], seconds: [] as number[], cpuSeconds: [] as number[] };
  const measured = { from: now(), to: now() };
  for (let step = 0; step < plan.steps; step++) {
    const cpu = process.cpuUsage();
    const start = now();
    if (step === 1) measured.from = start;
    // packing is part of a step
    const result = trainStep(training, batchesAt(step), { learningRate: 1e-5, seed: 1, log_entropy: false });
    measured.to = now();
    record.seconds.push(measured.to - start);
    const { user, system } = process.cpuUsage(cpu);
    record.cpuSeconds.push((user + system) / 1e6);
    record.losses.push(result.loss);
  }
  const peak = peakMb();
  return { ...record, pid: process.pid, measured, peakMb: peak, bareMb, gemmGflops: gemmGflops() };
}

process.stdout.write(`${JSON.stringify(run(JSON.parse(process.argv[2] ?? "{}")))}\n`);
