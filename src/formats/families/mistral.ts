/** Mistral: Llama's block with a window over all layers or none, and heads of any width (Jiang et al. 2023, arXiv:2310.06825). */
import { exportRope, parseRope } from "../hf-rope.ts";
import { type Family, oneWindow, plainDesign, plainForm, windowedLayers } from "./family.ts";
import { llama } from "./llama.ts";

export const mistral: Family = {
  name: "mistral",
  title: "Mistral",
  names: {
    modelType: "mistral",
    architecture: "MistralForCausalLM",
    rewardArchitecture: "MistralForSequenceClassification",
    hasPeftTargets: true,
  },
  multimodal: {
    modelType: "mistral3",
    architecture: "Mistral3ForConditionalGeneration",
    rewardArchitecture: null,
    hasPeftTargets: false,
    textType: "mistral",
  },
  activationKey: "hidden_act",
  activation: "silu",
  defaults: {
    ...llama.defaults,
    intermediate_size: 14_336,
    num_key_value_heads: 8,
    max_position_embeddings: 131_072,
  },
  tokens: llama.tokens,
  // of no consequence in this class of transformers
  ignored: ["layer_types", "sliding_window"],
  only: { attention_bias: [false], mlp_bias: [false] },
  llamaCpp: { ...plainForm, scalings: ["none", "linear", "llama3"] },
  read(fields, sizes) {
    const rope = parseRope(fields, { theta: 10_000, kinds: ["default", "linear", "llama3"] });
    const layers = windowedLayers(sizes, oneWindow(fields, 4096));
    return { ...layers, design: plainDesign, rope: { full: rope, sliding: null } };
  },
  write: ({ slidingWindow, rope }) => ({ sliding_window: slidingWindow, ...exportRope(rope.full) }),
};
