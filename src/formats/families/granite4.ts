/** Granite 4 without experts and without Mamba layers: Granite 3 with gate and up in one matrix, and perhaps no rotary positions. */
import { exportRope, parseRope } from "../hf-rope.ts";
import type { JsonFields } from "../json-fields.ts";
import { type Family, fullLayers, plainDesign } from "./family.ts";
import { granite, multipliers, readMultipliers } from "./granite.ts";

export const granite4: Family = {
  name: "granite4",
  title: "Granite 4 dense",
  names: {
    modelType: "granitemoehybrid",
    architecture: "GraniteMoeHybridForCausalLM",
    rewardArchitecture: null,
    hasPeftTargets: false,
  },
  multimodal: null,
  activationKey: "hidden_act",
  activation: "silu",
  defaults: granite.defaults,
  tokens: granite.tokens,
  ignored: [
    "intermediate_size",
    "init_method",
    "normalization_function",
    "num_experts_per_tok",
    "output_router_logits",
    "router_aux_loss_coef",
    "mamba_chunk_size",
    "mamba_conv_bias",
    "mamba_d_conv",
    "mamba_d_head",
    "mamba_d_state",
    "mamba_expand",
    "mamba_n_groups",
    "mamba_n_heads",
    "mamba_proj_bias",
    "time_step_limit",
    "time_step_min",
    "time_step_max",
    "layers_block_type",
  ],
  only: { ...granite.only, normalization_function: ["rmsnorm"] },
  llamaCpp: null,
  read(fields, sizes) {
    refuseHybrid(fields, sizes.numLayers);
    const rope = parseRope(fields, { theta: 10_000, kinds: ["default"] });
    const { attentionScale, ...scales } = readMultipliers(fields);
    const layers = fullLayers(sizes);
    const isRotary = fields.string("position_embedding_type") === "rope";
    const design = {
      ...plainDesign,
      ...scales,
      linears: "shared-mlp",
      unrotatedLayers: isRotary ? [] : layers.layerKinds.map((_, i) => i),
    } as const;
    const intermediateSize = fields.positiveInt("shared_intermediate_size", 1024, 2 ** 20);
    return { ...layers, attentionScale, design, rope: { full: rope, sliding: null }, intermediateSize };
  },
  write: (config) => ({
    attention_bias: false,
    // what transformers 4 calls the layers, and 5 reads too
    layer_types: config.layerKinds.map(() => "attention"),
    num_local_experts: 0,
    position_embedding_type: config.design.unrotatedLayers.length > 0 ? null : "rope",
    shared_intermediate_size: config.intermediateSize,
    ...multipliers(config),
    ...exportRope(config.rope.full),
  }),
};

const hybrid =
  "Layers of experts and Mamba layers are not supported: use a dense Granite, such as granite-4.0-micro.";

function refuseHybrid(fields: JsonFields, numLayers: number): void {
  const { num_local_experts: experts = null } = fields.values;
  if (fields.has("num_local_experts") ? experts !== 0 : true) {
    fields.refuse("num_local_experts", "0 (absent means 8)", hybrid);
  }
  const types = fields.strings("layer_types");
  const isDense =
    types?.length === numLayers && types.every((one) => one === "attention" || one === "full_attention");
  if (!isDense)
    fields.refuse("layer_types", `${numLayers} times "attention" (absent means that all are mamba)`, hybrid);
}
