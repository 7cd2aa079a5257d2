/** Writes `config.json` for an exported text model, in a layout that transformers 4 and 5 both read. */
import { FormatError } from "../base/errors.ts";
import { isRecord } from "../base/is-record.ts";
import type { Family } from "./families/family.ts";
import { families } from "./families/index.ts";
import type { ModelConfig, WeightDtype } from "./model-config.ts";

/** What may differ from the configuration that was read. */
export interface ExportConfigOptions {
  /** False when a separate head was trained and is saved. */
  tieWordEmbeddings: boolean;
  dtype: WeightDtype;
}

/**
 * Fields of the file read that must not survive: they describe that file, are written again, or are of Mamba layers, which no model here
 * has, and would come out as whole numbers where transformers 5 takes floats alone.
 */
const staleKeys: readonly string[] = [
  "_name_or_path",
  "auto_map",
  "dtype",
  "id2label",
  "label2id",
  "layer_types",
  "num_labels",
  "per_layer_config",
  "problem_type",
  "quantization_config",
  "rope_local_base_freq",
  "rope_parameters",
  "rope_scaling",
  "rope_theta",
  "time_step_limit",
  "time_step_max",
  "time_step_min",
  "torch_dtype",
  "transformers_version",
];

/** One output, which transformers' pipelines are to leave as it is: they would squeeze it into 0 to 1 otherwise. */
const rewardFields = { id2label: { 0: "LABEL_0" }, label2id: { LABEL_0: 0 }, problem_type: "regression" };

/**
 * Content of `config.json` for the text model, every default written out, keys sorted.
 *
 * Of a multimodal model it is the text model's.
 *
 * @param known - as `parseModelConfig` takes it
 */
export function exportConfig(
  config: ModelConfig,
  options: ExportConfigOptions,
  known: readonly Family[] = families,
): Record<string, unknown> {
  const family = known.find(({ name }) => name === config.family);
  if (family === undefined) throw new FormatError(`Cannot export a model of type "${config.modelType}".`);
  const { architecture, rewardArchitecture, modelType } = family.names;
  const kept = Object.entries(config.raw).filter(([key]) => !staleKeys.includes(key));
  const [onlyEos] = config.eosTokenIds;
  const fields: Record<string, unknown> = {
    ...Object.fromEntries(kept),
    architectures: [config.isRewardModel ? rewardArchitecture : architecture],
    model_type: modelType,
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.numLayers,
    num_attention_heads: config.numHeads,
    num_key_value_heads: config.numKeyValueHeads,
    head_dim: config.headDim,
    rms_norm_eps: config.rmsNormEps,
    max_position_embeddings: config.maxPositions,
    [family.activationKey]: family.activation,
    tie_word_embeddings: options.tieWordEmbeddings,
    bos_token_id: config.bosTokenId,
    eos_token_id: config.eosTokenIds.length > 1 ? config.eosTokenIds : (onlyEos ?? null),
    pad_token_id: config.padTokenId,
    // Before 4.56 transformers knew only this spelling; later ones read both.
    torch_dtype: options.dtype,
    ...(config.isRewardModel ? rewardFields : {}),
    ...family.write(config),
  };
  return Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Keys that say in which type and form the weights of a file are. */
const weightKeys: readonly string[] = ["dtype", "torch_dtype", "quantization_config"];

/**
 * Content of `config.json` for a multimodal model whose text part is written again: as it was, but for type and head of the text's
 * weights.
 *
 * @param whole - the file as it was
 */
export function exportWholeConfig(
  whole: Readonly<Record<string, unknown>>,
  { tieWordEmbeddings, dtype }: ExportConfigOptions,
): Record<string, unknown> {
  const written = { tie_word_embeddings: tieWordEmbeddings, torch_dtype: dtype };
  const withWeights = (part: Readonly<Record<string, unknown>>): Record<string, unknown> => ({
    ...Object.fromEntries(Object.entries(part).filter(([key]) => !weightKeys.includes(key))),
    ...written,
  });
  const { text_config: text } = whole;
  return { ...withWeights(whole), ...(isRecord(text) ? { text_config: withWeights(text) } : {}) };
}

/**
 * The text of `config.json`. Rotary numbers, caps and a weight of routers keep a decimal point: some versions of transformers warn
 * about, or refuse, `"factor": 8` where they expect a float.
 */
export function configJsonText(fields: Readonly<Record<string, unknown>>): string {
  const floats =
    /^(\s*"(?:rope_theta|rope_local_base_freq|factor|low_freq_factor|high_freq_factor|beta_fast|beta_slow|attention_factor|router_aux_loss_coef|(?:attn|final)_logit_softcapping)": \d+)(,?)$/gm;
  return `${JSON.stringify(fields, null, 2).replace(floats, "$1.0$2")}\n`;
}
