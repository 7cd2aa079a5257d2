/** `adapter_config.json` of PEFT's LoRA: reads what can be computed exactly, refuses other variants by name, writes it. */
import { ConfigError, FormatError } from "../base/errors.ts";
import { isRecord } from "../base/is-record.ts";
import { JsonFields } from "./json-fields.ts";
import { patternValue } from "./module-patterns.ts";

/** A LoRA adapter's settings, with PEFT's meaning. */
export interface AdapterConfig {
  rank: number;
  alpha: number;
  dropout: number;
  /** Module paths or their last parts. */
  targetModules: string[];
  /** Scale alpha / √rank instead of alpha / rank. */
  useRslora: boolean;
  useDora: boolean;
  /** Modules trained and saved whole. */
  modulesToSave: string[];
  /** Path or hub id of the model the adapter belongs to. */
  baseModel: string | null;
  /** Branch, tag or commit of the base model on the hub; null or left out: the newest of its main branch. */
  revision?: string | null;
  bias: "none";
  /** PEFT's `task_type`: of a language model, or of a reward model; null: the file does not say. */
  taskType: TaskType | null;
  /** Ranks of single modules, by name or regular expression over the end of the path. */
  rankPattern: Record<string, number>;
  alphaPattern: Record<string, number>;
  /** The file as it stood; empty for a new adapter. */
  raw: Record<string, unknown>;
}

/** Kinds of models that an adapter can be of. */
export type TaskType = "CAUSAL_LM" | "SEQ_CLS";

/** What a target can be before it is resolved to modules. */
export type TargetSpec = string | string[];

const refusal = "This adapter cannot be computed exactly here. Merge it in PEFT and use the merged model.";

/** Keys that change what an adapter computes, and what to call them. Absent, null, false and empty values are fine. */
const unsupportedKeys: Readonly<Record<string, string>> = {
  alora_invocation_tokens: "activated LoRA (aLoRA)",
  arrow_config: "Arrow routing",
  ensure_weight_tying: "tied adapters",
  fan_in_fan_out: "transposed weights (fan_in_fan_out)",
  kasa_config: "KaSA",
  layer_replication: "layer replication",
  lora_bias: "a bias in LoRA (lora_bias)",
  monteclora_config: "MonteCLoRA",
  target_parameters: "targeted parameters",
  trainable_token_indices: "trainable tokens",
  use_bdlora: "block-diagonal LoRA",
  use_qalora: "QALoRA",
};

/**
 * Keys of PEFT's settings, also of older versions, that change nothing of what a saved adapter computes, or that its tensors tell:
 * how it was initialised and trained, where it was saved, and which modules it was put in.
 */
const harmlessKeys: readonly string[] = [
  "auto_mapping",
  "corda_config",
  "eva_config",
  "exclude_modules",
  "inference_mode",
  "layers_pattern",
  "layers_to_transform",
  "loftq_config",
  "lora_ga_config",
  "megatron_config",
  "megatron_core",
  "merge_weights",
  "peft_version",
  "qalora_group_size",
  "runtime_config",
  "velora_config",
];

/** Initialisations after which base weights are as they were; the others (PiSSA, OLoRA, ...) change them. */
const soundInitialisations: readonly unknown[] = [
  undefined,
  null,
  true,
  false,
  "gaussian",
  "orthogonal",
  "eva",
  "mica",
];

/**
 * The settings in the content of `adapter_config.json`, with the targets as written there.
 *
 * @param file - its name, for messages
 * @throws {FormatError} for another kind of adapter, an unsupported variant, or a broken value
 */
export function parseAdapterConfig(
  json: unknown,
  file: string,
): { config: Omit<AdapterConfig, "targetModules">; targets: TargetSpec; isNarrowed: boolean } {
  if (!isRecord(json))
    throw new FormatError(`${file}: expected a JSON object with an adapter's configuration.`);
  const fields = new JsonFields(json, file);
  refuseOtherKinds(fields, file);
  const taskType = fields.string("task_type") as TaskType | null;
  const config = {
    rank: fields.positiveInt("r", 8, 65_536),
    alpha: fields.positiveNumber("lora_alpha", 8),
    dropout: parseDropout(fields),
    useRslora: fields.boolean("use_rslora", false),
    useDora: fields.boolean("use_dora", false),
    modulesToSave: parseSaved(fields, taskType),
    baseModel: fields.string("base_model_name_or_path"),
    revision: fields.string("revision"),
    bias: "none" as const,
    taskType,
    rankPattern: parsePattern(fields, "rank_pattern"),
    alphaPattern: parsePattern(fields, "alpha_pattern"),
    raw: { ...json },
  };
  const targets = parseTargets(fields);
  const unset = Object.keys(json).filter((key) => !isSet(json[key]));
  const known = [
    "init_lora_weights",
    "lora_dropout",
    "revision",
    "target_modules",
    ...Object.keys(unsupportedKeys),
  ];
  fields.refuseUnknown([...known, ...harmlessKeys, ...unset], "LoRA's settings in PEFT");
  const isNarrowed = ["exclude_modules", "layers_to_transform"].some((key) => isSet(fields.values[key]));
  return { config, targets, isNarrowed };
}

