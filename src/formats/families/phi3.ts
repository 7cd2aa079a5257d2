/** Phi-3, 3.5, 4 and 4-mini: q, k, v in one matrix, gate and up in another, a part of each head turned, LongRoPE (Abdin et al. 2024, arXiv:2404.14219). */
import { exportRope, parseRope } from "../hf-rope.ts";
import type { JsonFields } from "../json-fields.ts";
import type { RopeConfig } from "../model-config.ts";
import { type Family, oneWindow, plainDesign, plainForm, windowedLayers } from "./family.ts";

export const phi3: Family = {
  name: "phi3",
  title: "Phi-3",
  names: {
    modelType: "phi3",
    architecture: "Phi3ForCausalLM",
    rewardArchitecture: "Phi3ForSequenceClassification",
    hasPeftTargets: false,
  },
  multimodal: null,
  activationKey: "hidden_act",
  activation: "silu",
  defaults: {
    vocab_size: 32_064,
    hidden_size: 3072,
    intermediate_size: 8192,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: null,
    head_dim: null,
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: false,
  },
  tokens: { bos: [1], eos: [32_000], pad: [32_000] },
  ignored: [
    "sliding_window",
    "full_attn_mod",
    "interpolate_factor",
    "layer_types",
    "original_max_position_embeddings",
  ],
  only: {
    attention_bias: [false],
    mlp_bias: [false],
    lm_head_bias: [false],
    resid_pdrop: [0],
    embd_pdrop: [0],
  },
  llamaCpp: {
    ...plainForm,
    name: "phi3",
    turnsNeighbours: false,
    scalings: ["none", "longrope"],
    headsFillWidth: true,
  },
  read(fields, sizes) {
    const rope = parseRope(fields, {
      theta: 10_000,
      kinds: ["default", "longrope"],
      turnsShare: true,
      originalPositions: 4096,
      aliases: { su: "longrope", yarn: "longrope" },
    });
    requirePairs(fields, rope, sizes.headDim);
    requireFactors(fields, rope, sizes.headDim);
    const layers = windowedLayers(sizes, oneWindow(fields, null));
    return { ...layers, design: { ...plainDesign, linears: "fused" }, rope: { full: rope, sliding: null } };
  },
  write: ({ slidingWindow, maxPositions, rope: { full } }) => ({
    attention_bias: false,
    partial_rotary_factor: full.share,
    sliding_window: slidingWindow,
    ...(full.scaling.kind === "longrope"
      ? { original_max_position_embeddings: full.scaling.originalMaxPositions }
      : {}),
    ...exportRope(full, maxPositions),
  }),
};

/** Whole pairs of numbers turn: of an odd number transformers turns one more. */
function requirePairs(fields: JsonFields, { share }: RopeConfig, headDim: number): void {
  const turned = Math.trunc(headDim * share);
  if (turned % 2 === 0) return;
  const key = "partial_rotary_factor";
  const ropes = ["rope_scaling", "rope_parameters"].map((name) => fields.objectOrEmpty(name));
  const place = ropes.find((rope) => rope.has(key)) ?? fields;
  place.refuse(
    key,
    `a fraction of head_dim (${headDim}) that turns an even number, since pairs turn, not ${turned}`,
  );
}

/** A factor for each pair of numbers that turns. */
function requireFactors(fields: JsonFields, { scaling, share }: RopeConfig, headDim: number): void {
  if (scaling.kind !== "longrope") return;
  const pairs = Math.trunc(headDim * share) / 2;
  if (scaling.shortFactors.length === pairs && scaling.longFactors.length === pairs) return;
  fields.refuse(
    fields.has("rope_scaling") ? "rope_scaling" : "rope_parameters",
    `short_factor and long_factor with ${pairs} numbers each, one for each pair that turns`,
  );
}
