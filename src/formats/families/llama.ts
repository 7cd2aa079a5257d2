/** Llama 3: pre-norm blocks, SwiGLU, grouped-query attention (Grattafiori et al. 2024, arXiv:2407.21783). */
import { exportRope, parseRope } from "../hf-rope.ts";
import { type Family, fullLayers, plainDesign, plainForm } from "./family.ts";

export const llama: Family = {
  name: "llama",
  title: "Llama",
  names: {
    modelType: "llama",
    architecture: "LlamaForCausalLM",
    rewardArchitecture: "LlamaForSequenceClassification",
    hasPeftTargets: true,
  },
  multimodal: null,
  activationKey: "hidden_act",
  activation: "silu",
  defaults: {
    vocab_size: 32_000,
    hidden_size: 4096,
    intermediate_size: 11_008,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: null,
    head_dim: null,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: false,
  },
  tokens: { bos: [1], eos: [2], pad: [] },
  ignored: ["layer_types", "pretraining_tp"],
  // keys of SmolLM2's files
  only: { is_llama_config: [true], rope_interleaved: [false] },
  llamaCpp: {
    ...plainForm,
    scalings: ["none", "linear", "llama3"],
    biases: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
  },
  read(fields, sizes) {
    const attention = fields.boolean("attention_bias", false);
    const mlp = fields.boolean("mlp_bias", false);
    const biases = [
      ...(attention ? (["q_proj", "k_proj", "v_proj", "o_proj"] as const) : []),
      ...(mlp ? (["gate_proj", "up_proj", "down_proj"] as const) : []),
    ];
    const rope = parseRope(fields, { theta: 10_000, kinds: ["default", "linear", "llama3"] });
    return { ...fullLayers(sizes), design: { ...plainDesign, biases }, rope: { full: rope, sliding: null } };
  },
  write: ({ design: { biases }, rope }) => ({
    attention_bias: biases.includes("o_proj"),
    mlp_bias: biases.includes("down_proj"),
    ...exportRope(rope.full),
  }),
};
