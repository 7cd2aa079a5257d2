/** The gated feed-forward layer: SwiGLU (Llama, Qwen) or GeGLU (Gemma); Shazeer 2020, arXiv:2002.05202. */
import type { Activation } from "../formats/model-config.ts";
import { ops, type Tensor } from "../torch/index.ts";
import { Linear } from "./linear.ts";
import type { Projection } from "./module.ts";

/** down(act(gate(x)) · up(x)). */
export class Mlp {
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
    if (this.down_proj instanceof Linear) return this.down_proj.ofGated(gate, up, this.#activation);
    return this.down_proj.forward(ops.gated(gate, up, this.#activation));
  }
}
