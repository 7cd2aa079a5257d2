/**
 * Gemma 2: norms before and after each sub-layer, norm weights stored as w − 1, GeGLU, sliding layers at even places, caps on scores and
 * on logits (Gemma Team 2024, arXiv:2408.00118).
 */
import { exportRope, parseRope } from "../hf-rope.ts";
import { type Family, readCap, readLayerTypes, readWindow } from "./family.ts";
import { gemma3, gemmaDesign, gemmaForm, gemmaKeys } from "./gemma3.ts";

export const gemma2: Family = {
  ...gemma3,
  name: "gemma2",
  title: "Gemma 2",
  names: {
    modelType: "gemma2",
    architecture: "Gemma2ForCausalLM",
    rewardArchitecture: "Gemma2ForSequenceClassification",
    hasPeftTargets: true,
  },
  multimodal: null,
  defaults: { ...gemma3.defaults, vocab_size: 256_000, max_position_embeddings: 8192 },
  ignored: ["sliding_window", "sliding_window_size", "hidden_act"],
  only: { use_bidirectional_attention: [false, null] },
  llamaCpp: {
    ...gemmaForm,
    name: "gemma2",
    windows: "every second",
    wideScaleLayers: 46,
    capsScores: true,
    head: "embedding",
  },
  read(fields, { hiddenSize, numLayers }) {
    const layerKinds =
      readLayerTypes(fields, numLayers) ??
      Array.from({ length: numLayers }, (_, i) => (i % 2 === 0 ? "sliding" : "full"));
    return {
      design: {
        ...gemmaDesign(fields, hiddenSize),
        scoreCap: readCap(fields, "attn_logit_softcapping", 50),
        logitCap: readCap(fields, "final_logit_softcapping", 30),
      },
      rope: { full: parseRope(fields, { theta: 10_000, kinds: ["default"] }), sliding: null },
      layerKinds,
      slidingWindow: readWindow(fields, layerKinds, 4096),
      attentionScale: fields.positiveNumber("query_pre_attn_scalar", 256) ** -0.5,
    };
  },
  write(config) {
    return {
      ...gemmaKeys(config),
      attn_logit_softcapping: config.design.scoreCap,
      final_logit_softcapping: config.design.logitCap,
      ...exportRope(config.rope.full),
    };
  },
};
