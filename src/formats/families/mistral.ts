/** Mistral: Llama's block with a window over all layers or none, and heads of any width (Jiang et al. 2023, arXiv:2310.06825). */
import { exportRope, parseRope } from "../hf-rope.ts";
import { type Family, oneWindow, plainDesign, windowedLayers } from "./family.ts";

export const mistral: Family = {
  name: "mistral",
  title: "Mistral",
  names: {
    modelType: "mistral",
    architecture: "MistralForCausalLM",
    rewardArchitecture: "MistralForSequenceClassification",
  },
  multimodal: null,
  activationKey: "hidden_act",
  activation: "silu",
  defaults: {
    vocab_size: 32_000,
    hidden_size: 4096,
    intermediate_size: 14_336,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    head_dim: null,
    max_position_embeddings: 131_072,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: false,
  },
  tokens: { bos: [1], eos: [2], pad: [] },
  // of no consequence in this class of transformers
  ignored: ["layer_types", "sliding_window"],
  only: { attention_bias: [false], mlp_bias: [false] },
  read(fields, sizes) {
    const rope = parseRope(fields, { theta: 10_000, kinds: ["default", "linear", "llama3"] });
    const layers = windowedLayers(sizes, oneWindow(fields, 4096));
    return { ...layers, design: plainDesign, rope: { full: rope, sliding: null } };
  },
  write: ({ slidingWindow, rope }) => ({ sliding_window: slidingWindow, ...exportRope(rope.full) }),
};
