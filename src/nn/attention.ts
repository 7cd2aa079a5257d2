/** The self-attention layer of all families: grouped key/value heads, rotary positions, optional q and k norms. */
import { ops, type Tensor } from "../torch/index.ts";
import type { CachedAttention } from "./kv-cache.ts";
import type { Projection } from "./module.ts";
import { type AttentionPlan, packedAttention } from "./packed-attention.ts";
import type { RMSNorm } from "./rms-norm.ts";
import { type RotaryAngles, rotate } from "./rotary.ts";

/** What a layer needs to know of the batch besides its activations. */
export interface AttentionContext {
  angles: RotaryAngles;
  plan: AttentionPlan;
  /** In generation: attends over a cache in place of the batch alone. */
  cached?: CachedAttention;
}

/** Parts of an attention layer. */
export interface AttentionParts {
  q_proj: Projection;
  k_proj: Projection;
  v_proj: Projection;
  o_proj: Projection;
  q_norm: RMSNorm | null;
  k_norm: RMSNorm | null;
}

/** Self-attention; shapes: T tokens, D width, H query heads, K key/value heads of E each. */
export class Attention {
  q_proj: Projection;
  k_proj: Projection;
  v_proj: Projection;
  o_proj: Projection;
  q_norm: RMSNorm | null;
  k_norm: RMSNorm | null;
  readonly #headDim: number;

  constructor(parts: AttentionParts, headDim: number) {
    this.q_proj = parts.q_proj;
    this.k_proj = parts.k_proj;
    this.v_proj = parts.v_proj;
    this.o_proj = parts.o_proj;
    this.q_norm = parts.q_norm;
    this.k_norm = parts.k_norm;
    this.#headDim = headDim;
  }

  /** x: (T, D) -> (T, D) */
  forward(x: Tensor, { angles, plan, cached }: AttentionContext): Tensor {
    const q = rotate(this.#heads(this.q_proj.forward(x)), angles, this.q_norm);
    const k = rotate(this.#heads(this.k_proj.forward(x)), angles, this.k_norm);
    const v = this.#heads(this.v_proj.forward(x));
    const attended = cached === undefined ? packedAttention(q, k, v, plan) : cached({ q, k, v }, plan);
    return this.o_proj.forward(attended);
  }

  /** (T, n·E) -> (T, n, E) */
  #heads(x: Tensor): Tensor {
    return ops.view(x, [x.size(0), x.size(1) / this.#headDim, this.#headDim]);
  }
}
