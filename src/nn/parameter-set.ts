/**
 * The trained tensors of a model: the one list that the walk, the optimiser, clipping, checkpoints and half copies share.
 *
 * A process updates its shards and computes with gathered tensors. With one process a shard is the complete tensor, and
 * `gather` has nothing to do but for copies in half precision.
 */
import { type DType, holdCopy, noGrad, ops, type Tensor } from "../torch/index.ts";
import { namedTensors } from "./module.ts";

/** A parameter under its checkpoint name. */
export interface NamedParameter {
  name: string;
  /** float32 */
  tensor: Tensor;
  /** Whether weight decay applies to it; left out: by name and shape (`decays`). */
  decays?: boolean;
}

/** The tensors that a run trains; iterated over, its shards. */
export class ParameterSet implements Iterable<NamedParameter> {
  /** What this process updates, in the order of the model. */
  readonly shards: readonly NamedParameter[];
  readonly #complete: readonly NamedParameter[];
  readonly #tensors: ReadonlySet<Tensor>;
  readonly #factors: readonly Tensor[];
  #copies: readonly Tensor[] = [];

  /**
   * @param tensors - of the model
   * @param factors - those of them that activations are multiplied by
   * @param shards - what of them this process updates; left out: all of them as they are
   */
  constructor(
    tensors: readonly NamedParameter[],
    factors: readonly Tensor[] = [],
    shards: readonly NamedParameter[] = tensors,
  ) {
    this.shards = shards;
    this.#complete = tensors;
    this.#tensors = new Set(tensors.map(({ tensor }) => tensor));
    this.#factors = factors.filter((factor) => this.#tensors.has(factor));
  }

  [Symbol.iterator](): Iterator<NamedParameter> {
    return this.shards[Symbol.iterator]();
  }

  /** The complete tensors by name, for checkpoints and exports. */
  get tensors(): ReadonlyMap<string, Tensor> {
    return new Map(this.#complete.map(({ name, tensor }) => [name, tensor]));
  }

  /** Numbers in all tensors. */
  get numel(): number {
    return this.#complete.reduce((sum, { tensor }) => sum + tensor.numel, 0);
  }

  /** Whether a tensor of `module` is trained. */
  trains(module: object): boolean {
    for (const [, tensor] of namedTensors(module)) if (this.#tensors.has(tensor)) return true;
    return false;
  }

  /** The float32 gradient of one of the tensors, made of zeros when it has none yet. */
  gradOf(tensor: Tensor): Tensor {
    const existing = tensor.grad;
    if (existing !== null) return existing;
    const zeros = noGrad(() => ops.zerosLike(ops.detach(tensor)));
    tensor.grad = zeros;
    return zeros;
  }

  /** The gradients of the shards that have one. */
  grads(): Tensor[] {
    return this.shards.flatMap(({ tensor: { grad } }) => (grad === null ? [] : [grad]));
  }

  /** Drops all gradients. */
  clearGrads(): void {
    for (const { tensor } of this.shards) tensor.grad = null;
  }

  /**
   * Makes the tensors ready to be computed with in `dtype`: those that activations are multiplied by get a copy in that type,
   * which is made again at the first use after a change. In float32 nothing is made.
   *
   * @returns the copies, which live until `release`
   */
  gather(dtype: DType): readonly Tensor[] {
    this.release();
    this.#copies = this.#factors
      .filter((factor) => factor.dtype !== dtype)
      .map((factor) => holdCopy(factor, dtype));
    return this.#copies;
  }

  /** Frees what `gather` made. */
  release(): void {
    for (const copy of this.#copies) copy.dispose();
    this.#copies = [];
  }
}
