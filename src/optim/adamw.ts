/** AdamW (Loshchilov & Hutter 2017, arXiv:1711.05101) through torch's fused kernel, float32 states. */
import type { NamedParameter } from "../nn/parameter-set.ts";
import { noGrad, ops, scope, type Tensor, tensor } from "../torch/index.ts";

/** Hyperparameters of `torch.optim.AdamW`, under the names of a run's configuration. */
export interface AdamWOptions {
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

interface State {
  /** Exponential averages of the gradient and its square, like the parameter. */
  average: Tensor;
  square: Tensor;
  /** () float32: steps taken. */
  step: Tensor;
}

/**
 * The optimiser over a fixed list of parameters. Matrices decay, vectors (norms, biases, DoRA magnitudes) do not.
 *
 * Numerics: equals `torch.optim.AdamW(fused=True)`.
 */
export class AdamW {
  readonly #groups: Group[];
  readonly #states: Map<string, State> = new Map();
  readonly #options: AdamWOptions;

  constructor(trained: Iterable<NamedParameter>, options: AdamWOptions) {
    const parameters = [...trained];
    const decays = (p: NamedParameter) => p.decays ?? p.tensor.shape.length > 1;
    this.#groups = [
      { parameters: parameters.filter(decays), decay: options.weight_decay },
      { parameters: parameters.filter((p) => !decays(p)), decay: 0 },
    ];
    this.#options = options;
    for (const { name, tensor: parameter } of parameters) this.#states.set(name, freshState(parameter));
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
    for (const group of this.#groups) {
      const present = group.parameters.flatMap((p) => {
        const grad = only === undefined || only.has(p.name) ? p.tensor.grad : null;
        return grad === null ? [] : [{ parameter: p.tensor, grad, state: this.#state(p.name) }];
      });
      if (present.length > 0)
        this.#stepGroup(present, { decay: group.decay, lr: learningRate, skipped, taken });
    }
  }

  #stepGroup(
    present: { parameter: Tensor; grad: Tensor; state: State }[],
    { decay, lr, skipped, taken }: { decay: number; lr: number; skipped: Tensor | null; taken: Tensor },
  ): void {
    const states = present.map((p) => p.state);
    noGrad(() => {
      const steps = states.map((s) => s.step);
      for (const step of steps) ops.add_(step, taken);
      ops._fusedAdamw_(
        present.map((p) => p.parameter),
        present.map((p) => p.grad),
        states.map((s) => s.average),
        states.map((s) => s.square),
        [],
        steps,
        {
          lr,
          beta1: this.#options.adam_beta1,
          beta2: this.#options.adam_beta2,
          weightDecay: decay,
          eps: this.#options.adam_epsilon,
          amsgrad: false,
          maximize: false,
          foundInf: skipped,
        },
      );
    });
  }

  #state(name: string): State {
    return this.#states.get(name) as State;
  }

  /** Frees its state. */
  [Symbol.dispose](): void {
    for (const [, state] of this.stateTensors()) state.dispose();
  }

  /** Every tensor of the optimiser's state under the names of torch's state dict, for checkpoints. */
  *stateTensors(): Generator<[string, Tensor]> {
    for (const [name, state] of this.#states) {
      yield [`${name}.exp_avg`, state.average];
      yield [`${name}.exp_avg_sq`, state.square];
      yield [`${name}.step`, state.step];
    }
  }
}

function freshState(parameter: Tensor): State {
  using making = scope();
  return {
    average: making.keep(ops.zerosLike(ops.detach(parameter))),
    square: making.keep(ops.zerosLike(ops.detach(parameter))),
    step: making.keep(ops.to(tensor([0], []), parameter.device, "float32")),
  };
}
