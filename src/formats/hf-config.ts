/**
 * Reads Hugging Face's `config.json` of Llama, Qwen3 and Gemma 3, as transformers 4 and transformers 5 write it.
 *
 * What a file leaves out takes the default of transformers' configuration class; what this program cannot compute
 * exactly is refused, never ignored. `hf-config-export.ts` writes the file back.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { FormatError } from "../base/errors.ts";
import { readJsonFile } from "../base/files.ts";
import { settingsLimits } from "../base/json-limits.ts";
import { didYouMean } from "../base/suggest.ts";
import { checkpointDtype, refuseQuantised } from "./hf-dtype.ts";
import {
  type FamilyRules,
  familyRules,
  modelTypeByArchitecture,
  modelTypeByRewardArchitecture,
  textTypeByModelType,
} from "./hf-families.ts";
import { parseGemmaRope, parseRope } from "./hf-rope.ts";
import { isRecord, JsonFields } from "./json-fields.ts";
import type { LayerKind, ModelConfig } from "./model-config.ts";

/** Sizes beyond these are damage or attack: each is well above any published model. */
const limits = {
  vocab: 2 ** 24,
  width: 2 ** 20,
  layers: 1024,
  heads: 4096,
  headDim: 4096,
  positions: 2 ** 31,
} as const;

/**
 * The checked configuration of a model directory; `generation_config.json`, if present, adds end-of-sequence tokens.
 *
 * @throws {FileError} when `config.json` is missing
 * @throws {FormatError} when it is not a supported model's
 */
export function readModelConfig(dir: string): ModelConfig {
  const path = join(dir, "config.json");
  const config = parseModelConfig(readJsonFile(path, settingsLimits), path);
  const generationPath = join(dir, "generation_config.json");
  if (!existsSync(generationPath)) return config;
  const generation = readJsonFile(generationPath, settingsLimits);
  if (!isRecord(generation)) throw new FormatError(`${generationPath}: expected a JSON object.`);
  const more = new JsonFields(generation, generationPath).tokenIds("eos_token_id", []);
  return { ...config, eosTokenIds: [...new Set([...config.eosTokenIds, ...more])] };
}

/**
 * The checked configuration in the content of a `config.json`.
 *
 * @param json - the parsed file
 * @param file - its name, for messages
 * @throws {FormatError} naming file and field
 */
export function parseModelConfig(json: unknown, file: string): ModelConfig {
  if (!isRecord(json)) throw new FormatError(`${file}: expected a JSON object with a model's configuration.`);
  const top = new JsonFields(json, file);
  const modelType = findModelType(top, file);
  refuseQuantised(top);
  const textType = textTypeByModelType[modelType];
  if (textType === undefined) return top.refuse("model_type", "a supported model");
  const isMultimodalText = textType !== modelType;
  const text = isMultimodalText ? top.object("text_config") : top;
  if (text === null) return top.refuse("text_config", "the text model's configuration");
  refuseQuantised(text);
  const rules = familyRules(textType);
  refuseUnsupported(text, rules);
  const isRewardModel = Object.hasOwn(modelTypeByRewardArchitecture, top.strings("architectures")?.[0] ?? "");
  if (isRewardModel) refuseSeveralLabels(top);
  return {
    family: rules.family,
    modelType: rules.modelType,
    ...parseSizes(text, rules, file),
    tieWordEmbeddings: (text.has("tie_word_embeddings") ? text : top).boolean(
      "tie_word_embeddings",
      rules.defaults.tie_word_embeddings,
    ),
    ...parseTokens(top, text, rules),
    dtype: checkpointDtype(top, text),
    isRewardModel,
    isMultimodalText,
    raw: { ...text.values },
  };
}

