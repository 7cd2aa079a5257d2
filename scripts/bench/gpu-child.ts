/** Child program: one run of our trainer on a GPU, one JSON line (`GpuRecord`). Takes a `GpuPlan` as JSON in its only argument. */

import { simpo } from "../../src/methods/simpo/loss.ts";
import { slime } from "../../src/methods/slime/loss.ts";
import { SLIME_SCRIPT } from "../../src/methods/slime/settings.ts";
import { addAdapter } from "../../src/models/adapt.ts";
import { buildModel } from "../../src/models/build.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { manualSeed, memoryInUse, noGrad, ops, scope, synchronize } from "../../src/torch/index.ts";
import { adapterParameters, trainAll } from "../../src/train/parameters.ts";
import { type Training, trainStep } from "../../src/train/step.ts";
import { gpuModelConfig, weightsOn } from "./gpu-models.ts";
import type { GpuPlan, GpuRecord } from "./gpu-record.ts";
import { batchesOf } from "./layouts.ts";
import { benchAdapterConfig } from "./ours-adapter.ts";
import { readRows } from "./workload.ts";

/** TFLOP/s of a bfloat16 product of two 8192 × 8192 matrices, the mean of ten. */
function productTflops(device: string): number {
  using _ = scope();
  const side = 8192;
  const draw = () => ops.normal_(ops.zeros([side, side], { dtype: "bfloat16", device }), 0, 1);
  const [a, b] = [draw(), draw()];
  const times = (count: number) => {
    for (let i = 0; i < count; i++) ops.matmul(a, b).dispose();
    synchronize(device);
  };
  return noGrad(() => {
    times(3);
    const start = performance.now();
    times(10);
    return (10 * 2 * side ** 3) / ((performance.now() - start) / 1000) / 1e12;
  });
}

function trainingOf({ model: name, mode, device, recompute, objective }: GpuPlan): Training {
  manualSeed(0);
  const held = mode === "full" ? "float32" : "bfloat16";
  const model = noGrad(() => buildModel(gpuModelConfig(name), weightsOn(device, held, mode === "qlora")));
  const adapter = mode === "full" ? null : addAdapter(model, benchAdapterConfig);
  const parameters = mode === "full" ? trainAll(model) : adapterParameters(model);
  parameters.gather("bfloat16");
  return {
    ...{ model, adapter, parameters },
    objective:
      objective === "simpo"
        ? simpo({ beta: 2, simpo_gamma: 1, label_smoothing: 0, cpo_alpha: 0 })
        : slime(SLIME_SCRIPT),
    numerics: { dtype: "bfloat16", gradient_checkpointing: recompute, logits_chunk_size: null },
    optimizer: new AdamW(parameters, {
      adam_beta1: 0.9,
      adam_beta2: 0.999,
      adam_epsilon: 1e-8,
      weight_decay: 0,
    }),
    max_grad_norm: 1,
    reference: null,
  };
}

function run(plan: GpuPlan): GpuRecord {
  const rows = readRows(plan.workload);
  const tflops = productTflops(plan.device);
  const training = trainingOf(plan);
  const record: GpuRecord = { losses: [], seconds: [], peakMb: 0, tflops };
  const perStep = plan.pairs / plan.micro;
  for (let step = 0; step < plan.steps; step++) {
    const start = performance.now();
    // packing is part of a step
    const batches = Array.from({ length: perStep }, (_, i) =>
      batchesOf(rows, { first: step * plan.pairs + i * plan.micro, count: plan.micro }, {}),
    ).flat();
    const { loss } = trainStep(training, batches, { learningRate: 1e-5, seed: 1, log_entropy: false });
    record.seconds.push((performance.now() - start) / 1000);
    record.losses.push(loss);
  }
  return { ...record, peakMb: memoryInUse(plan.device).peak / 2 ** 20 };
}

process.stdout.write(`${JSON.stringify(run(JSON.parse(process.argv[2] ?? "{}")))}\n`);
