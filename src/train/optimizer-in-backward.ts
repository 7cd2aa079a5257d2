/** `optimizer_in_backward`: applies each parameter's update as soon as its gradient is complete, then frees the gradient. */
import { TrainingError } from "../base/errors.ts";
import type { Decoder } from "../models/causal-lm.ts";
import type { NamedParameter, ParameterSet } from "../nn/parameter-set.ts";
import type { AdamW } from "../optim/adamw.ts";
import { clipGradNorm } from "../optim/clip.ts";

/** What is updated. */
interface Updated {
  model: Decoder;
  parameters: ParameterSet;
  optimizer: AdamW;
}

/** The updates of one step. The result is that of updating all parameters at its end, without clipping. */
export class OptimizerInBackward {
  readonly #training: Updated;
  readonly #learningRate: number;
  #sumOfSquares = 0;
  #hasUpdated = false;

  constructor(training: Updated, learningRate: number) {
    this.#training = training;
    this.#learningRate = learningRate;
  }

  /** Updates the parameters whose gradients are complete: all that have one but the embedding's table, which gets its last at the end of the pass. */
  updateReady(): void {
    const { model, parameters } = this.#training;
    const table = model.model.embed_tokens.table.handle;
    this.#update(parameters.shards.filter(({ tensor }) => tensor.handle !== table));
  }

  /** Updates what is left, and gives the joint norm of all gradients; NaN, and no update, where the loss was not finite. */
  finish(isLossFinite: boolean): number {
    if (!isLossFinite) return Number.NaN;
    this.#update(this.#training.parameters.shards);
    return Math.sqrt(this.#sumOfSquares);
  }

  /**
   * @throws {TrainingError} if a gradient is not finite and others have been used already: half a step is no step
   */
  #update(parameters: readonly NamedParameter[]): void {
    const present = parameters.filter(({ tensor }) => tensor.grad !== null);
    if (present.length === 0) return;
    const grads = present.flatMap(({ tensor: { grad } }) => (grad === null ? [] : [grad]));
    const norm = clipGradNorm(grads, 0)?.item() ?? 0;
    this.#sumOfSquares += norm ** 2;
    if (Number.isFinite(norm)) {
      this.#training.optimizer.step(this.#learningRate, { only: new Set(present.map(({ name }) => name)) });
      this.#hasUpdated = true;
    } else if (this.#hasUpdated) {
      throw new TrainingError(
        `The gradient of ${present[0]?.name} is not finite, and weights above it have been updated already: with ` +
          "optimizer_in_backward a step cannot be taken back. Resume from the last checkpoint with optimizer_in_backward: false, " +
          "where such a step is skipped whole.",
      );
    }
    for (const { tensor } of present) tensor.grad = null;
  }
}