function findModelType(top: JsonFields, file: string): string {
  const architecture = top.strings("architectures")?.[0] ?? null;
  const modelType = top.string("model_type");
  if (modelType === null && architecture === null) {
    return top.refuse("model_type", `one of ${Object.keys(textTypeByModelType).join(", ")}`);
  }
  if (modelType !== null && !Object.hasOwn(textTypeByModelType, modelType)) {
    const known = Object.keys(textTypeByModelType);
    throw new FormatError(
      `${file}: model_type: expected a supported model (${known.join(", ")}), got "${modelType}".` +
        `${didYouMean(modelType, known)} Use a Llama, Qwen3 or Gemma 3 checkpoint.`,
    );
  }
  const typeByArchitecture = { ...modelTypeByArchitecture, ...modelTypeByRewardArchitecture };
  if (architecture !== null && !Object.hasOwn(typeByArchitecture, architecture)) {
    const known = Object.keys(modelTypeByArchitecture);
    throw new FormatError(
      `${file}: architectures: expected a causal language model (${known.join(", ")}), got "${architecture}".` +
        `${didYouMean(architecture, known)} Use a Llama, Qwen3 or Gemma 3 checkpoint with a language-model head.`,
    );
  }
  const implied = architecture === null ? null : (typeByArchitecture[architecture] ?? null);
  if (modelType !== null && implied !== null && implied !== modelType) {
    throw new FormatError(
      `${file}: model_type "${modelType}" and architecture "${architecture}" contradict each other. Fix the file.`,
    );
  }
  return modelType ?? implied ?? "";
}

/** A reward model is a classifier with one label. */
function refuseSeveralLabels(top: JsonFields): void {
  const labels = top.object("id2label");
  const count =
    labels === null ? top.positiveInt("num_labels", 2, limits.vocab) : Object.keys(labels.values).length;
  if (count === 1) return;
  top.refuse(
    labels === null && top.has("num_labels") ? "num_labels" : "id2label",
    "one label, since a reward model has one output (without any, transformers takes two)",
    "Take a reward model that was trained with num_labels 1.",
  );
}

/** Options that change the computation in ways `src/models` does not have. */
function refuseUnsupported(text: JsonFields, rules: FamilyRules): void {
  const { activationKey, activation } = rules;
  const remedy = "This variant of the model is not supported.";
  const actual = text.string(activationKey) ?? activation;
  if (actual !== activation) text.refuse(activationKey, `"${activation}"`, remedy);
  if (rules.family === "gemma3") {
    for (const key of ["attn_logit_softcapping", "final_logit_softcapping"]) {
      if (text.has(key)) text.refuse(key, "null (Gemma 3 has no soft-capping)", remedy);
    }
    if (text.boolean("use_bidirectional_attention", false)) {
      text.refuse("use_bidirectional_attention", "false", remedy);
    }
  }
  if (rules.family === "qwen3" && text.boolean("use_sliding_window", false)) {
    text.refuse("use_sliding_window", "false (sliding-window Qwen3 is unsupported)", remedy);
  }
}

type Sizes = Omit<
  ModelConfig,
  | "family"
  | "modelType"
  | "tieWordEmbeddings"
  | "bosTokenId"
  | "eosTokenIds"
  | "padTokenId"
  | "dtype"
  | "isRewardModel"
  | "isMultimodalText"
  | "raw"
>;

function parseSizes(text: JsonFields, rules: FamilyRules, file: string): Sizes {
  const { defaults } = rules;
  const hiddenSize = text.positiveInt("hidden_size", defaults.hidden_size, limits.width);
  const numLayers = text.positiveInt("num_hidden_layers", defaults.num_hidden_layers, limits.layers);
  const heads = parseHeads(text, rules, hiddenSize);
  const layerKinds = parseLayerKinds(text, rules, numLayers);
  const isGemma = rules.family === "gemma3";
  const slides = layerKinds.includes("sliding");
  const scalar = isGemma ? text.positiveNumber("query_pre_attn_scalar", 256) : heads.headDim;
  return {
    vocabSize: text.positiveInt("vocab_size", defaults.vocab_size, limits.vocab),
    hiddenSize,
    intermediateSize: text.positiveInt("intermediate_size", defaults.intermediate_size, limits.width),
    numLayers,
    ...heads,
    rmsNormEps: text.positiveNumber("rms_norm_eps", 1e-6),
    maxPositions: text.positiveInt(
      "max_position_embeddings",
      defaults.max_position_embeddings,
      limits.positions,
    ),
    attentionBias: text.boolean("attention_bias", false),
    mlpBias: rules.family === "llama" && text.boolean("mlp_bias", false),
    rope: isGemma ? parseGemmaRope(text, file) : { full: parseRope(text, file, 10_000), sliding: null },
    layerKinds,
    slidingWindow: slides ? text.positiveInt("sliding_window", 4096, limits.positions) : null,
    attentionScale: scalar ** -0.5,
  };
}

