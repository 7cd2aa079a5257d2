/** AdamW (Loshchilov & Hutter 2017, arXiv:1711.05101): averages in float32 (torch's fused kernel), bfloat16 or 8 bits. */
import { decays } from "../formats/adapter-names.ts";
import { least8BitNumel, stateBlock } from "../formats/bits-and-bytes.ts";
import type { NamedParameter } from "../nn/parameter-set.ts";
import { noGrad, onDevice, ops, scope, type Tensor, tensor } from "../torch/index.ts";
import {
  kernelStep,
  plainStep,
  type State8,
  type StateCodes,
  type StepRates,
  stateCodes,
  type Updated8,
} from "./adamw-8bit.ts";

/** Hyperparameters of `torch.optim.AdamW`, under the names of a run's configuration. */
export interface AdamWOptions {
  /** Averages in float32, in bfloat16 rounded at random, or in 8 bits. Left out: float32. */
  optim?: "adamw_torch_fused" | "adamw_bf16" | "adamw_8bit";
  adam_beta1: number;
  adam_beta2: number;
  adam_epsilon: number;
  /** Decoupled decay of the parameters in the decaying group. */
  weight_decay: number;
}

interface Group {
  parameters: NamedParameter[];
  decay: number;
}

interface WholeState {
  /** Exponential averages of the gradient and its square, like the parameter: float32 or bfloat16. */
  average: Tensor;
  square: Tensor;
  /** () float32: steps taken. */
  step: Tensor;
  /** Which of the parameters it is: it decides how bfloat16 is rounded. */
  index: number;
}

type State = WholeState | State8;

/** A parameter that is updated. */
interface Updated<S extends State = State> {
  parameter: Tensor;
  grad: Tensor;
  state: S;
}

/**
 * The optimiser over a fixed list of parameters. Matrices and DoRA magnitudes decay, other vectors (norms, biases) do not.
 *
 * Numerics: equals `torch.optim.AdamW(fused=True)`; with `adamw_8bit` bitsandbytes' `AdamW8bit`, a tensor of fewer than 4,096
 * numbers as the former. Differs: transformers keeps the averages of embeddings in float32, here they are in 8 bits too.
 */
export class AdamW {
  readonly #groups: Group[];
  readonly #states: Map<string, State> = new Map();
  readonly #options: AdamWOptions;
  /** By device. */
  readonly #codes: Map<string, StateCodes> = new Map();

  constructor(trained: Iterable<NamedParameter>, options: AdamWOptions) {
    const parameters = [...trained];
    const doesDecay = ({ name, tensor: { shape }, ...p }: NamedParameter) =>
      p.decays ?? decays({ name, shape });
    this.#groups = [
      { parameters: parameters.filter(doesDecay), decay: options.weight_decay },
      { parameters: parameters.filter((p) => !doesDecay(p)), decay: 0 },
    ];
    this.#options = options;
    for (const { name, tensor: parameter } of parameters) {
      const isLarge = parameter.numel >= least8BitNumel;
      const in8Bits = options.optim === "adamw_8bit" && isLarge;
      const dtype = options.optim === "adamw_bf16" && isLarge ? "bfloat16" : "float32";
      const index = this.#states.size;
      this.#states.set(name, in8Bits ? freshState8(parameter) : freshState(parameter, dtype, index));
      const { device } = parameter;
      if (in8Bits && !this.#codes.has(device)) this.#codes.set(device, stateCodes(device));
    }
  }

