/** SmolLM3: Llama's block; some layers have no rotary positions (Bakouch et al. 2025). */
import { exportRope, parseRope } from "../hf-rope.ts";
import type { JsonFields } from "../json-fields.ts";
import {
  type Family,
  fullLayers,
  layerTypeNames,
  plainDesign,
  plainForm,
  requireFullLayers,
} from "./family.ts";

export const smollm3: Family = {
  name: "smollm3",
  title: "SmolLM3",
  names: {
    modelType: "smollm3",
    architecture: "SmolLM3ForCausalLM",
    rewardArchitecture: "SmolLM3ForSequenceClassification",
    hasPeftTargets: false,
  },
  multimodal: null,
  activationKey: "hidden_act",
  activation: "silu",
  defaults: {
    vocab_size: 128_256,
    hidden_size: 2048,
    intermediate_size: 11_008,
    num_hidden_layers: 36,
    num_attention_heads: 16,
    num_key_value_heads: 4,
    head_dim: null,
    max_position_embeddings: 32_768,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: true,
  },
  tokens: { bos: [128_000], eos: [128_001], pad: [128_004] },
  ignored: ["sliding_window", "max_window_layers", "pretraining_tp"],
  only: { use_sliding_window: [false], attention_bias: [false], mlp_bias: [false] },
  llamaCpp: { ...plainForm, name: "smollm3", unrotatedEvery: 4 },
  read(fields, sizes) {
    requireFullLayers(fields, sizes.numLayers, "SmolLM3");
    const rope = parseRope(fields, { theta: 2_000_000, kinds: ["default", "yarn"] });
    const design = { ...plainDesign, unrotatedLayers: unrotated(fields, sizes.numLayers) };
    return { ...fullLayers(sizes), design, rope: { full: rope, sliding: null } };
  },
  write: (config) => ({
    layer_types: layerTypeNames(config),
    no_rope_layers: config.layerKinds.map((_, i) => (config.design.unrotatedLayers.includes(i) ? 0 : 1)),
    use_sliding_window: false,
    attention_bias: false,
    mlp_bias: false,
    ...exportRope(config.rope.full),
  }),
};

/** Layers without rotary positions: those with 0 in the list; without a list, each at the end of an interval. */
function unrotated(fields: JsonFields, numLayers: number): number[] {
  const interval = fields.positiveInt("no_rope_layer_interval", 4, 1024);
  const { no_rope_layers: given = null } = fields.values;
  const places = Array.from({ length: numLayers }, (_, i) => i);
  if (!fields.has("no_rope_layers")) return places.filter((i) => (i + 1) % interval === 0);
  const isList =
    Array.isArray(given) && given.length >= numLayers && given.every((one) => one === 0 || one === 1);
  if (!isList) {
    return fields.refuse(
      "no_rope_layers",
      `a list of ${numLayers} numbers, 1 for rotary positions and 0 for none`,
    );
  }
  return places.filter((i) => given[i] === 0);
}
