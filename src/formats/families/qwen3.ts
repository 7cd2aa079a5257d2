/** Qwen3: Llama's block with q and k normalised per head before the rotation (Yang et al. 2025, arXiv:2505.09388). */
import { exportRope, parseRope } from "../hf-rope.ts";
import {
  type Family,
  fullLayers,
  layerTypeNames,
  plainDesign,
  plainForm,
  requireFullLayers,
} from "./family.ts";
import { qwen2 } from "./qwen2.ts";

export const qwen3: Family = {
  name: "qwen3",
  title: "Qwen3",
  names: {
    modelType: "qwen3",
    architecture: "Qwen3ForCausalLM",
    rewardArchitecture: "Qwen3ForSequenceClassification",
    hasPeftTargets: true,
  },
  multimodal: null,
  activationKey: "hidden_act",
  activation: "silu",
  defaults: { ...qwen2.defaults, head_dim: 128 },
  tokens: qwen2.tokens,
  ignored: qwen2.ignored,
  only: {},
  llamaCpp: { ...plainForm, name: "qwen3", turnsNeighbours: false },
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
