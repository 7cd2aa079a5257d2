/** Gradients of single pairs with respect to the weights that move, by the same walk over the model that training takes. */
import { type Example, packExamples } from "preftune/data";
import type { Objective } from "preftune/methods";
import { backward, noGrad, ops, scope, type Tensor, tensor } from "preftune/torch";
import {
  allCompletions,
  completionLogps,
  countsOf,
  type DeviceBatch,
  evaluateObjective,
  type MicroBatch,
  type Numerics,
  objectiveType,
  ParameterSet,
  scoreBatch,
  type TrainedModel,
  toDevice,
  tokenLogpsHead,
  walk,
} from "preftune/train";

/** Gradients at one pair, each as long as there are weights that move. */
export interface Probe {
  /** ∇l_w. */
  chosen: Float32Array;
  /** ∇l_l. */
  rejected: Float32Array;
  /** −∇L of this pair alone. */
  descent: Float32Array;
  /** −∂L/∂l_w. */
  pull: number;
}

/** All that are trained, or of full tuning those of the last block. */
export type MovingWeights = "last block" | "all";

/** Takes gradients of a model's pairs. Its other weights stand still. */
export class PairGradients {
  readonly weights: number;
  readonly #trained: TrainedModel;
  readonly #objective: Objective;
  readonly #numerics: Numerics;
  readonly #moving: ParameterSet;

  /** @param options - `moves: "all"`: every trained weight, where full tuning otherwise moves those of the last block */
  constructor(
    trained: TrainedModel,
    objective: Objective,
    numerics: Numerics,
    { moves = "last block" }: { moves?: MovingWeights } = {},
  ) {
    this.#trained = trained;
    this.#objective = objective;
    this.#numerics = numerics;
    this.#moving = moves === "all" ? trained.parameters : movingOf(trained);
    const moving = new Set(this.#moving);
    for (const parameter of trained.parameters) parameter.tensor.requiresGrad = moving.has(parameter);
    this.weights = this.#moving.numel;
  }

  /** Sums of the answers' log-probs, chosen and rejected in turn. */
  sums(examples: readonly Example[]): number[] {
    return this.#scores(examples).map(({ sum }) => sum);
  }

  /** l_w of each pair, nats per token. */
  chosenMeans(examples: readonly Example[]): number[] {
    return this.#scores(examples).flatMap(({ completion, sum, logps }) =>
      completion === 0 ? [sum / logps.length] : [],
    );
  }

  #scores(examples: readonly Example[]): ReturnType<typeof scoreBatch> {
    // one at a time: what else is in a batch changes the last bits of a sum, and changes are small here
    return examples.flatMap((example) => scoreBatch(this.#trained.model, batchOf([example]), this.#numerics));
  }

  /** The gradients at one pair; `reference` has the sums of its two answers. */
  probe(example: Example, reference: readonly number[]): Probe {
    const chosen = this.mean([example], 0);
    const rejected = this.mean([example], 1);
    let pull = 0;
    this.#goBack([example], (batch, logps) => {
      const weights = this.#descentWeights(batch, logps, reference);
      const span = batch.spans[0];
      pull =
        span === undefined ? Number.NaN : weights.subarray(span.start, span.end).reduce((a, b) => a + b, 0);
      return weights;
    });
    return { chosen, rejected, descent: this.#takeGradients(), pull };
  }

  /** ∇ of the mean of l_w over the pairs, or with `side` 1 of l_l. */
  mean(examples: readonly Example[], side: 0 | 1): Float32Array {
    for (const example of examples) {
      this.#goBack([example], (batch) => {
        const weights = new Float32Array(batch.targets.numel);
        const span = batch.spans[side];
        const share = span === undefined ? Number.NaN : 1 / (examples.length * (span.end - span.start));
        if (span !== undefined) weights.fill(share, span.start, span.end);
        return weights;
      });
    }
    return this.#takeGradients();
  }

  /** −∇L of all the pairs together. */
  direction(examples: readonly Example[], reference: readonly number[]): Float32Array {
    this.#goBack(examples, (batch, logps) => this.#descentWeights(batch, logps, reference));
    return this.#takeGradients();
  }

  /** What `look` gives while the weights are moved by `step` times `direction`; they are put back. */
  stepped<T>(direction: Float32Array, step: number, look: () => T): T {
    using _ = scope();
    const kept = this.#moving.shards.map(({ tensor: weight }) => noGrad(() => ops.clone(ops.detach(weight))));
    let from = 0;
    for (const { tensor: weight } of this.#moving) {
      const part = direction.slice(from, from + weight.numel);
      from += part.length;
      const change = ops.to(tensor(part, weight.shape), weight.device, weight.dtype);
      noGrad(() => ops.add_(ops.detach(weight), ops.mul(change, step)));
    }
    try {
      return look();
    } finally {
      this.#moving.shards.forEach(({ tensor: weight }, i) => {
        noGrad(() => ops.copy_(ops.detach(weight), kept[i] as Tensor));
      });
    }
  }

  /** −∂L/∂logp of every response token. */
  #descentWeights(batch: DeviceBatch, logps: Tensor, reference: readonly number[]): Float32Array {
    const leaf = ops.detach(ops.to(logps, objectiveType(logps.device)));
    leaf.requiresGrad = true;
    const objective = this.#objective;
    const columns = { referenceLogps: [...reference] };
    const completions = completionLogps(objective, leaf, allCompletions(batch), columns);
    const counts = countsOf(batch.spans, objective.over);
    backward([evaluateObjective(objective, completions, { ...counts, micro: counts }).loss]);
    const grad = leaf.grad;
    if (grad === null) return new Float32Array(logps.numel);
    return Float32Array.from(grad.toNumbers(), (x) => -x);
  }

  /** Adds Σ over response tokens of `weightsOf` times ∇logp to the gradients. */
  #goBack(
    examples: readonly Example[],
    weightsOf: (batch: DeviceBatch, logps: Tensor) => Float32Array,
  ): void {
    using _ = scope();
    const { model } = this.#trained;
    const batch = toDevice(batchOf(examples).packed, model.device);
    const head = tokenLogpsHead(model, { ...this.#numerics, entropies: false });
    const pass = walk(model, batch, head, { ...this.#numerics, trained: this.#moving });
    const tokens = pass.head(allCompletions(batch));
    const weights = weightsOf(batch, tokens.logps);
    tokens.backward(ops.to(tensor(weights), model.device, "float32"));
    pass.backward();
  }

  #takeGradients(): Float32Array {
    using _ = scope();
    const all = new Float32Array(this.weights);
    let at = 0;
    for (const { tensor: weight } of this.#moving) {
      const { grad } = weight;
      if (grad !== null) all.set(ops.to(ops.detach(grad), "cpu", "float32").data() as Float32Array, at);
      at += weight.numel;
      weight.grad = null;
    }
    return all;
  }
}

/** Σ of products, added in float64. */
export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

/** The adapter's weights, or those of the last block. */
function movingOf({ model, adapter, parameters }: TrainedModel): ParameterSet {
  if (adapter !== null) return parameters;
  const last = `model.layers.${model.model.layers.length - 1}.`;
  return new ParameterSet(parameters.shards.filter(({ name }) => name.startsWith(last)));
}

function batchOf(examples: readonly Example[]): MicroBatch {
  return { packed: packExamples(examples), indices: examples.map((_, i) => i) };
}
