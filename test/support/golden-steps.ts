/** Whole steps of SFT with AdamW, as transformers, PEFT and torch take those of the goldens. */
import { sft } from "../../src/methods/sft/loss.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { scope } from "../../src/torch/index.ts";
import { type StepResult, type Training, trainStep } from "../../src/train/step.ts";
import type { microBatch } from "./fixtures.ts";

/** A run of the goldens. */
export interface GoldenRun {
  learningRate: number;
  weightDecay: number;
  maxGradNorm: number;
  losses: number[];
  gradNorms: number[];
}

/** The training of such a run. */
export function goldenTraining(
  run: GoldenRun,
  trained: Pick<Training, "model" | "adapter" | "parameters">,
  gradient_checkpointing: boolean = false,
): Training {
  const options = { adam_beta1: 0.9, adam_beta2: 0.999, adam_epsilon: 1e-8, weight_decay: run.weightDecay };
  return {
    ...trained,
    objective: sft(),
    optimizer: new AdamW(trained.parameters, options),
    numerics: { dtype: "float32", gradient_checkpointing, logits_chunk_size: null },
    max_grad_norm: run.maxGradNorm,
    reference: null,
  };
}

/** Results of as many steps as the run has, each over all batches. */
export function goldenSteps(
  run: GoldenRun,
  training: Training,
  batches: readonly ReturnType<typeof microBatch>[],
): StepResult[] {
  return run.losses.map(() => {
    using _ = scope();
    return trainStep(training, batches, { learningRate: run.learningRate, seed: 1, log_entropy: false });
  });
}