  /**
   * Applies the parameters' `grad`s at `learningRate`; parameters without one are left alone.
   *
   * @param options - `only`: some of the parameters, by name; default: all. `skipped`: () float32 on the device, 1 when
   *   nothing is to change, state included, else 0: decided there, so that the computer need not wait for the device
   */
  step(learningRate: number, options: { only?: ReadonlySet<string>; skipped?: Tensor } = {}): void {
    using _ = scope();
    const { only, skipped = null } = options;
    // before any change: a device whose memory runs out here has changed nothing
    const taken = skipped === null ? tensor([1], []) : noGrad(() => ops.sub(1, skipped));
    const { adam_beta1, adam_beta2, adam_epsilon } = this.#options;
    const betas = { beta1: adam_beta1, beta2: adam_beta2, eps: adam_epsilon };
    for (const group of this.#groups) {
      const present = group.parameters.flatMap(({ name, tensor: parameter }): Updated[] => {
        const grad = only === undefined || only.has(name) ? parameter.grad : null;
        return grad === null ? [] : [{ parameter, grad, state: this.#states.get(name) as State }];
      });
      if (present.length === 0) continue;
      const rates = { ...betas, lr: learningRate, weightDecay: group.decay };
      noGrad(() => {
        const steps = present.map(({ state }) => state.step);
        ops._foreachAdd_(
          steps,
          steps.map((one) => onDevice(taken, one.device, "float32")),
        );
        const whole = present.filter(isWhole);
        stepFused(whole.filter(isSingle), rates, skipped);
        stepBf16(
          whole.filter((updated) => !isSingle(updated)),
          rates,
          skipped,
        );
        this.#step8(present.filter(has8Bits), rates, skipped);
      });
    }
  }

  #step8(present: readonly Updated8[], rates: StepRates, skipped: Tensor | null): void {
    for (const [device, codes] of this.#codes) {
      const there = present.filter(({ parameter }) => parameter.device === device);
      if (there.length === 0) continue;
      if (device !== "cpu") for (const updated of there) plainStep(updated, { codes, rates }, skipped);
      else if (skipped === null || skipped.item() === 0) kernelStep(there, codes, rates);
    }
  }

  /** Frees its state. */
  [Symbol.dispose](): void {
    for (const [, state] of this.stateTensors()) state.dispose();
    for (const codes of this.#codes.values()) codes[Symbol.dispose]();
    this.#codes.clear();
  }

  /** Every tensor of the optimiser's state under the names of torch's or bitsandbytes' state dict, for checkpoints. */
  *stateTensors(): Generator<[string, Tensor]> {
    for (const [name, state] of this.#states) {
      if ("average" in state) {
        yield [`${name}.exp_avg`, state.average];
        yield [`${name}.exp_avg_sq`, state.square];
      } else {
        yield [`${name}.state1`, state.state1];
        yield [`${name}.absmax1`, state.absmax1];
        yield [`${name}.state2`, state.state2];
        yield [`${name}.absmax2`, state.absmax2];
      }
      yield [`${name}.step`, state.step];
    }
  }
}

function isWhole(updated: Updated): updated is Updated<WholeState> {
  return "average" in updated.state;
}

function has8Bits(updated: Updated): updated is Updated<State8> {
  return !isWhole(updated);
}

function isSingle({ state }: Updated<WholeState>): boolean {
  return state.average.dtype === "float32";
}

/** The averages rounded to bfloat16 at random: in the mean they are those of float32. */
function stepBf16(present: readonly Updated<WholeState>[], rates: StepRates, foundInf: Tensor | null): void {
  if (present.length === 0) return;
  const states = present.map(({ state }) => state);
  ops.adamwBf16_(
    present.map(({ parameter }) => parameter),
    present.map(({ grad }) => grad),
    states.map(({ average }) => average),
    states.map(({ square }) => square),
    states.map(({ step }) => step),
    states.map(({ index }) => index),
    { ...rates, foundInf },
  );
}

function stepFused(present: readonly Updated<WholeState>[], rates: StepRates, foundInf: Tensor | null): void {
  if (present.length === 0) return;
  const states = present.map(({ state }) => state);
  ops._fusedAdamw_(
    present.map(({ parameter }) => parameter),
    present.map(({ grad }) => grad),
    states.map(({ average }) => average),
    states.map(({ square }) => square),
    [],
    states.map(({ step }) => step),
    { ...rates, amsgrad: false, maximize: false, foundInf },
  );
}

function noSteps(parameter: Tensor): Tensor {
  return ops.to(tensor([0], []), parameter.device, "float32");
}

function freshState(parameter: Tensor, dtype: "float32" | "bfloat16", index: number): WholeState {
  using making = scope();
  const zeros = () => making.keep(ops.to(ops.zerosLike(ops.detach(parameter)), dtype));
  return { average: zeros(), square: zeros(), step: making.keep(noSteps(parameter)), index };
}

function freshState8(parameter: Tensor): State8 {
  using making = scope();
  const { device, shape, numel } = parameter;
  const zeros = (size: readonly number[], dtype: "uint8" | "float32") =>
    making.keep(ops.zeros(size, { dtype, device }));
  const blocks = [Math.ceil(numel / stateBlock)];
  return {
    state1: zeros(shape, "uint8"),
    absmax1: zeros(blocks, "float32"),
    state2: zeros(shape, "uint8"),
    absmax2: zeros(blocks, "float32"),
    step: making.keep(noSteps(parameter)),
  };
}
