/**
 * Low-rank adapters as a replacement pass over a built model: chosen linears become `LoraLinear`s around the same frozen
 * weight, and modules to be trained in full get a copy of their own.
 */
import { ops, scope, type Tensor } from "../torch/index.ts";
import { cast, Embedding, Linear } from "./linear.ts";
import type { Projection } from "./module.ts";

/** Shared by all adapters of a model: whether they act, and the batch's part in their dropout. */
export interface AdapterSwitch {
  enabled: boolean;
  /** (2, T) int32 in training: two words a token, from which every adapter makes its mask. Null: nothing is dropped. */
  dropoutKeys: Tensor | null;
}

/** Hyperparameters of one adapter. */
export interface LoraOptions {
  /** r > 0 */
  rank: number;
  /** α: the product is scaled by α/r, or α/√r with `useRslora` (Kalajdzievski 2023, arXiv:2312.03732). */
  alpha: number;
  /** Probability of dropping an input feature of the adapter in training. */
  dropout: number;
  /** 32 bits that tell this adapter's masks from those of the model's others. */
  dropoutSeed: number;
  useRslora: boolean;
  /** Learn magnitude and direction apart (Liu et al. 2024, arXiv:2402.09353). */
  useDora: boolean;
}

/**
 * x ↦ W₀x + s·BAx, W₀ frozen.
 *
 * Paper: Hu et al. 2021, arXiv:2106.09685, Eq. (3), s = α/r. With DoRA (arXiv:2402.09353, Eq. (5), (11))
 *   x ↦ m/‖W₀ + sBA‖ · (W₀ + sBA)x, the norm per output row and taken as a constant in the gradient.
 * Numerics: A and B are float32 whatever W₀ is; they are rounded to the activations' type for the product.
 */
export class LoraLinear implements Projection {
  weight: Tensor;
  bias: Tensor | null;
  /** (r, in), float32 */
  lora_A: Tensor;
  /** (out, r), float32 */
  lora_B: Tensor;
  /** (out), float32; null without DoRA */
  lora_magnitude_vector: Tensor | null;
  readonly #scale: number;
  readonly #dropout: Pick<LoraOptions, "dropout" | "dropoutSeed">;
  readonly #switch: AdapterSwitch;

  /** Starts as the identity: A uniform in ±1/√in, B zero, the magnitude that of W₀. */
  constructor(base: Projection, options: LoraOptions, adapters: AdapterSwitch) {
    const [out, input] = [base.weight.size(0), base.weight.size(1)];
    const where = { dtype: "float32", device: base.weight.device } as const;
    const bound = 1 / Math.sqrt(input);
    this.weight = base.weight;
    this.bias = base.bias;
    this.lora_A = ops.uniform_(ops.zeros([options.rank, input], where), -bound, bound);
    this.lora_B = ops.zeros([out, options.rank], where);
    this.lora_magnitude_vector = options.useDora ? rowNorms(base.weight) : null;
    this.#scale = options.alpha / (options.useRslora ? Math.sqrt(options.rank) : options.rank);
    this.#dropout = options;
    this.#switch = adapters;
  }

  /** x: (T, in) -> (T, out) */
  forward(x: Tensor): Tensor {
    if (this.#isPlain(x)) return ops.loraLinear(x, this.weight, this.lora_A, this.lora_B, this.#scale);
    const base = ops.linear(x, cast(this.weight, x), this.bias === null ? null : cast(this.bias, x));
    if (!this.#switch.enabled) return base;
    const input = this.#dropped(x);
    const low = ops.linear(input, cast(this.lora_A, x));
    const up = cast(this.lora_B, x);
    // one product that adds into the base's output, in place of three passes over it
    if (this.lora_magnitude_vector === null) return ops.addmm_(base, low, ops.t(up), { alpha: this.#scale });
    const update = ops.mul(ops.linear(low, up), this.#scale);
    const gain = cast(ops.div(this.lora_magnitude_vector, this.#directionNorm()), x);
    const turned = input !== x ? ops.linear(input, cast(this.weight, x)) : this.#withoutBias(base);
    const change = ops.add(ops.mul(turned, ops.sub(gain, 1)), ops.mul(update, gain));
    return ops.add(base, change);
  }

  /**
   * Whether W₀ + sBA may be made as one matrix. Not in half precision: a small adapter would be lost in the sum's rounding.
   */
  #isPlain(x: Tensor): boolean {
    const single = x.dtype === "float32" && this.weight.dtype === "float32";
    const plain = this.bias === null && this.lora_magnitude_vector === null && !this.weight.requiresGrad;
    return this.#switch.enabled && !this.#drops && single && plain;
  }

  get #drops(): boolean {
    return this.#switch.dropoutKeys !== null && this.#dropout.dropout > 0;
  }

  /** The adapter's input in training; x itself where nothing is dropped. */
  #dropped(x: Tensor): Tensor {
    const { dropoutKeys } = this.#switch;
    if (dropoutKeys === null || !this.#drops) return x;
    return ops.tokenDropout(x, dropoutKeys, this.#dropout.dropoutSeed, this.#dropout.dropout);
  }

  #withoutBias(y: Tensor): Tensor {
    return this.bias === null ? y : ops.sub(y, cast(this.bias, y));
  }

  /** ‖W₀ + sBA‖ per output row, (out), without gradient. */
  #directionNorm(): Tensor {
    return ops.detach(rowNorms(this.#direction()));
  }

  #direction(): Tensor {
    const product = ops.mul(ops.matmul(ops.detach(this.lora_B), ops.detach(this.lora_A)), this.#scale);
    return ops.add(ops.to(this.weight, "float32"), product);
  }

  /** The one matrix that does the same as base and adapter together, float32, (out, in). */
  mergedWeight(): Tensor {
    using merging = scope();
    const direction = this.#direction();
    if (this.lora_magnitude_vector === null) return merging.keep(direction);
    const gain = ops.div(this.lora_magnitude_vector, rowNorms(direction));
    return merging.keep(ops.mul(direction, ops.unsqueeze(ops.detach(gain), 1)));
  }
}

function rowNorms(weight: Tensor): Tensor {
  return ops.linalgVectorNorm(ops.to(ops.detach(weight), "float32"), 2, [1]);
}

/** A linear trained in full beside an adapter (PEFT's `modules_to_save`): a copy, while the base keeps its own weight. */
export class SavedLinear implements Projection {
  /** (out, in): the copy while adapters act, else the base's. */
  get weight(): Tensor {
    return this.#switch.enabled ? this.saved : this.#base.weight;
  }

  get bias(): Tensor | null {
    return this.#base.bias;
  }

  /** (out, in) float32, trained. */
  saved: Tensor;
  // private, so that the base's tensors are not listed beside the copy
  readonly #base: Projection;
  readonly #switch: AdapterSwitch;

  constructor(base: Projection, adapters: AdapterSwitch) {
    this.#base = base;
    this.saved = ops.clone(ops.to(ops.detach(base.weight), "float32"));
    this.#switch = adapters;
  }

  /** x: (T, in) -> (T, out) */
  forward(x: Tensor): Tensor {
    return new Linear(this.weight, this.bias).forward(x);
  }
}

/** An embedding trained in full beside an adapter. */
export class SavedEmbedding extends Embedding {
  saved: Tensor;
  readonly #switch: AdapterSwitch;

  constructor(base: Embedding, adapters: AdapterSwitch) {
    super(base.weight);
    this.saved = ops.clone(ops.to(ops.detach(base.weight), "float32"));
    this.#switch = adapters;
  }

  override get table(): Tensor {
    return this.#switch.enabled ? this.saved : this.weight;
  }
}
