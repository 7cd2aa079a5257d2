/** Qwen3: Llama's block with q and k normalised per head before the rotation (Yang et al. 2025, arXiv:2505.09388). */
import { exportRope, parseRope } from "../hf-rope.ts";
import { type Family, fullLayers, layerTypeNames, plainDesign, requireFullLayers } from "./family.ts";

export const qwen3: Family = {
  name: "qwen3",
  title: "Qwen3",
  names: {
    modelType: "qwen3",
    architecture: "Qwen3ForCausalLM",
    rewardArchitecture: "Qwen3ForSequenceClassification",
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
    head_dim: 128,
    max_position_embeddings: 32_768,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: false,
  },
  tokens: { bos: [], eos: [], pad: [] },
  ignored: ["sliding_window", "max_window_layers"],
  only: {},
  read(fields, sizes) {
    if (fields.boolean("use_sliding_window", false)) {
      fields.refuse(
        "use_sliding_window",
        "false (sliding-window Qwen3 is unsupported)",
        "This variant of the model is not supported.",
      );
    }
    requireFullLayers(fields, sizes.numLayers, "Qwen3");
    const biases = fields.boolean("attention_bias", false)
      ? (["q_proj", "k_proj", "v_proj", "o_proj"] as const)
      : [];
    const rope = parseRope(fields, { theta: 10_000, kinds: ["default", "linear", "llama3"] });
    const design = { ...plainDesign, queryKeyNorms: "head", biases } as const;
    return { ...fullLayers(sizes), design, rope: { full: rope, sliding: null } };
  },
  write: (config) => ({
    attention_bias: config.design.biases.includes("o_proj"),
    layer_types: layerTypeNames(config),
    sliding_window: null,
    use_sliding_window: false,
    ...exportRope(config.rope.full),
  }),
};
