/** Qwen2 and Qwen2.5: Llama's block with biases on q, k and v, whatever the file says (Yang et al. 2024, arXiv:2407.10671). */
import { exportRope, parseRope } from "../hf-rope.ts";
import { type Family, fullLayers, plainDesign, plainForm, requireFullLayers } from "./family.ts";

export const qwen2: Family = {
  name: "qwen2",
  title: "Qwen2",
  names: {
    modelType: "qwen2",
    architecture: "Qwen2ForCausalLM",
    rewardArchitecture: "Qwen2ForSequenceClassification",
  },
  multimodal: null,
  activationKey: "hidden_act",
  activation: "silu",
  defaults: {
    vocab_size: 151_936,
    hidden_size: 4096,
    intermediate_size: 22_016,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 32,
    head_dim: null,
    max_position_embeddings: 32_768,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: false,
  },
  tokens: { bos: [], eos: [], pad: [] },
  ignored: ["sliding_window", "max_window_layers"],
  only: { use_sliding_window: [false], use_mrope: [false] },
  llamaCpp: { ...plainForm, name: "qwen2", turnsNeighbours: false, biases: ["q_proj", "k_proj", "v_proj"] },
  read(fields, sizes) {
    requireFullLayers(fields, sizes.numLayers, "Qwen2");
    const rope = parseRope(fields, { theta: 10_000, kinds: ["default", "yarn"] });
    const design = { ...plainDesign, biases: ["q_proj", "k_proj", "v_proj"] } as const;
    return { ...fullLayers(sizes), design, rope: { full: rope, sliding: null } };
  },
  write: ({ rope }) => ({ use_sliding_window: false, ...exportRope(rope.full) }),
};
