/** Mistral: Llama's block with a window over all layers or none, and heads of any width (Jiang et al. 2023, arXiv:2310.06825). */
import { exportRope, parseRope } from "../hf-rope.ts";
import type { JsonFields } from "../json-fields.ts";
import { type Family, oneWindow, plainDesign, plainForm, readLayerTypes, windowedLayers } from "./family.ts";
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
  ignored: ["sliding_window"],
  only: { attention_bias: [false], mlp_bias: [false] },
  llamaCpp: { ...plainForm, scalings: ["none", "linear", "llama3"] },
  read(fields, sizes) {
    const rope = parseRope(fields, { theta: 10_000, kinds: ["default", "linear", "llama3"] });
    const window = oneWindow(fields, 4096);
    requireSameLayers(fields, sizes.numLayers, window);
    const layers = windowedLayers(sizes, window);
    return { ...layers, design: plainDesign, rope: { full: rope, sliding: null } };
  },
  write: ({ slidingWindow, rope }) => ({ sliding_window: slidingWindow, ...exportRope(rope.full) }),
};

/**
 * Refuses `layer_types` that say something else than `sliding_window`: transformers' class of this name passes over them, its Auto
 * classes take a file that has them for a Ministral, whose windows they are.
 */
function requireSameLayers(fields: JsonFields, numLayers: number, window: number | null): void {
  const kinds = readLayerTypes(fields, numLayers);
  const kind = window === null ? "full" : "sliding";
  if (kinds === null || kinds.every((one) => one === kind)) return;
  const source = fields.values["sliding_window"] === undefined ? ", its default," : "";
  fields.refuse(
    "layer_types",
    `"${kind}_attention" throughout, as sliding_window ${window}${source} says`,
    kinds.includes("sliding")
      ? "transformers takes such a file for a Ministral: windows by layer are not here under this name. Take a Mistral 7B or Nemo checkpoint."
      : "transformers takes such a file for a Ministral, in which no layer slides. Write sliding_window: null, or take layer_types out.",
  );
}
