/** OLMo 2: norms on the outputs of attention and feed-forward layer alone, q and k normalised over all heads (OLMo Team 2024, arXiv:2501.00656). */
import { exportRope, parseRope } from "../hf-rope.ts";
import type { DecoderDesign } from "../model-config.ts";
import { type Family, fullLayers, plainDesign, plainForm } from "./family.ts";

export const olmo2: Family = {
  name: "olmo2",
  title: "OLMo 2",
  names: {
    modelType: "olmo2",
    architecture: "Olmo2ForCausalLM",
    rewardArchitecture: "Olmo2ForSequenceClassification",
    hasPeftTargets: false,
  },
  multimodal: null,
  activationKey: "hidden_act",
  activation: "silu",
  defaults: {
    vocab_size: 50_304,
    hidden_size: 4096,
    intermediate_size: 11_008,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: null,
    head_dim: null,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: false,
  },
  tokens: { bos: [], eos: [50_279], pad: [1] },
  ignored: [],
  only: { attention_bias: [false], clip_qkv: [null] },
  llamaCpp: { ...plainForm, name: "olmo2", turnsNeighbours: false, head: "separate", headsFillWidth: true },
  read(fields, sizes) {
    const rope = parseRope(fields, { theta: 10_000, kinds: ["default"] });
    return { ...fullLayers(sizes), design: olmoDesign, rope: { full: rope, sliding: null } };
  },
  write: ({ rope }) => ({ attention_bias: false, ...exportRope(rope.full) }),
};

/** Of OLMo 2 and 3. */
export const olmoDesign: DecoderDesign = {
  ...plainDesign,
  norms: "after",
  queryKeyNorms: "projection",
  exactRotary: true,
};
