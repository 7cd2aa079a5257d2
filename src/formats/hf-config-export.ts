/** Writes `config.json` for an exported text model, in a layout that transformers 4 and 5 both read. */

import { FormatError } from "../base/errors.ts";
import { familyRules, textTypeByModelType } from "./hf-families.ts";
import { exportRope, exportRopeParameters } from "./hf-rope.ts";
import type { LayerKind, ModelConfig, WeightDtype } from "./model-config.ts";

/** What may differ from the configuration that was read. */
export interface ExportConfigOptions {
  /** False when a separate head was trained and is saved. */
  tieWordEmbeddings: boolean;
  dtype: WeightDtype;
}

/** Fields of the file read that must not survive: they describe that file, or are written again. */
const staleKeys: readonly string[] = [
  "_name_or_path",
  "auto_map",
  "dtype",
  "id2label",
  "label2id",
  "layer_types",
  "num_labels",
  "problem_type",
  "rope_local_base_freq",
  "rope_parameters",
  "rope_scaling",
  "rope_theta",
  "torch_dtype",
  "transformers_version",
];

/** One output, which transformers' pipelines are to leave as it is: they would squeeze it into 0 to 1 otherwise. */
const rewardFields = { id2label: { 0: "LABEL_0" }, label2id: { LABEL_0: 0 }, problem_type: "regression" };

const layerTypeNames: Readonly<Record<LayerKind, string>> = {
  full: "full_attention",
  sliding: "sliding_attention",
};

/**
 * Content of `config.json` for the text model, every default written out, keys sorted.
 *
 * A multimodal Gemma 3 becomes `Gemma3ForCausalLM` with `model_type` "gemma3_text".
 */
export function exportConfig(config: ModelConfig, options: ExportConfigOptions): Record<string, unknown> {
  const textType = textTypeByModelType[config.modelType];
  if (textType === undefined) throw new FormatError(`Cannot export a model of type "${config.modelType}".`);
  const rules = familyRules(textType);
  const kept = Object.entries(config.raw).filter(([key]) => !staleKeys.includes(key));
  const [onlyEos] = config.eosTokenIds;
  const fields: Record<string, unknown> = {
    ...Object.fromEntries(kept),
    architectures: [config.isRewardModel ? rules.rewardArchitecture : rules.architecture],
    model_type: rules.modelType,
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.numLayers,
    num_attention_heads: config.numHeads,
    num_key_value_heads: config.numKeyValueHeads,
    head_dim: config.headDim,
    rms_norm_eps: config.rmsNormEps,
    max_position_embeddings: config.maxPositions,
    attention_bias: config.attentionBias,
    [rules.activationKey]: rules.activation,
    tie_word_embeddings: options.tieWordEmbeddings,
    bos_token_id: config.bosTokenId,
    eos_token_id: config.eosTokenIds.length > 1 ? config.eosTokenIds : (onlyEos ?? null),
    pad_token_id: config.padTokenId,
    // Before 4.56 transformers knew only this spelling; later ones read both.
    torch_dtype: options.dtype,
    ...(config.isRewardModel ? rewardFields : {}),
    ...familyFields(config),
    ...ropeFields(config),
  };
  return Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * The text of `config.json`. Rotary numbers keep a decimal point: some versions of transformers warn about, or refuse,
 * `"factor": 8` where they expect a float.
 */
export function configJsonText(fields: Readonly<Record<string, unknown>>): string {
  const floats =
    /^(\s*"(?:rope_theta|rope_local_base_freq|factor|low_freq_factor|high_freq_factor)": \d+)(,?)$/gm;
  return `${JSON.stringify(fields, null, 2).replace(floats, "$1.0$2")}\n`;
}

function familyFields(config: ModelConfig): Record<string, unknown> {
  const layerTypes = config.layerKinds.map((kind) => layerTypeNames[kind]);
  switch (config.family) {
    case "llama":
      return { mlp_bias: config.mlpBias };
    case "qwen3":
      return { layer_types: layerTypes, sliding_window: null, use_sliding_window: false };
    case "gemma3": {
      const { query_pre_attn_scalar: scalar, sliding_window: window } = config.raw;
      return {
        layer_types: layerTypes,
        // Taken from the file, since computing it back from the scale would round.
        query_pre_attn_scalar: scalar ?? 256,
        sliding_window: config.slidingWindow ?? window ?? 4096,
      };
    }
  }
}

function ropeFields(config: ModelConfig): Record<string, unknown> {
  const { full, sliding } = config.rope;
  if (sliding === null) return exportRope(full);
  if (sliding.scaling.kind === "none") return { ...exportRope(full), rope_local_base_freq: sliding.theta };
  // The layout of transformers 4 has no place for a scaling of sliding layers.
  return {
    rope_parameters: {
      full_attention: exportRopeParameters(full),
      sliding_attention: exportRopeParameters(sliding),
    },
  };
}
