/** Granite 3: Llama's block with factors on embeddings, on what a block adds, on scores and on logits (IBM 2024). */
import { exportRope, parseRope } from "../hf-rope.ts";
import type { JsonFields } from "../json-fields.ts";
import type { DecoderDesign, ModelConfig } from "../model-config.ts";
import { type Family, fullLayers, plainDesign, plainForm } from "./family.ts";
import { llama } from "./llama.ts";

export const granite: Family = {
  name: "granite",
  title: "Granite 3",
  names: {
    modelType: "granite",
    architecture: "GraniteForCausalLM",
    rewardArchitecture: null,
    hasPeftTargets: false,
  },
  multimodal: null,
  activationKey: "hidden_act",
  activation: "silu",
  defaults: llama.defaults,
  tokens: llama.tokens,
  ignored: ["layer_types", "pretraining_tp"],
  only: { attention_bias: [false], mlp_bias: [false] },
  llamaCpp: { ...plainForm, name: "granite", hasFactors: true },
  read(fields, sizes) {
    const rope = parseRope(fields, { theta: 10_000, kinds: ["default"] });
    const { attentionScale, ...scales } = readMultipliers(fields);
    const design = { ...plainDesign, ...scales };
    return { ...fullLayers(sizes), attentionScale, design, rope: { full: rope, sliding: null } };
  },
  write: (config) => ({
    attention_bias: false,
    mlp_bias: false,
    ...multipliers(config),
    ...exportRope(config.rope.full),
  }),
};

/** The four factors. Those on scores stand in place of 1/√E; logits are divided by theirs. */
export function readMultipliers(
  fields: JsonFields,
): Pick<DecoderDesign, "embedScale" | "residualScale" | "logitScale"> & { attentionScale: number } {
  return {
    embedScale: fields.positiveNumber("embedding_multiplier", 1),
    residualScale: fields.positiveNumber("residual_multiplier", 1),
    attentionScale: fields.positiveNumber("attention_multiplier", 1),
    logitScale: 1 / fields.positiveNumber("logits_scaling", 1),
  };
}

/** The keys of the four factors. */
export function multipliers({ design, attentionScale, raw }: ModelConfig): Record<string, unknown> {
  // taken from the file, since computing it back would round
  const { logits_scaling: logits } = raw;
  return {
    embedding_multiplier: design.embedScale,
    residual_multiplier: design.residualScale,
    attention_multiplier: attentionScale,
    logits_scaling: logits ?? 1,
  };
}
