/**
 * Gemma 3, text: sliding and full layers with their own rotary bases, norms before and after each sub-layer, norm
 * weights stored as w − 1, GeGLU, embeddings scaled by √D (Gemma Team 2025, arXiv:2503.19786).
 */
import { exportRopes, parseRopes } from "../hf-rope.ts";
import type { JsonFields } from "../json-fields.ts";
import type { DecoderDesign, ModelConfig } from "../model-config.ts";
import {
  type Family,
  type LlamaCppForm,
  layerTypeNames,
  plainDesign,
  plainForm,
  readLayerTypes,
  readWindow,
} from "./family.ts";

/** Gemma 3 as llama.cpp has it. */
export const gemmaForm: LlamaCppForm = {
  ...plainForm,
  name: "gemma3",
  turnsNeighbours: false,
  windows: "by layer",
  // of the largest published one
  wideScaleLayers: 62,
  cutsEmbedding: true,
};

export const gemma3: Family = {
  name: "gemma3",
  title: "Gemma 3",
  names: {
    modelType: "gemma3_text",
    architecture: "Gemma3ForCausalLM",
    rewardArchitecture: "Gemma3TextForSequenceClassification",
    hasPeftTargets: true,
  },
  multimodal: {
    modelType: "gemma3",
    architecture: "Gemma3ForConditionalGeneration",
    rewardArchitecture: "Gemma3ForSequenceClassification",
    hasPeftTargets: false,
    textType: "gemma3_text",
  },
  activationKey: "hidden_activation",
  activation: "gelu_pytorch_tanh",
  defaults: {
    vocab_size: 262_208,
    hidden_size: 2304,
    intermediate_size: 9216,
    num_hidden_layers: 26,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    head_dim: 256,
    max_position_embeddings: 131_072,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: true,
  },
  tokens: { bos: [2], eos: [1], pad: [0] },
  ignored: ["sliding_window", "sliding_window_pattern", "_sliding_window_pattern", "hidden_act"],
  only: {
    attn_logit_softcapping: [null],
    final_logit_softcapping: [null],
    use_bidirectional_attention: [false, null],
  },
  llamaCpp: gemmaForm,
  read(fields, { hiddenSize, numLayers }) {
    const layerKinds = readLayerTypes(fields, numLayers) ?? sixths(numLayers, windowPattern(fields));
    return {
      design: { ...gemmaDesign(fields, hiddenSize), queryKeyNorms: "head", countsStretch: true },
      rope: parseRopes(fields, {
        full: { theta: 1_000_000, kinds: ["default", "linear", "llama3"] },
        sliding: { theta: 10_000, kinds: ["default", "linear", "llama3"] },
        slidingThetaKey: "rope_local_base_freq",
      }),
      layerKinds,
      slidingWindow: readWindow(fields, layerKinds, 4096),
      attentionScale: fields.positiveNumber("query_pre_attn_scalar", 256) ** -0.5,
    };
  },
  write(config) {
    return { ...gemmaKeys(config), ...exportRopes(config.rope, "rope_local_base_freq") };
  },
};

/** Of how many layers the last one is full. transformers writes what it took under another name, and does not read that. */
function windowPattern(fields: JsonFields): number {
  const [key, written] = ["sliding_window_pattern", "_sliding_window_pattern"];
  const pattern = fields.positiveInt(key, 6, 1024);
  if (fields.positiveInt(written, pattern, 1024) !== pattern) {
    fields.refuse(
      written,
      `${pattern}`,
      `transformers takes the layers' kinds from layer_types, else from ${key}. Write one of them.`,
    );
  }
  return pattern;
}

/** Of Gemma 2 and 3. */
export function gemmaDesign(fields: JsonFields, hiddenSize: number): DecoderDesign {
  const biases = fields.boolean("attention_bias", false)
    ? (["q_proj", "k_proj", "v_proj", "o_proj"] as const)
    : [];
  return {
    ...plainDesign,
    norms: "around",
    normOffset: 1,
    activation: "gelu_tanh",
    biases,
    embedScale: Math.sqrt(hiddenSize),
    roundsEmbedScale: true,
  };
}

/** Keys of Gemma 2 and 3 beside their caps and rotary tables. */
export function gemmaKeys(config: ModelConfig): Record<string, unknown> {
  const { query_pre_attn_scalar: scalar, sliding_window: window } = config.raw;
  return {
    attention_bias: config.design.biases.includes("o_proj"),
    layer_types: layerTypeNames(config),
    // taken from the file, since computing it back from the scale would round
    query_pre_attn_scalar: scalar ?? 256,
    sliding_window: config.slidingWindow ?? window ?? 4096,
  };
}

/** Every `period`-th layer is full. */
function sixths(numLayers: number, period: number): ("full" | "sliding")[] {
  return Array.from({ length: numLayers }, (_, i) => ((i + 1) % period === 0 ? "full" : "sliding"));
}