function parseHeads(
  text: JsonFields,
  rules: FamilyRules,
  hiddenSize: number,
): Pick<ModelConfig, "numHeads" | "numKeyValueHeads" | "headDim"> {
  const { defaults } = rules;
  const numHeads = text.positiveInt("num_attention_heads", defaults.num_attention_heads, limits.heads);
  // An explicit null means "as many as heads" to transformers; an absent field means the class default.
  const { num_key_value_heads: given } = text.values;
  const keyValueDefault = given === null ? numHeads : (defaults.num_key_value_heads ?? numHeads);
  const numKeyValueHeads = text.positiveInt("num_key_value_heads", keyValueDefault, limits.heads);
  if (numHeads % numKeyValueHeads !== 0) {
    text.refuse("num_key_value_heads", `a divisor of num_attention_heads (${numHeads})`);
  }
  if (defaults.head_dim === null && !text.has("head_dim") && hiddenSize % numHeads !== 0) {
    text.refuse("num_attention_heads", `a divisor of hidden_size (${hiddenSize}), or a head_dim`);
  }
  const headDim = text.positiveInt("head_dim", defaults.head_dim ?? hiddenSize / numHeads, limits.headDim);
  if (headDim % 2 !== 0) text.refuse("head_dim", "an even number, as rotary positions need");
  return { numHeads, numKeyValueHeads, headDim };
}

const layerTypes: Readonly<Record<string, LayerKind>> = {
  full_attention: "full",
  sliding_attention: "sliding",
};

function parseLayerKinds(text: JsonFields, rules: FamilyRules, numLayers: number): LayerKind[] {
  const names = rules.family === "llama" ? null : text.strings("layer_types");
  if (names !== null) {
    const kinds = names.flatMap((name) => (Object.hasOwn(layerTypes, name) ? (layerTypes[name] ?? []) : []));
    if (kinds.length !== numLayers || names.length !== numLayers) {
      text.refuse("layer_types", `${numLayers} entries of ${Object.keys(layerTypes).join(" or ")}`);
    }
    if (rules.family === "qwen3" && kinds.includes("sliding")) {
      text.refuse("layer_types", "full_attention throughout (sliding-window Qwen3 is unsupported)");
    }
    return kinds;
  }
  if (rules.family !== "gemma3") return Array(numLayers).fill("full");
  const key = text.has("sliding_window_pattern") ? "sliding_window_pattern" : "_sliding_window_pattern";
  const period = text.positiveInt(key, 6, limits.layers);
  return Array.from({ length: numLayers }, (_, i) => ((i + 1) % period === 0 ? "full" : "sliding"));
}

function parseTokens(
  top: JsonFields,
  text: JsonFields,
  rules: FamilyRules,
): Pick<ModelConfig, "bosTokenId" | "eosTokenIds" | "padTokenId"> {
  // A multimodal file has the ids of the whole model at its top.
  const read = (key: string, fallback: readonly number[]): number[] =>
    (top.has(key) ? top : text).tokenIds(key, fallback);
  return {
    bosTokenId: read("bos_token_id", rules.tokens.bos)[0] ?? null,
    eosTokenIds: read("eos_token_id", rules.tokens.eos),
    padTokenId: read("pad_token_id", rules.tokens.pad)[0] ?? null,
  };
}
