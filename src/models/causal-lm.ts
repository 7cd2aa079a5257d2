/**
 * What the trainer walks: embedding, blocks and final norm of a decoder, and the head of a language model, each called separately.
 * Which blocks and constants these are, a model's config says (`DecoderDesign`).
 */
import type { RowRange } from "../formats/head-ranges.ts";
import { headsOf, type LayerKind, type ModelConfig, type RopeConfig } from "../formats/model-config.ts";
import type { AttentionContext } from "../nn/attention.ts";
import { capped } from "../nn/caps.ts";
import type { CachedAttention } from "../nn/kv-cache.ts";
import type { Embedding } from "../nn/linear.ts";
import type { DenseProjection } from "../nn/module.ts";
import { planAttention, type Segment } from "../nn/packed-attention.ts";
import type { RMSNorm } from "../nn/rms-norm.ts";
import { type RotaryTable, rotaryAngles, rotaryTable } from "../nn/rotary.ts";
import { type DType, onDevice, ops, type Tensor, tensor } from "../torch/index.ts";

/** One transformer block. */
export interface Block {
  /** h: (T, D) -> (T, D) */
  forward(h: Tensor, context: BatchContext): Tensor;
}

/** Rotary angles and attention plans of a batch, by kind of layer. */
export type BatchContext = Record<LayerKind, AttentionContext>;

/** The token stream of a batch. */
export interface TokenStream {
  /** (T) int64, on the computer */
  ids: Tensor;
  /** (T) int64, on the model's device */
  positions: Tensor;
  segments: readonly Segment[];
}

/** Modules under the checkpoint's `model.` prefix. */
export interface Trunk {
  isModuleGroup: true;
  embed_tokens: Embedding;
  layers: Block[];
  norm: RMSNorm;
}

/**
 * Brings the tensors of a model's parts to where they are computed with. A part is a module: the embedding, a block, the final norm,
 * the head.
 */
export interface Residence {
  /** Whether several ranks make each forward pass together: one that fails on one of them is waited for by the others. Default: no. */
  readonly inLockstep?: boolean;
  /** The tensors of `part` are there until it is left; those of `next` may begin to come. */
  enter(part: object, next?: object): void;
  /** @param comesBack - whether the backward pass enters it again */
  leave(part: object, comesBack: boolean): void;
  /** All gradients that a backward pass gives the tensors of `part` are there. */
  complete(part: object): void;
  /** The parts that a head's matrix, (V, D), comes in, in order; as the part that follows the norm, the head is the first of them. */
  rowsOf(weight: Tensor): readonly HeadRows[];
}

/** Rows [start, end) of a head's matrix that are there together. */
export interface HeadRows extends RowRange {
  /** (end − start, D) */
  rows: Tensor;
}

/** What a decoder is made of, whatever head it has. */
export interface DecoderParts {
  config: ModelConfig;
  trunk: Trunk;
}

/** A decoder up to its final norm. A head on it makes it a language model or a reward model. */
export abstract class Decoder {
  readonly config: ModelConfig;
  readonly model: Trunk;
  /** Null where all tensors are in place at all times. */
  residence: Residence | null = null;
  readonly #rotary: Record<LayerKind, RotaryTable>;

  constructor({ config, trunk }: DecoderParts) {
    this.config = config;
    this.model = trunk;
    const { full, sliding } = config.rope;
    const table = (rope: RopeConfig, kind: LayerKind) =>
      rotaryTable(rope, headsOf(config, kind).headDim, config.design.exactRotary);
    this.#rotary = { full: table(full, "full"), sliding: table(sliding ?? full, "sliding") };
  }

  /** The part of the model that follows its final norm. */
  abstract get head(): object;

  /** Where the model computes: its weights are there, but for an embedding that was left in the computer's memory. */
  get device(): string {
    return this.model.norm.weight.device;
  }

  /** ids: (T) int64, on the computer or where the table is -> (T, D) in `dtype` on the model's device */
  embed(ids: Tensor, dtype: DType): Tensor {
    const { embed_tokens } = this.model;
    const rows = embed_tokens.forward(broughtTo(embed_tokens.table.device, ids));
    const here = broughtTo(this.device, rows);
    return this.#scaled(here.dtype === dtype ? here : ops.to(here, dtype));
  }

