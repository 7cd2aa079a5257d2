/** Hugging Face model directories: config, weights by memory map, and the text part of multimodal checkpoints. */
import { FormatError } from "../base/errors.ts";
import { readModelConfig } from "../formats/hf-config.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import type { TensorDtype } from "../formats/safetensors.ts";
import { openWeights, type WeightIndex } from "../formats/weight-index.ts";
import { type DType, ops, scope, type Tensor } from "../torch/index.ts";
import { buildModel } from "./build.ts";
import type { CausalLM } from "./causal-lm.ts";
import { type MappedFile, mapSafetensors } from "./mapped-file.ts";
import type { WeightSource } from "./weights.ts";

/** Options of `loadModel`. */
export interface LoadOptions {
  /** Default "cpu". */
  device?: string;
  /** Type to hold the weights in; default: as stored. */
  dtype?: DType | null;
  /** Own memory for every weight instead of a share in the map: needed to train them. */
  copy?: boolean;
}

/**
 * Loads the model in `dir`; no parameter requires grad. Every tensor of the architecture must be there with its shape,
 * and nothing may be left over.
 *
 * @throws {FormatError} for anything the directory lacks or has wrong, naming file and tensor
 */
export function loadModel(dir: string, options: LoadOptions = {}): CausalLM {
  const config = readModelConfig(dir);
  const index = openWeights(dir);
  const names = textNames(index, config);
  const used = new Set<string>();
  using open = new DisposableStack();
  const maps = new Map(index.files.map((file) => [file, open.use(mapSafetensors(file))]));
  const source: WeightSource = (name, shape) => {
    const stored = names.get(name);
    if (stored === undefined) throw missing(dir, name, config, names);
    used.add(name);
    return readWeight({ index, maps, stored, shape, dir }, options);
  };
  const model = buildModel(config, source);
  refuseLeftOvers(dir, names, used, config);
  return model;
}

interface Wanted {
  index: WeightIndex;
  maps: Map<unknown, MappedFile>;
  stored: string;
  shape: readonly number[];
  dir: string;
}

function readWeight({ index, maps, stored, shape, dir }: Wanted, options: LoadOptions): Tensor {
  const found = index.tensors.get(stored);
  const map = found === undefined ? undefined : maps.get(found.file);
  if (found === undefined || map === undefined)
    throw new FormatError(`${dir}: tensor "${stored}" is missing`);
  const { entry, file } = found;
  if (entry.shape.length !== shape.length || entry.shape.some((size, i) => size !== shape[i])) {
    throw new FormatError(
      `${file.path}: tensor "${stored}" has shape [${entry.shape}], config.json asks for [${shape}]. ` +
        "Weights and config are of different models, or a config value was changed.",
    );
  }
  if (!weightTypes.includes(entry.dtype)) {
    throw new FormatError(
      `${file.path}: tensor "${stored}": expected floats (${weightTypes.join(", ")}), got ${entry.dtype}. ` +
        "Quantised weights cannot be trained here; use the float checkpoint they were made from.",
    );
  }
  using reading = scope();
  const mapped = map(entry);
  const { device = "cpu", dtype, copy = false } = options;
  return reading.keep(ops.toDevice(mapped, device, dtype ?? mapped.dtype, false, copy));
}

const weightTypes: readonly TensorDtype[] = ["F64", "F32", "F16", "BF16"];

const multimodalPrefixes = ["model.language_model.", "language_model.model.", "language_model."];

/** Checkpoint names of the text model's tensors, by the name a text-only checkpoint gives them. */
function textNames(index: WeightIndex, config: ModelConfig): Map<string, string> {
  const names = new Map<string, string>();
  for (const stored of index.tensors.keys()) {
    const name = config.isMultimodalText ? textName(stored) : stored;
    if (name !== null) names.set(name, stored);
  }
  return names;
}

function textName(stored: string): string | null {
  if (stored === "language_model.lm_head.weight" || stored === "lm_head.weight") return "lm_head.weight";
  const prefix = multimodalPrefixes.find((p) => stored.startsWith(p));
  return prefix === undefined ? null : `model.${stored.slice(prefix.length)}`;
}

function missing(dir: string, name: string, config: ModelConfig, names: Map<string, string>): FormatError {
  const hint =
    name === "lm_head.weight"
      ? " config.json says tie_word_embeddings is false: set it to true if head and embedding are one matrix."
      : ` The files hold ${names.size} tensors of this model.`;
  return new FormatError(
    `${dir}: tensor "${name}" is missing; a ${config.modelType} model of ${config.numLayers} layers needs it.${hint}`,
  );
}

/** Buffers older checkpoints carry along, and a tied head stored a second time. */
function isHarmless(name: string, config: ModelConfig): boolean {
  return name.endsWith("rotary_emb.inv_freq") || (name === "lm_head.weight" && config.tieWordEmbeddings);
}

function refuseLeftOvers(
  dir: string,
  names: Map<string, string>,
  used: Set<string>,
  config: ModelConfig,
): void {
  const left = [...names.keys()].filter((name) => !used.has(name) && !isHarmless(name, config));
  if (left.length === 0) return;
  throw new FormatError(
    `${dir}: ${left.length} tensors do not belong to a ${config.modelType} model of ${config.numLayers} layers: ` +
      `${left.slice(0, 3).join(", ")}${left.length > 3 ? ", …" : ""}. ` +
      "The weights are of another architecture, or num_hidden_layers in config.json is too small.",
  );
}