function refuseOtherKinds(fields: JsonFields, file: string): void {
  const kind = fields.string("peft_type");
  if (kind !== "LORA") fields.refuse("peft_type", '"LORA"', refusal);
  const task = fields.string("task_type");
  if (task !== null && task !== "CAUSAL_LM" && task !== "SEQ_CLS") {
    fields.refuse("task_type", '"CAUSAL_LM", or "SEQ_CLS" for a reward model');
  }
  const bias = fields.string("bias") ?? "none";
  if (bias !== "none") fields.refuse("bias", '"none"', refusal);
  for (const [key, name] of Object.entries(unsupportedKeys)) {
    if (isSet(fields.values[key]))
      throw new FormatError(`${file}: ${key}: ${name} is not supported. ${refusal}`);
  }
  const { init_lora_weights: initialisation } = fields.values;
  if (!soundInitialisations.includes(initialisation)) {
    fields.refuse(
      "init_lora_weights",
      "an initialisation that leaves the base weights alone",
      "Convert the adapter in PEFT: save_pretrained(..., path_initial_model_for_weight_conversion=...).",
    );
  }
}

function isSet(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return false;
  return typeof value === "object" ? Object.keys(value).length > 0 : true;
}

function parseDropout(fields: JsonFields): number {
  const { lora_dropout: dropout = 0 } = fields.values;
  const isShare = typeof dropout === "number" && dropout >= 0 && dropout < 1;
  return isShare ? dropout : fields.refuse("lora_dropout", "a number from 0 to below 1");
}

/** Modules that can be saved whole; a model has few. */
const maxSaved = 1000;

function parseSaved(fields: JsonFields, taskType: TaskType | null): string[] {
  const given = fields.strings("modules_to_save") ?? [];
  // PEFT lists every name that a classifier's head has in any architecture
  const names = taskType === "SEQ_CLS" ? given.filter((name) => name !== "classifier") : given;
  return names.length <= maxSaved ? names : fields.refuse("modules_to_save", `at most ${maxSaved} modules`);
}

function parsePattern(fields: JsonFields, key: string): Record<string, number> {
  const pattern = fields.object(key);
  const names = Object.keys(pattern?.values ?? {});
  return Object.fromEntries(names.map((name) => [name, pattern?.positiveNumber(name, 0) ?? 0]));
}

function parseTargets(fields: JsonFields): TargetSpec {
  const { target_modules: targets } = fields.values;
  if (typeof targets === "string" && targets !== "") return targets;
  const names = Array.isArray(targets) ? fields.strings("target_modules") : null;
  if (names !== null && names.length > 0) return names;
  return fields.refuse("target_modules", 'a list of module names, a regular expression or "all-linear"');
}

/** The dropout that a run trains an adapter with. @param own - the adapter that it continues; left out: a new one */
export function dropoutOf(
  { disable_dropout, lora_dropout }: { disable_dropout: boolean; lora_dropout: number | null },
  own: Pick<AdapterConfig, "dropout"> = { dropout: 0 },
): number {
  return disable_dropout ? 0 : (lora_dropout ?? own.dropout);
}

/** Rank, alpha and the factor on B·A·x of one module. */
export interface LoraScale {
  rank: number;
  alpha: number;
  scale: number;
}

/**
 * The scale of a module by PEFT's rules: patterns first, then the general values; alpha / rank, or alpha / √rank.
 *
 * @throws {ConfigError} when a pattern is no valid expression, or takes too long
 */
export function loraScale(
  config: Pick<AdapterConfig, "rank" | "alpha" | "useRslora" | "rankPattern" | "alphaPattern">,
  module: string,
): LoraScale {
  const rank = patternValue(config.rankPattern, module, "rank_pattern") ?? config.rank;
  const alpha = patternValue(config.alphaPattern, module, "alpha_pattern") ?? config.alpha;
  return { rank, alpha, scale: alpha / (config.useRslora ? Math.sqrt(rank) : rank) };
}

/**
 * Content of `adapter_config.json` that every PEFT from 0.10 on loads: only keys that 0.10 knows.
 *
 * @param extra - further keys, or other values for these
 * @throws {ConfigError} when there is nothing to target
 */
export function adapterConfigJson(
  config: AdapterConfig,
  extra: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  if (config.targetModules.length === 0) {
    throw new ConfigError("Expected at least one target module for an adapter, got none.");
  }
  return {
    alpha_pattern: config.alphaPattern,
    auto_mapping: null,
    base_model_name_or_path: config.baseModel,
    bias: config.bias,
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: null,
    loftq_config: {},
    lora_alpha: config.alpha,
    lora_dropout: config.dropout,
    megatron_config: null,
    megatron_core: "megatron.core",
    modules_to_save: config.modulesToSave.length > 0 ? config.modulesToSave : null,
    peft_type: "LORA",
    r: config.rank,
    rank_pattern: config.rankPattern,
    revision: config.revision ?? null,
    target_modules: config.targetModules,
    task_type: config.taskType ?? "CAUSAL_LM",
    use_dora: config.useDora,
    use_rslora: config.useRslora,
    ...extra,
  };
}
