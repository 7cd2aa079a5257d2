/**
 * Low-rank adapters as a replacement pass over a built model: chosen projections become `LoraLinear`s around the same
 * frozen base, and modules to be trained in full get a float32 copy.
 */
import { type DType, inType, isGradEnabled, noGrad, ops, scope, type Tensor } from "../torch/index.ts";
import { cast, Embedding, Linear } from "./linear.ts";
import { type DenseProjection, isDense, type Projection } from "./module.ts";

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
  /** α: the product is scaled by α/r (0: the base alone), or α/√r with `useRslora` (Kalajdzievski 2023, arXiv:2312.03732). */
  alpha: number;
  /** Probability of dropping an input feature of the adapter in training. */
  dropout: number;
  /** 32 bits that make this adapter's masks differ from those of the others. */
  dropoutSeed: number;
  useRslora: boolean;
  /** Learn magnitude and direction separately (Liu et al. 2024, arXiv:2402.09353). */
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
  /** (r, in), float32 */
  lora_A: Tensor;
  /** (out, r), float32 */
  lora_B: Tensor;
  /** (out), float32; null without DoRA */
  lora_magnitude_vector: Tensor | null;
  // private, so that the base's tensors are not listed beside the adapter's
  readonly #base: Projection;
  readonly #scale: number;
  readonly #dropout: Pick<LoraOptions, "dropout" | "dropoutSeed">;
  readonly #switch: AdapterSwitch;

  /** Starts as the identity: A uniform in ±1/√in, B zero, the magnitude that of W₀. */
  constructor(base: Projection, options: LoraOptions, adapters: AdapterSwitch) {
    this.#base = base;
    this.#scale = options.alpha / (options.useRslora ? Math.sqrt(options.rank) : options.rank);
    this.#dropout = options;
    this.#switch = adapters;
    this.lora_A = this.initial("A", options.rank);
    this.lora_B = this.initial("B", options.rank);
    this.lora_magnitude_vector = options.useDora ? this.initial("magnitude", options.rank) : null;
  }

  /** A tensor of the adapter as it starts, where the base is. A is drawn from torch's generator. */
  initial(part: "A" | "B" | "magnitude", rank: number): Tensor {
    const [out, input] = this.#base.shape;
    const where = { dtype: "float32", device: this.#base.device } as const;
    if (part === "magnitude") {
      using own = scope();
      return own.keep(rowNorms(this.#base.dense("float32")));
    }
    if (part === "B") return ops.zeros([out, rank], where);
    const bound = 1 / Math.sqrt(input);
    return ops.uniform_(ops.zeros([rank, input], where), -bound, bound);
  }

  get shape(): readonly [number, number] {
    return this.#base.shape;
  }

  get device(): string {
    return this.#base.device;
  }

  get bias(): Tensor | null {
    return this.#base.bias;
  }

  /** x: (T, in) -> (T, out) */
  forward(x: Tensor): Tensor {
    const plain = this.#plainWeight(x);
    if (plain !== null) return ops.loraLinear(x, plain, this.lora_A, this.lora_B, this.#scale);
    const half = this.#halfWeight(x);
    if (half !== null) return this.#forwardInHalf(x, half);
    const magnitude = this.lora_magnitude_vector;
    if (magnitude !== null && this.#acts) return this.#forwardWithMagnitude(x, magnitude);
    const base = this.#base.forward(x);
    if (!this.#acts) return base;
    const low = this.#low(x);
    // one product that adds into the base's output instead of three passes over it
    return ops.addmm_(base, low, ops.t(cast(this.lora_B, x)), { alpha: this.#scale });
  }

  /** DoRA. What its graph does not need is freed here: a block would hold six outputs of each of its linears. */
  #forwardWithMagnitude(x: Tensor, magnitude: Tensor): Tensor {
    using own = scope();
    const base = this.#base.forward(x);
    const input = this.#dropped(x);
    const low = ops.linear(input, cast(this.lora_A, x));
    const update = ops.mul(ops.linear(low, cast(this.lora_B, x)), this.#scale);
    const gain = cast(ops.div(magnitude, this.#directionNorm()), x);
    // by the base, which frees the matrix that it makes of numbers in few bits
    const product = this.#withoutBias(input === x ? base : this.#base.forward(input));
    const change = ops.add(ops.mul(product, ops.sub(gain, 1)), ops.mul(update, gain));
    return own.keep(ops.add(base, change));
  }

  /**
   * W₀ where W₀ + sBA may be computed as one matrix, otherwise null. Not in half precision: a small adapter would be lost in
   * the sum's rounding.
   */
  #plainWeight(x: Tensor): Tensor | null {
    if (!isDense(this.#base) || !this.#acts || this.#drops) return null;
    const { weight, bias } = this.#base;
    const single = x.dtype === "float32" && weight.dtype === "float32";
    const plain = bias === null && this.lora_magnitude_vector === null && !weight.requiresGrad;
    return single && plain ? weight : null;
  }

  /** W₀ in half precision where one operator does base and adapter with their gradients, in training; otherwise null. */
  #halfWeight(x: Tensor): Tensor | null {
    if (!isDense(this.#base) || !this.#acts || !isGradEnabled()) return null;
    // with dropout the CPU keeps no dropped input, as this operator would
    if (this.#drops && this.device === "cpu") return null;
    const { weight, bias } = this.#base;
    const isHalf = (x.dtype === "bfloat16" || x.dtype === "float16") && weight.dtype === x.dtype;
    const plain = bias === null && this.lora_magnitude_vector === null && !weight.requiresGrad;
    return isHalf && plain ? weight : null;
  }

  #forwardInHalf(x: Tensor, weight: Tensor): Tensor {
    const [a, b] = [this.lora_A, this.lora_B];
    const typed = (factor: Tensor) => noGrad(() => cast(factor, x));
    const dropped = this.#drops ? this.#dropped(x) : null;
    return ops.loraLinearHalf(x, dropped, weight, a, b, typed(a), typed(b), this.#scale);
  }

  /** At α = 0 the model is the start bit for bit, whatever is in A and B. */
  get #acts(): boolean {
    return this.#switch.enabled && this.#scale !== 0;
  }

  get #drops(): boolean {
    return this.#switch.dropoutKeys !== null && this.#dropout.dropout > 0;
  }

  /** A of the adapter's input: (T, in) -> (T, r) */
  #low(x: Tensor): Tensor {
    const { dropoutKeys } = this.#switch;
    if (dropoutKeys === null || !this.#drops) return ops.linear(x, cast(this.lora_A, x));
    return ops.droppedProduct(x, dropoutKeys, this.lora_A, this.#dropout.dropoutSeed, this.#dropout.dropout);
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
    using own = scope();
    return own.keep(rowNorms(this.#direction()));
  }

  #direction(): Tensor {
    const scaled = ops.mul(ops.detach(this.lora_B), this.#scale);
    return ops.add_(ops.matmul(scaled, ops.detach(this.lora_A)), ops.detach(this.#base.dense("float32")));
  }

  /** The one matrix that does the same as base and adapter together, summed in float32; the base's while adapters are off. */
  dense(dtype: DType): Tensor {
    if (!this.#acts) return this.#base.dense(dtype);
    using merging = scope();
    const direction = this.#direction();
    if (this.lora_magnitude_vector === null) return merging.keep(ops.to(direction, dtype));
    const gain = ops.div(this.lora_magnitude_vector, rowNorms(direction));
    return merging.keep(ops.to(ops.mul(direction, ops.unsqueeze(ops.detach(gain), 1)), dtype));
  }
}

/** ‖W‖ per row of a float32 matrix, without gradient. */
function rowNorms(weight: Tensor): Tensor {
  return ops.linalgVectorNorm(ops.detach(weight), 2, [1]);
}

/** A linear trained in full beside an adapter (PEFT's `modules_to_save`): a copy, while the base keeps its own weight. */
export class SavedLinear implements DenseProjection {
  /** (out, in): the copy while adapters act, otherwise the base's. */
  get weight(): Tensor {
    if (this.#switch.enabled) return this.saved;
    return isDense(this.#base) ? this.#base.weight : this.#base.dense("float32");
  }

  get shape(): readonly [number, number] {
    return this.#base.shape;
  }

  get device(): string {
    return this.#base.device;
  }

  /** (out): the copy while adapters act, otherwise the base's. */
  get bias(): Tensor | null {
    return this.#switch.enabled ? this.savedBias : this.#base.bias;
  }

  /** (out, in) float32, trained. */
  saved: Tensor;
  /** (out) float32, trained; null where the base has none. */
  savedBias: Tensor | null;
  // private, so that the base's tensors are not listed beside the copy
  readonly #base: Projection;
  readonly #switch: AdapterSwitch;

  constructor(base: Projection, adapters: AdapterSwitch) {
    this.#base = base;
    this.#switch = adapters;
    this.saved = this.initial();
    this.savedBias = this.initialBias();
  }

  /** The copy as it starts: the base's weight. */
  initial(): Tensor {
    return ops.clone(ops.detach(this.#base.dense("float32")));
  }

  /** The copy of the bias as it starts; null where there is none. */
  initialBias(): Tensor | null {
    const { bias } = this.#base;
    return bias === null ? null : ops.clone(ops.to(ops.detach(bias), "float32"));
  }

  /** The weight in `dtype`. */
  dense(dtype: DType): Tensor {
    return this.#switch.enabled ? inType(this.saved, dtype) : this.#base.dense(dtype);
  }

  /** x: (T, in) -> (T, out) */
  forward(x: Tensor): Tensor {
    return this.#switch.enabled ? new Linear(this.saved, this.bias).forward(x) : this.#base.forward(x);
  }
}

/** An embedding trained in full beside an adapter. */
export class SavedEmbedding extends Embedding {
  saved: Tensor;
  readonly #switch: AdapterSwitch;

  constructor(base: Embedding, adapters: AdapterSwitch) {
    super(base.weight, base.paddingRow);
    this.#switch = adapters;
    this.saved = this.initial();
  }

  /** The copy as it starts: the base's table. */
  initial(): Tensor {
    return ops.clone(ops.to(ops.detach(this.weight), "float32"));
  }

  override get table(): Tensor {
    return this.#switch.enabled ? this.saved : this.weight;
  }
}
