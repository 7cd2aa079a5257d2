/**
 * Reads Hugging Face's `config.json` of the families in `families`, as transformers 4 and transformers 5 write it.
 *
 * What a file leaves out takes the default of transformers' configuration class; what this program cannot compute exactly, or
 * does not know, is refused, never ignored. `hf-config-export.ts` writes the file back.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { FormatError } from "../base/errors.ts";
import { readJsonFile } from "../base/files.ts";
import { isRecord } from "../base/is-record.ts";
import { settingsLimits } from "../base/json-limits.ts";
import { didYouMean } from "../base/suggest.ts";
import type { Family, FamilySizes, MultimodalClass } from "./families/family.ts";
import { classesOf, families, type NamedClass, titlesOf } from "./families/index.ts";
import { refusedTypes } from "./families/refused.ts";
import { harmlessKeys } from "./harmless-keys.ts";
import { checkpointDtype } from "./hf-dtype.ts";
import { JsonFields } from "./json-fields.ts";
import type { ModelConfig } from "./model-config.ts";
import { checkpointQuantisation } from "./quantisation.ts";

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
 * @param known - families to read it as; default: all that are there
 * @throws {FormatError} naming file and field
 */
export function parseModelConfig(
  json: unknown,
  file: string,
  known: readonly Family[] = families,
): ModelConfig {
  if (!isRecord(json)) throw new FormatError(`${file}: expected a JSON object with a model's configuration.`);
  const top = new JsonFields(json, file);
  const { family, multimodal } = findClass(top, file, known);
  const text = multimodal === null ? top : textPart(top, file, multimodal);
  const quantisation = checkpointQuantisation(text) ?? checkpointQuantisation(top);
  refuseOtherValues(text, family);
  const architecture = top.strings("architectures")?.[0] ?? "";
  const isRewardModel = classesOf(known).some((one) => one.rewardArchitecture === architecture);
  if (isRewardModel) refuseSeveralLabels(top);
  const sizes = parseSizes(text, family);
  const beside = multimodal?.besideText ?? [];
  const textTies = text.boolean("tie_word_embeddings", family.defaults.tie_word_embeddings);
  const config: ModelConfig = {
    family: family.name,
    modelType: family.names.modelType,
    ...sizes,
    fullHeads: null,
    ...family.read(text, sizes),
    // transformers 5 asks the class that has the head, of a multimodal file the whole; files that do not say it there are older
    tieWordEmbeddings:
      top.boolean("tie_word_embeddings", textTies) || (multimodal?.textTies === true && textTies),
    ...parseTokens(top, text, family),
    dtype: checkpointDtype(top, text),
    quantisation,
    isRewardModel,
    isMultimodalText: multimodal !== null,
    raw: Object.fromEntries(Object.entries(text.values).filter(([key]) => !beside.includes(key))),
  };
  text.refuseUnknown([...harmlessKeys, ...family.ignored, ...beside], `a ${family.title} model`);
  return config;
}

/** The text part of a multimodal model's file: under `text_config`, or at the top of an older file. */
function textPart(
  top: JsonFields,
  file: string,
  { textType, besideText, asText }: MultimodalClass,
): JsonFields {
  const text = top.object("text_config");
  if (text === null && besideText === undefined) {
    return top.refuse("text_config", "the text model's configuration");
  }
  const type = text?.string("model_type") ?? textType;
  if (type !== textType) {
    throw new FormatError(
      `${file}: text_config.model_type: expected "${textType}", got "${type}"${lackOf(type) ?? ""}. docs/models.md lists the families.`,
    );
  }
  const fields = (text ?? top).values;
  return new JsonFields(asText?.(fields) ?? fields, file, text === null ? "" : "text_config");
}

