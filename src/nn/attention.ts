/** The self-attention layer of all families: grouped key/value heads, rotary positions, optional q and k norms. */
import { ops, type Tensor } from "../torch/index.ts";
import type { CachedAttention } from "./kv-cache.ts";
import type { Projection } from "./module.ts";
import { type AttentionPlan, packedAttention } from "./packed-attention.ts";
import { normalised, type RMSNorm } from "./rms-norm.ts";
import { type RotaryAngles, rotate } from "./rotary.ts";

/** What a layer needs to know of the batch besides its activations. */
export interface AttentionContext {
  angles: RotaryAngles;
  plan: AttentionPlan;
  /** In generation: attends over a cache in place of the batch alone. */
  cached?: CachedAttention;
}

/** Heads of a layer. */
export interface HeadLayout {
  heads: number;
  keyHeads: number;
  headDim: number;
  /** Whether q and k turn by their positions. */
  rotates: boolean;
  /** Added to the mean square in the norm of values, which has no weight; null: they have none. */
  valueEps: number | null;
}

/** Norms of q and k: of each head (E), or of all heads together (H · E) and (K · E); null for none. */
export interface HeadNorms {
  q_norm: RMSNorm | null;
  k_norm: RMSNorm | null;
}

/** Parts of an attention layer. */
export interface AttentionParts extends HeadNorms {
  q_proj: Projection;
  k_proj: Projection;
  /** Null: values are what k_proj gives. */
  v_proj: Projection | null;
  o_proj: Projection;
}

/** Self-attention; shapes: T tokens, D width, H query heads, K key/value heads of E each. */
export class Attention {
  q_proj: Projection;
  k_proj: Projection;
  v_proj: Projection | null;
  o_proj: Projection;
  q_norm: RMSNorm | null;
  k_norm: RMSNorm | null;
  readonly #layout: HeadLayout;

  constructor(parts: AttentionParts, layout: HeadLayout) {
    this.q_proj = parts.q_proj;
    this.k_proj = parts.k_proj;
    this.v_proj = parts.v_proj;
    this.o_proj = parts.o_proj;
    this.q_norm = parts.q_norm;
    this.k_norm = parts.k_norm;
    this.#layout = layout;
  }

  /** x: (T, D) -> (T, D) */
  forward(x: Tensor, context: AttentionContext): Tensor {
    const [q, k] = [this.q_proj.forward(x), this.k_proj.forward(x)];
    const v = this.v_proj?.forward(x) ?? k;
    return this.o_proj.forward(attend({ q, k, v }, this, this.#layout, context));
  }
}

/** Self-attention whose q, k and v come of one matrix, one below the other. */
export class FusedAttention {
  qkv_proj: Projection;
  o_proj: Projection;
  q_norm: RMSNorm | null;
  k_norm: RMSNorm | null;
  readonly #layout: HeadLayout;

  constructor(
    parts: HeadNorms & Pick<AttentionParts, "o_proj"> & { qkv_proj: Projection },
    layout: HeadLayout,
  ) {
    this.qkv_proj = parts.qkv_proj;
    this.o_proj = parts.o_proj;
    this.q_norm = parts.q_norm;
    this.k_norm = parts.k_norm;
    this.#layout = layout;
  }

  /** x: (T, D) -> (T, D) */
  forward(x: Tensor, context: AttentionContext): Tensor {
    const { heads, keyHeads, headDim } = this.#layout;
    const all = this.qkv_proj.forward(x);
    const [queries, keys] = [heads * headDim, keyHeads * headDim];
    const q = ops.narrow(all, 1, 0, queries);
    const k = ops.narrow(all, 1, queries, keys);
    const v = ops.narrow(all, 1, queries + keys, keys);
    return this.o_proj.forward(attend({ q, k, v }, this, this.#layout, context));
  }
}

/** q: (T, H · E), k and v: (T, K · E) -> (T, H · E): norms, rotation, attention. */
function attend(
  { q, k, v }: { q: Tensor; k: Tensor; v: Tensor },
  { q_norm, k_norm }: HeadNorms,
  layout: HeadLayout,
  { angles, plan, cached }: AttentionContext,
): Tensor {
  const { heads, keyHeads } = layout;
  const turnedBy = (norm: RMSNorm | null, x: Tensor, count: number) =>
    turned(norm === null || norm.size === layout.headDim ? x : norm.forward(x), count, layout, {
      angles,
      norm: norm?.size === layout.headDim ? norm : null,
    });
  const inputs = {
    q: turnedBy(q_norm, q, heads),
    k: turnedBy(k_norm, k, keyHeads),
    v: values(v, layout),
  };
  return cached === undefined ? packedAttention(inputs.q, inputs.k, inputs.v, plan) : cached(inputs, plan);
}

/** x: (T, n · E) -> (T, n, E), each head normalised and turned. */
function turned(
  x: Tensor,
  heads: number,
  layout: HeadLayout,
  { angles, norm }: { angles: RotaryAngles; norm: RMSNorm | null },
): Tensor {
  if (layout.rotates) return rotate(x, angles, layout.headDim, norm);
  const split = inHeads(x, heads, layout);
  return norm === null ? split : norm.forward(split);
}

/** v: (T, K · E) -> (T, K, E), each head normalised where they are. */
function values(v: Tensor, layout: HeadLayout): Tensor {
  const split = inHeads(v, layout.keyHeads, layout);
  return layout.valueEps === null ? split : normalised(split, layout.valueEps);
}

function inHeads(x: Tensor, heads: number, { headDim }: HeadLayout): Tensor {
  return ops.view(x, [x.size(0), heads, headDim]);
}
