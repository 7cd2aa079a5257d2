/** The gated feed-forward layer: SwiGLU (silu) or GeGLU (gelu); Shazeer 2020, arXiv:2002.05202. */

import type { Activation } from "../formats/model-config.ts";
import { ops, type Tensor } from "../torch/index.ts";
import { Linear } from "./linear.ts";
import type { Projection } from "./module.ts";

/** A feed-forward layer: (T, D) -> (T, D). */
export interface FeedForward {
  forward(x: Tensor): Tensor;
}

/** down(act(gate(x)) · up(x)). */
export class Mlp implements FeedForward {
  gate_proj: Projection;
  up_proj: Projection;
  down_proj: Projection;
  readonly #activation: Activation;

  constructor(gate: Projection, up: Projection, down: Projection, activation: Activation) {
    this.gate_proj = gate;
    this.up_proj = up;
    this.down_proj = down;
    this.#activation = activation;
  }

  /** x: (T, D) -> (T, D) */
  forward(x: Tensor): Tensor {
    const [gate, up] = [this.gate_proj.forward(x), this.up_proj.forward(x)];
    return ofGated(gate, up, this.down_proj, this.#activation);
  }
}

/** The same with gate and up in one matrix, one below the other. */
export class FusedMlp implements FeedForward {
  gate_up_proj: Projection;
  down_proj: Projection;
  readonly #activation: Activation;

  constructor(gateUp: Projection, down: Projection, activation: Activation) {
    this.gate_up_proj = gateUp;
    this.down_proj = down;
    this.#activation = activation;
  }

  /** x: (T, D) -> (T, D) */
  forward(x: Tensor): Tensor {
    return ofHalves(this.gate_up_proj.forward(x), this.down_proj, this.#activation);
  }
}

/** A fused layer under other names. */
export class SharedMlp implements FeedForward {
  input_linear: Projection;
  output_linear: Projection;
  readonly #activation: Activation;

  constructor(input: Projection, output: Projection, activation: Activation) {
    this.input_linear = input;
    this.output_linear = output;
    this.#activation = activation;
  }

  /** x: (T, D) -> (T, D) */
  forward(x: Tensor): Tensor {
    return ofHalves(this.input_linear.forward(x), this.output_linear, this.#activation);
  }
}

/** both: (T, 2 · I), gate before up */
function ofHalves(both: Tensor, down: Projection, activation: Activation): Tensor {
  const inner = both.size(1) / 2;
  return ofGated(ops.narrow(both, 1, 0, inner), ops.narrow(both, 1, inner, inner), down, activation);
}

function ofGated(gate: Tensor, up: Tensor, down: Projection, activation: Activation): Tensor {
  if (down instanceof Linear) return down.ofGated(gate, up, activation);
  return down.forward(ops.gated(gate, up, activation));
}