  /**
   * Adds dL/dtable to `tableGrad` (V, D) for dL/dh (T, D): rows in place, no second table. The embedding's `paddingRow` stays as it was:
   * the text does not train it, though a head that is tied to it does.
   */
  addEmbeddingGrad(tableGrad: Tensor, ids: Tensor, grad: Tensor): void {
    const scaled = this.#scaled(grad);
    const { paddingRow } = this.model.embed_tokens;
    const row = paddingRow === null ? null : ops.slice(tableGrad, 0, paddingRow, paddingRow + 1);
    const before = row === null ? null : ops.clone(row);
    ops.indexAdd_(tableGrad, 0, broughtTo(tableGrad.device, ids), ops.to(scaled, tableGrad.dtype));
    if (row !== null && before !== null) ops.copy_(row, before);
  }

  #scaled(h: Tensor): Tensor {
    const { embedScale, roundsEmbedScale } = this.config.design;
    if (embedScale === 1) return h;
    if (!roundsEmbedScale) return ops.mul(h, embedScale);
    // transformers keeps the factor in the activations' type: at bfloat16 the rounding shows
    const factor = onDevice(tensor([embedScale]), h.device, h.dtype);
    return ops.mul(h, factor);
  }

  /** Angles and attention plans for a stream, shared by all layers of a kind. */
  context(stream: Omit<TokenStream, "ids">, dtype: DType): BatchContext {
    const make = (kind: LayerKind): AttentionContext => ({
      angles: rotaryAngles(this.#rotary[kind], stream.positions, dtype),
      plan: planAttention(stream.segments, {
        dtype,
        device: stream.positions.device,
        headWidth: headsOf(this.config, kind).headDim,
        scale: this.config.attentionScale,
        cap: this.config.design.scoreCap,
        window: kind === "sliding" ? this.config.slidingWindow : null,
      }),
    });
    const { layerKinds } = this.config;
    if (!layerKinds.includes("sliding")) return bothKinds(make("full"));
    if (!layerKinds.includes("full")) return bothKinds(make("sliding"));
    return { full: make("full"), sliding: make("sliding") };
  }

  /**
   * Hidden states after the final norm, all at once and without the trainer's walk: (T, D).
   *
   * @param cached - in generation, how each layer attends over its cache
   */
  hiddenStates(stream: TokenStream, dtype: DType, cached?: readonly CachedAttention[]): Tensor {
    const context = this.context(stream, dtype);
    const { embed_tokens, layers, norm } = this.model;
    const run = (part: object, next: object | undefined, body: () => Tensor): Tensor => {
      this.residence?.enter(part, next);
      const result = body();
      this.residence?.leave(part, false);
      return result;
    };
    let h = run(embed_tokens, layers[0], () => this.embed(stream.ids, dtype));
    for (const [layer, block] of layers.entries()) {
      const attend = cached?.[layer];
      const body = () => block.forward(h, attend === undefined ? context : withCache(context, attend));
      h = run(block, layers[layer + 1] ?? norm, body);
    }
    return run(norm, undefined, () => norm.forward(h));
  }
}

/** `values` where they are wanted: themselves, or a copy. */
function broughtTo(device: string, values: Tensor): Tensor {
  return values.device === device ? values : onDevice(values, device, values.dtype);
}

/** A decoder-only language model. */
export class CausalLM extends Decoder {
  /** Shares its weight tensor with `model.embed_tokens` when the config ties them. */
  lm_head: DenseProjection;

  constructor(parts: DecoderParts, head: DenseProjection) {
    super(parts);
    this.lm_head = head;
  }

  get head(): object {
    return this.lm_head;
  }

  /** All logits for final hidden states (T, D), with their cap: (T, V) float32. */
  logits(hidden: Tensor): Tensor {
    const { logitCap } = this.config.design;
    const logits = ops.to(this.lm_head.forward(hidden), "float32");
    return logitCap === null ? logits : capped(logits, logitCap);
  }
}

/** Of a model whose layers are all of one kind. */
function bothKinds(context: AttentionContext): BatchContext {
  return { full: context, sliding: context };
}

function withCache({ full, sliding }: BatchContext, cached: CachedAttention): BatchContext {
  return { full: { ...full, cached }, sliding: { ...sliding, cached } };
}
