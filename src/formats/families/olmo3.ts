/** OLMo 3: OLMo 2 with windows by layer, and YaRN on full layers (Team OLMo 2025). */
import { exportRope, exportRopes, parseRopes } from "../hf-rope.ts";
import type { JsonFields } from "../json-fields.ts";
import { type Family, layerTypeNames, readLayerTypes, readWindow } from "./family.ts";
import { olmo2, olmoDesign } from "./olmo2.ts";

/** Base of both kinds of layer where a file names none, and in the layout of transformers 4. */
const theta = 500_000;

/** Whether each kind of layer has a base. */
function hasThetas(fields: JsonFields): boolean {
  const tables = fields.object("rope_parameters");
  return ["full_attention", "sliding_attention"].every((kind) => tables?.object(kind)?.has("rope_theta"));
}

export const olmo3: Family = {
  name: "olmo3",
  title: "OLMo 3",
  names: {
    modelType: "olmo3",
    architecture: "Olmo3ForCausalLM",
    rewardArchitecture: "Olmo3ForSequenceClassification",
    hasPeftTargets: false,
  },
  multimodal: null,
  activationKey: "hidden_act",
  activation: "silu",
  defaults: olmo2.defaults,
  tokens: olmo2.tokens,
  ignored: ["sliding_window"],
  only: olmo2.only,
  llamaCpp: null,
  read(fields, sizes) {
    const { numLayers, headDim } = sizes;
    const layerKinds =
      readLayerTypes(fields, numLayers) ??
      Array.from({ length: numLayers }, (_, i) => ((i + 1) % 4 === 0 ? "full" : "sliding"));
    if (fields.positiveNumber("rope_theta", theta) !== theta && !hasThetas(fields)) {
      fields.refuse(
        "rope_theta",
        `${theta}, as all published models have it`,
        "transformers gives another value to full layers alone. Write rope_parameters with an entry for each kind of layer.",
      );
    }
    return {
      design: olmoDesign,
      rope: parseRopes(fields, {
        full: { theta, kinds: ["default", "yarn"] },
        sliding: { theta, kinds: ["default"] },
        slidingThetaKey: "rope_theta",
      }),
      layerKinds,
      slidingWindow: readWindow(fields, layerKinds, 4096),
      attentionScale: headDim ** -0.5,
    };
  },
  write: (config) => ({
    attention_bias: false,
    layer_types: layerTypeNames(config),
    sliding_window: config.slidingWindow ?? 4096,
    ...(config.rope.full.theta === theta && config.rope.sliding?.theta === theta
      ? exportRope(config.rope.full)
      : exportRopes(config.rope, null)),
  }),
};
