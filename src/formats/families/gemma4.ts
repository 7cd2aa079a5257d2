/**
 * Gemma 4, dense and without per-layer embeddings (31B): heads of another width in full layers, whose values are their keys; values
 * normalised, scores not scaled, a fixed factor on each layer's output, a cap on logits (Gemma Team 2026).
 */
import { exportRopes, parseRopes } from "../hf-rope.ts";
import type { JsonFields } from "../json-fields.ts";
import type { LayerHeads, LayerKind, ModelConfig } from "../model-config.ts";
import { type Family, layerTypeNames, plainDesign, readCap, readLayerTypes, readWindow } from "./family.ts";
import { gemma3 } from "./gemma3.ts";

export const gemma4: Family = {
  ...gemma3,
  name: "gemma4",
  title: "Gemma 4 dense",
  names: {
    modelType: "gemma4_text",
    architecture: "Gemma4ForCausalLM",
    rewardArchitecture: null,
    hasPeftTargets: false,
  },
  multimodal: {
    modelType: "gemma4",
    architecture: "Gemma4ForConditionalGeneration",
    rewardArchitecture: null,
    hasPeftTargets: true,
    textType: "gemma4_text",
  },
  defaults: { ...gemma3.defaults, vocab_size: 262_144, num_hidden_layers: 30 },
  ignored: [
    "global_head_dim",
    "hidden_size_per_layer_input",
    "num_kv_shared_layers",
    "num_global_key_value_heads",
    "vocab_size_per_layer_input",
    "use_double_wide_mlp",
    "moe_intermediate_size",
    "num_experts",
    "top_k_experts",
    "sliding_window",
  ],
  // of an image alone "vision" makes attention go both ways
  only: { attention_bias: [false], use_bidirectional_attention: ["vision"] },
  llamaCpp: null,
  read(fields, sizes) {
    refuseOthers(fields);
    const { hiddenSize, numLayers } = sizes;
    const layerKinds = lastFull(readLayerTypes(fields, numLayers) ?? sixths(numLayers));
    return {
      design: {
        ...plainDesign,
        norms: "around",
        queryKeyNorms: "head",
        valueNorms: true,
        keysAreValues: fields.boolean("attention_k_eq_v", false),
        layerFactors: true,
        activation: "gelu_tanh",
        embedScale: Math.sqrt(hiddenSize),
        roundsEmbedScale: true,
        logitCap: readCap(fields, "final_logit_softcapping", null),
      },
      fullHeads: readFullHeads(fields, layerKinds, sizes),
      rope: fields.has("rope_parameters") ? readRopes(fields) : classRopes,
      layerKinds,
      slidingWindow: readWindow(fields, layerKinds, 512),
      attentionScale: 1,
    };
  },
  write(config) {
    const { headDim, numKeyValueHeads } = config.fullHeads ?? config;
    return {
      attention_bias: false,
      attention_k_eq_v: config.design.keysAreValues,
      enable_moe_block: false,
      final_logit_softcapping: config.design.logitCap,
      global_head_dim: headDim,
      hidden_size_per_layer_input: 0,
      layer_types: layerTypeNames(config),
      num_global_key_value_heads: config.design.keysAreValues ? numKeyValueHeads : null,
      num_kv_shared_layers: 0,
      sliding_window: config.slidingWindow ?? 512,
      ...exportRopes(config.rope, null),
    };
  },
};

/** What the class has where a file has no tables. */
const classRopes: ModelConfig["rope"] = {
  full: { theta: 1_000_000, share: 1, scaling: { kind: "proportional", share: 0.25 } },
  sliding: { theta: 10_000, share: 1, scaling: { kind: "none" } },
};

function readRopes(fields: JsonFields): ModelConfig["rope"] {
  return parseRopes(fields, {
    full: { theta: 10_000, kinds: ["default", "proportional"] },
    sliding: { theta: 10_000, kinds: ["default"] },
    slidingThetaKey: "rope_theta",
  });
}

const smaller =
  "Embeddings for each layer and keys of another layer (E2B, E4B) are not supported: use the 31B, or a Gemma 3 checkpoint.";

/** Refuses E2B, E4B and the mixture of experts. */
function refuseOthers(fields: JsonFields): void {
  const { hidden_size_per_layer_input: width = 256, num_kv_shared_layers: shared = 0 } = fields.values;
  if (width !== 0) fields.refuse("hidden_size_per_layer_input", "0 (absent means 256)", smaller);
  if (shared !== 0) fields.refuse("num_kv_shared_layers", "0", smaller);
  if (fields.boolean("enable_moe_block", false)) {
    fields.refuse("enable_moe_block", "false", "Layers of experts are not supported: use the dense 31B.");
  }
}

function sixths(numLayers: number): LayerKind[] {
  return Array.from({ length: numLayers }, (_, i) => ((i + 1) % 6 === 0 ? "full" : "sliding"));
}

/** transformers makes the last layer full whatever a file says. */
function lastFull(kinds: readonly LayerKind[]): LayerKind[] {
  return [...kinds.slice(0, -1), "full"];
}

/** The heads of full layers: by the hub's keys, or by an entry for each of them as transformers 5 writes. */
function readFullHeads(
  fields: JsonFields,
  layerKinds: readonly LayerKind[],
  { numHeads, headDim, numKeyValueHeads }: { numHeads: number } & LayerHeads,
): LayerHeads {
  const given = fields.object("per_layer_config");
  const sharesKeys = fields.boolean("attention_k_eq_v", false);
  const heads =
    given === null
      ? {
          headDim: fields.positiveInt("global_head_dim", 512, 4096),
          numKeyValueHeads: sharesKeys
            ? fields.positiveInt("num_global_key_value_heads", numKeyValueHeads, 4096)
            : numKeyValueHeads,
        }
      : headsByLayer(fields, given, layerKinds, { headDim, numKeyValueHeads });
  if (heads.headDim % 2 !== 0) fields.refuse("global_head_dim", "an even number, as rotary positions need");
  if (numHeads % heads.numKeyValueHeads !== 0) {
    fields.refuse("num_global_key_value_heads", `a divisor of num_attention_heads (${numHeads})`);
  }
  return heads;
}

function headsByLayer(
  fields: JsonFields,
  given: JsonFields,
  layerKinds: readonly LayerKind[],
  others: LayerHeads,
): LayerHeads {
  const full = layerKinds.flatMap((kind, layer) => (kind === "full" ? [String(layer)] : []));
  const entries = full.map((layer) => {
    const entry = given.object(layer);
    const read = {
      headDim: entry?.positiveInt("head_dim", others.headDim, 4096) ?? others.headDim,
      numKeyValueHeads:
        entry?.positiveInt("num_key_value_heads", others.numKeyValueHeads, 4096) ?? others.numKeyValueHeads,
    };
    entry?.refuseUnknown([], "a layer of a Gemma 4 model");
    return read;
  });
  const [first = others] = entries;
  const isOther = Object.keys(given.values).some((layer) => !full.includes(layer));
  const differs = entries.some(
    (one) => one.headDim !== first.headDim || one.numKeyValueHeads !== first.numKeyValueHeads,
  );
  if (isOther || differs) {
    fields.refuse(
      "per_layer_config",
      `the same head_dim and num_key_value_heads for each full layer (${full.join(", ")})`,
    );
  }
  return first;
}