/** The class that the file names by `model_type`, `architectures`, or both. */
function findClass(top: JsonFields, file: string, known: readonly Family[]): NamedClass {
  const classes = classesOf(known);
  const types = classes.map((one) => one.modelType);
  const architecture = top.strings("architectures")?.[0] ?? null;
  const modelType = top.string("model_type");
  if (modelType === null && architecture === null) {
    return top.refuse("model_type", `one of ${types.join(", ")}`);
  }
  const byType = classes.find((one) => one.modelType === modelType);
  if (modelType !== null && byType === undefined) {
    refuseKnownType(modelType, file);
    throw new FormatError(
      `${file}: model_type: expected a supported model (${types.join(", ")}), got "${modelType}".` +
        `${didYouMean(modelType, types)} Use a ${titlesOf(known)} checkpoint.`,
    );
  }
  const isOf = ({ architecture: own, rewardArchitecture }: NamedClass) =>
    architecture !== null && (architecture === own || architecture === rewardArchitecture);
  const byArchitecture = classes.find(isOf);
  if (architecture !== null && byArchitecture === undefined) {
    const names = classes.map((one) => one.architecture);
    throw new FormatError(
      `${file}: architectures: expected a causal language model (${names.join(", ")}), got "${architecture}".` +
        `${didYouMean(architecture, names)} Use a ${titlesOf(known)} checkpoint with a language-model head.`,
    );
  }
  if (byType !== undefined && byArchitecture !== undefined && byType.modelType !== byArchitecture.modelType) {
    throw new FormatError(
      `${file}: model_type "${modelType}" and architecture "${architecture}" contradict each other. Fix the file.`,
    );
  }
  return (byType ?? byArchitecture) as NamedClass;
}

/** Refuses a model that is known by name, saying what is missing. */
function refuseKnownType(modelType: string, file: string): void {
  const lack = lackOf(modelType);
  if (lack === null) return;
  throw new FormatError(
    `${file}: model_type: expected a supported model, got "${modelType}"${lack}. docs/models.md lists the families.`,
  );
}

/** What is missing for a model that is known by name, as the end of a sentence; null for others. */
function lackOf(type: string): string | null {
  return Object.hasOwn(refusedTypes, type) ? `, which needs what is not here: ${refusedTypes[type]}` : null;
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

const unsupported = "This variant of the model is not supported.";
const withoutDropout =
  "It acts in training alone, where nothing is dropped here but in adapters (lora_dropout). Write 0: nothing else changes.";

/** Options that change the computation in ways that the family does not have here. */
function refuseOtherValues(text: JsonFields, { activationKey, activation, only }: Family): void {
  const actual = text.string(activationKey) ?? activation;
  if (actual !== activation) text.refuse(activationKey, `"${activation}"`, unsupported);
  // transformers drops attention weights in training; nothing here does
  for (const [key, values] of Object.entries({ attention_dropout: [0], ...only })) {
    const value = text.has(key) ? text.values[key] : undefined;
    if (value === undefined || values.some((allowed) => allowed === value)) continue;
    const isDropout = /drop(out)?$/.test(key);
    const expected = values.map((allowed) => JSON.stringify(allowed)).join(" or ");
    text.refuse(key, expected, isDropout ? withoutDropout : unsupported);
  }
}

type Sizes = FamilySizes & Pick<ModelConfig, "vocabSize" | "intermediateSize" | "rmsNormEps">;

function parseSizes(text: JsonFields, { defaults }: Family): Sizes {
  const hiddenSize = text.positiveInt("hidden_size", defaults.hidden_size, limits.width);
  return {
    vocabSize: text.positiveInt("vocab_size", defaults.vocab_size, limits.vocab),
    hiddenSize,
    intermediateSize: text.positiveInt("intermediate_size", defaults.intermediate_size, limits.width),
    numLayers: text.positiveInt("num_hidden_layers", defaults.num_hidden_layers, limits.layers),
    ...parseHeads(text, defaults, hiddenSize),
    rmsNormEps: text.positiveNumber("rms_norm_eps", defaults.rms_norm_eps),
    maxPositions: text.positiveInt(
      "max_position_embeddings",
      defaults.max_position_embeddings,
      limits.positions,
    ),
  };
}

function parseHeads(
  text: JsonFields,
  defaults: Family["defaults"],
  hiddenSize: number,
): Pick<ModelConfig, "numHeads" | "numKeyValueHeads" | "headDim"> {
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

function parseTokens(
  top: JsonFields,
  text: JsonFields,
  { tokens }: Family,
): Pick<ModelConfig, "bosTokenId" | "eosTokenIds" | "padTokenId" | "paddingRow"> {
  // A multimodal file has the ids of the whole model at its top.
  const read = (key: string, fallback: readonly number[]): number[] =>
    (top.has(key) ? top : text).tokenIds(key, fallback);
  return {
    bosTokenId: read("bos_token_id", tokens.bos)[0] ?? null,
    eosTokenIds: read("eos_token_id", tokens.eos),
    padTokenId: read("pad_token_id", tokens.pad)[0] ?? null,
    paddingRow: text.tokenIds("pad_token_id", tokens.pad)[0] ?? null,
  };
}
