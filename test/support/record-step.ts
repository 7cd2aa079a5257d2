/** A step whose gradients are written down and that changes nothing. */
import type { MicroBatch } from "../../src/forward/batch.ts";
import type { Numerics } from "../../src/forward/numerics.ts";
import type { Objective } from "../../src/methods/objective.ts";
import type { Adapter } from "../../src/models/adapt.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import type { ParameterSet } from "../../src/nn/parameter-set.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { ops, type Tensor } from "../../src/torch/index.ts";
import type { ReferenceSource } from "../../src/train/completion-logps.ts";
import { type Training, trainStep } from "../../src/train/step.ts";

/** float32, nothing computed twice. */
export const plainNumerics: Numerics = {
  dtype: "float32",
  gradient_checkpointing: false,
  logits_chunk_size: null,
};

/** Records the gradients at the moment of the update and changes nothing. */
class Recorder extends AdamW {
  grads: Map<string, Tensor> = new Map();
  readonly #watched: ParameterSet;

  constructor(parameters: ParameterSet) {
    super([], { adam_beta1: 0, adam_beta2: 0, adam_epsilon: 0, weight_decay: 0 });
    this.#watched = parameters;
  }

  override step(): void {
    for (const { name, tensor: parameter } of this.#watched) {
      const grad = parameter.grad;
      if (grad !== null) this.grads.set(name, ops.clone(grad));
    }
  }
}

export interface RecordedStep {
  /** Averages of the step. */
  metrics: Record<string, number>;
  loss: number;
  norm: number;
  grads: Map<string, number[]>;
}

/** One step's loss and gradients, in plain numbers. The reference is the rows' own unless another is given. */
export function recordStep(
  model: CausalLM,
  parameters: ParameterSet,
  run: {
    objective: Objective;
    batches: MicroBatch[];
    numerics?: Numerics;
    adapter?: Adapter;
    reference?: ReferenceSource;
  },
): RecordedStep {
  const optimizer = new Recorder(parameters);
  const step = optimizer.step.bind(optimizer);
  const grads = new Map<string, number[]>();
  optimizer.step = () => {
    step();
    for (const [name, grad] of optimizer.grads) grads.set(name, grad.toNumbers());
  };
  const training: Training = {
    model,
    adapter: run.adapter ?? null,
    parameters,
    objective: run.objective,
    optimizer,
    numerics: run.numerics ?? plainNumerics,
    max_grad_norm: 0,
    reference:
      run.reference ??
      (({ packed }) => ({ referenceLogps: packed.examples.flatMap((e) => e.referenceLogps ?? []) })),
  };
  const result = trainStep(training, run.batches, { learningRate: 0, seed: 1, log_entropy: false });
  return { loss: result.loss, norm: result.gradNorm, grads, metrics: result.metrics };
}
