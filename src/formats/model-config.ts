/** The one shape in which the rest of preftune sees a Hugging Face `config.json`. Read by `hf-config.ts`. */

/** Model families with a file in `src/models`. */
export type ModelFamily = "llama" | "qwen3" | "gemma3";

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
    };

/** Base and scaling of one rotary table. */
export interface RopeConfig {
  theta: number;
  scaling: RopeScaling;
}

/** What attention a layer has: over all earlier tokens, or over a window of them. */
export type LayerKind = "full" | "sliding";

/** A model's shape and constants, checked; hub (transformers 4) and transformers 5 layouts give the same value. */
export interface ModelConfig {
  family: ModelFamily;
  /** `model_type` of the text model as written in the file, e.g. "gemma3_text". */
  modelType: string;
  vocabSize: number;
  hiddenSize: number;
  intermediateSize: number;
  numLayers: number;
  numHeads: number;
  numKeyValueHeads: number;
  headDim: number;
  rmsNormEps: number;
  maxPositions: number;
  tieWordEmbeddings: boolean;
  attentionBias: boolean;
  mlpBias: boolean;
  /** Rotary table of full-attention layers, and of sliding ones where they differ (Gemma 3), else null. */
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
  /** Type the checkpoint says its weights have. */
  dtype: WeightDtype;
  /** True for a reward model: a score layer of one output in place of a language model's head. */
  isRewardModel: boolean;
  /** True when the file describes a multimodal model whose text part this is. */
  isMultimodalText: boolean;
  /** The text model's part of the file as it stood, for export. */
  raw: Record<string, unknown>;
}

/**
 * Tokens of the longest sequence that the model was made for, stretched by position scaling.
 *
 * `max_position_embeddings` already counts llama3's scaling and Gemma's; beside linear scaling the other families'
 * files name the length before it (as vLLM reads them).
 */
export function contextLength({ family, maxPositions, rope }: ModelConfig): number {
  const { scaling } = rope.full;
  return scaling.kind === "linear" && family !== "gemma3" ? maxPositions * scaling.factor : maxPositions;
}
