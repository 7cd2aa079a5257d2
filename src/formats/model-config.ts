/** The one shape in which the rest of preftune sees a Hugging Face `config.json`. Read by `hf-config.ts`. */
import type { Quantisation } from "./quantisation.ts";

/** Name of a block's linear, the last part of its path. */
export type LinearName =
  | "q_proj"
  | "k_proj"
  | "v_proj"
  | "qkv_proj"
  | "o_proj"
  | "gate_proj"
  | "up_proj"
  | "gate_up_proj"
  | "down_proj"
  | "input_linear"
  | "output_linear";

/** Floating types of checkpoint weights. */
export type WeightDtype = "float32" | "float16" | "bfloat16";

/** Frequency scaling of rotary position embeddings. */
export type RopeScaling =
  | { kind: "none" }
  | { kind: "linear"; factor: number }
  | {
      kind: "llama3";
      factor: number;
      lowFreqFactor: number;
      highFreqFactor: number;
      originalMaxPositions: number;
    }
  | {
      kind: "yarn";
      factor: number;
      betaFast: number;
      betaSlow: number;
      originalMaxPositions: number;
      /** On cosines and sines. */
      attentionFactor: number;
    }
  | {
      kind: "longrope";
      /** By which the frequencies of sequences up to the original length are divided, and of longer ones. */
      shortFactors: readonly number[];
      longFactors: readonly number[];
      originalMaxPositions: number;
      /** On cosines and sines, whatever the length. */
      attentionFactor: number;
    }
  | {
      kind: "proportional";
      /** Fraction of a head's pairs that turn, the first of them, by the frequencies that they have where all turn. */
      share: number;
    };

/** Base and scaling of one rotary table. */
export interface RopeConfig {
  theta: number;
  scaling: RopeScaling;
  /** Fraction of a head's numbers that turn, the first of them. */
  share: number;
}

/** What attention a layer has: over all earlier tokens, or over a window of them. */
export type LayerKind = "full" | "sliding";

/** Gate nonlinearities; GELU is the tanh approximation. */
export type Activation = "silu" | "gelu_tanh";

/** The choices, beside sizes, in which decoders differ. Models are built of it, and plans count by it. */
export interface DecoderDesign {
  /** Where norms stand around a part f of a block: h + f(norm(h)), h + norm(f(h)), or h + norm(f(norm(h))). */
  norms: "before" | "after" | "around";
  /** Added to the stored weight of a norm. */
  normOffset: 0 | 1;
  /** What of q and k is normalised before the rotation: nothing, each head, or all heads together. */
  queryKeyNorms: "none" | "head" | "projection";
  /** Whether values are normalised per head, without a weight. */
  valueNorms: boolean;
  /** Whether full layers have no v_proj: their values are what k_proj gives, before norm and rotation. */
  keysAreValues: boolean;
  /** Whether each layer's output is multiplied by a number of the checkpoint, which is not trained. */
  layerFactors: boolean;
  activation: Activation;
  /** The linears that have a bias. */
  biases: readonly LinearName[];
  /**
   * Which linears a block has: q, k, v, gate and up by themselves; q, k, v in one matrix and gate, up in another; or gate and up in one
   * matrix of a module `shared_mlp`.
   */
  linears: "separate" | "fused" | "shared-mlp";
  /** Layers without rotary positions, by their places. */
  unrotatedLayers: readonly number[];
  /** Whether heads are turned in float32 whatever the activations' type. */
  exactRotary: boolean;
  /** Factor on embeddings, 1 for none; whether it is rounded to the activations' type first. */
  embedScale: number;
  roundsEmbedScale: boolean;
  /** Factor on what attention and feed-forward layer add to the stream. */
  residualScale: number;
  /** Factor on a language model's logits. */
  logitScale: number;
  /** c of c · tanh(x / c) on scores, after their factor and before the mask, and on logits; null for none. */
  scoreCap: number | null;
  logitCap: number | null;
  /** Whether `max_position_embeddings` counts what linear scaling stretches. */
  countsStretch: boolean;
}

/** Heads of a layer beside the number of its queries'. */
export interface LayerHeads {
  headDim: number;
  numKeyValueHeads: number;
}

/** A model's shape and constants, checked; hub (transformers 4) and transformers 5 layouts give the same value. */
export interface ModelConfig {
  /** Name of its family: a file of `families`. */
  family: string;
  /** `model_type` of the text model, as files name it. */
  modelType: string;
  vocabSize: number;
  hiddenSize: number;
  intermediateSize: number;
  numLayers: number;
  numHeads: number;
  numKeyValueHeads: number;
  headDim: number;
  /** Heads of full layers where they differ from those of sliding ones; null: they do not. */
  fullHeads: LayerHeads | null;
  rmsNormEps: number;
  maxPositions: number;
  tieWordEmbeddings: boolean;
  design: DecoderDesign;
  /** Rotary table of full-attention layers, and of sliding ones where they differ, else null. */
  rope: { full: RopeConfig; sliding: RopeConfig | null };
  /** One entry per layer. */
  layerKinds: LayerKind[];
  /** Tokens a sliding layer sees, itself included; null when no layer slides. */
  slidingWindow: number | null;
  /** Factor on q·k before the softmax. */
  attentionScale: number;
  bosTokenId: number | null;
  eosTokenIds: number[];
  padTokenId: number | null;
  /**
   * Row of the embedding that no token of a text gives a gradient: `padding_idx` of its class in transformers, `pad_token_id` of the text's
   * part of the file.
   */
  paddingRow: number | null;
  /** Type the checkpoint says its weights have. */
  dtype: WeightDtype;
  /** How the checkpoint holds the linears of its blocks; null: as floats. */
  quantisation: Quantisation | null;
  /** True for a reward model: a score layer of one output in place of a language model's head. */
  isRewardModel: boolean;
  /** True when the file describes a multimodal model whose text part this is. */
  isMultimodalText: boolean;
  /** The text model's part of the file as it stood, for export. */
  raw: Record<string, unknown>;
}

/** The heads of layers of a kind. */
export function headsOf({ headDim, numKeyValueHeads, fullHeads }: ModelConfig, kind: LayerKind): LayerHeads {
  return (kind === "full" ? fullHeads : null) ?? { headDim, numKeyValueHeads };
}

/** The kind of a layer, by its place. */
export function kindOf({ layerKinds }: ModelConfig, layer: number): LayerKind {
  return layerKinds[layer] ?? "full";
}

/**
 * Tokens of the longest sequence that the model was made for, stretched by position scaling.
 *
 * `max_position_embeddings` already counts llama3's scaling; beside linear scaling most families' files name the length before it
 * (as vLLM reads them). YaRN stretches its original length. LongRoPE
 * turns all tokens of a batch otherwise once one is beyond the original length, so that this is the length here.
 */
export function contextLength({ design, maxPositions, rope }: ModelConfig): number {
  const { scaling } = rope.full;
  if (scaling.kind === "longrope") return scaling.originalMaxPositions;
  if (scaling.kind === "yarn") return Math.max(maxPositions, scaling.factor * scaling.originalMaxPositions);
  return scaling.kind === "linear" && !design.countsStretch ? maxPositions * scaling.factor : maxPositions;
}
