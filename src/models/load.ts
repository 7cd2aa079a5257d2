/** Hugging Face model directories: config, weights by memory map, and the text part of multimodal checkpoints. */
import { ConfigError, FormatError } from "../base/errors.ts";
import { warn } from "../base/warn.ts";
import { isTunedModel, readAdapter } from "../formats/adapter.ts";
import { adapterPlace } from "../formats/adapter-scale.ts";
import { embeddingName, headName } from "../formats/checkpoint-names.ts";
import { heldQuantisation } from "../formats/held-quantisation.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import { type Quantisation, quantisationText } from "../formats/quantisation.ts";
import type { TensorDtype } from "../formats/safetensors.ts";
import { openModel, requireApart, type StoredModel } from "../formats/tied-head.ts";
import type { WeightIndex, WeightLocation } from "../formats/weight-index.ts";
import { namedTensors } from "../nn/module.ts";
import { EightBitHead } from "../nn/quantised-linear.ts";
import { type DType, ops, scope, type Tensor } from "../torch/index.ts";
import { buildModel } from "./build.ts";
import type { CausalLM } from "./causal-lm.ts";
import { requireFinite } from "./finite.ts";
import { installAdapter } from "./load-adapter.ts";
import { copyStored, type MappedFile, mapSafetensors } from "./mapped-file.ts";
import { modelAtScale } from "./model-at-scale.ts";
import { quantisedLinear } from "./quantised-source.ts";
import type { WeightSource } from "./weights.ts";

/** Options of `loadModel`. */
export interface LoadOptions {
  /** Default "cpu"; "meta": the files are checked, and no weight is read. */
  device?: string;
  /** Type to hold the weights in; default: as stored. */
  dtype?: DType | null;
  /** Own memory for every weight instead of a share in the map: needed to train them. */
  copy?: boolean;
  /** PEFT adapter directory to put into the model, or a model tuned from it, each at its scale; default: none. */
  adapter?: string | null;
  /**
   * How the linears of blocks are held, quantised one after another while they are read; default: as they are stored. The directory
   * may hold them so already.
   */
  quantise?: Quantisation | null;
  /** The embedding's table stays in the computer's memory, and the rows of tokens are copied to `device`. Default false. */
  offload_embedding?: boolean;
}

/** The device of tensors that are checked and not read: shapes and types alone. */
const shapesAlone = "meta";

/**
 * Loads the model in `dir`; no parameter but an adapter's requires grad. Every tensor of the architecture must be there with its shape,
 * all numbers must be finite, and nothing may be left over. A separate head in the files is used whatever config.json says.
 *
 * @throws {FormatError} for anything a directory lacks or has wrong, naming file and tensor
 * @throws {ConfigError} if the adapter names modules the model does not have, or a head's matrix is to be left in the computer's memory
 */
export function loadModel(dir: string, options: LoadOptions = {}): CausalLM {
  if (options.adapter && isTunedModel(options.adapter)) return tunedModel(dir, options.adapter, options);
  const stored = openModel(dir);
  const { config } = stored;
  if (config.isRewardModel) {
    throw new FormatError(
      `${dir}: expected a language model, got a reward model (${config.modelType} for sequence classification), which has no head to ` +
        "predict tokens with. Take the language model that it was made from.",
    );
  }
  if (options.offload_embedding) requireApart(dir, config);
  const isHarmless = (name: string) => name === headName && config.tieWordEmbeddings;
  const model = buildStored(dir, stored, options, {
    build: (source) => buildModel(config, source),
    isHarmless,
  });
  if (options.quantise?.bits === 8 && options.quantise.withHead) {
    model.lm_head = new EightBitHead(model.lm_head.weight);
  }
  if (options.adapter) installAdapter(model, readAdapter(options.adapter));
  return model;
}

/** The model that full tuning made of the one in `dir`, at its scale. @throws {ConfigError} for a start in few bits */
function tunedModel(dir: string, place: string, { device = "cpu", dtype, quantise }: LoadOptions): CausalLM {
  const { place: result, scale } = adapterPlace(place);
  if (quantise) {
    throw new ConfigError(
      `${place}: full tuning changes all weights, which ${quantisationText(quantise)} cannot hold. Leave the option that quantises out.`,
    );
  }
  using own = scope();
  const trained = loadModel(result, { device });
  const type = dtype ?? trained.lm_head.weight.dtype;
  const model = modelAtScale({ start: loadModel(dir, { device }), trained }, scale, type);
  for (const [, tensor] of namedTensors(model)) own.keep(tensor);
  return model;
}

/** How a model is made of the tensors of a directory. */
export interface StoredBuild<Model> {
  build: (source: WeightSource) => Model;
  /** Whether a tensor that `build` leaves may be left, beside buffers that older checkpoints carry along. */
  isHarmless: (name: string) => boolean;
  /** Tensors read in float32, whatever type the others are held in; default: none. */
  exact?: readonly string[];
}

/**
 * What `build` makes of the tensors in `dir`.
 *
 * @throws {FormatError} for a tensor that is missing, left over, of another shape, or not finite
 */
export function buildStored<Model>(
  dir: string,
  { config, index, names }: StoredModel,
  options: LoadOptions,
  { build, isHarmless, exact = [] }: StoredBuild<Model>,
): Model {
  const form = requireForm(dir, config, options);
  const { device = "cpu", quantise = null } = options;
  const used = new Set<string>();
  using open = new DisposableStack();
  const maps = new Map(index.files.map((file) => [file, open.use(mapSafetensors(file))]));
  const source: WeightSource = (name, shape) => {
    const stored = names.get(name);
    if (stored === undefined) throw missing(dir, name, config, names);
    used.add(name);
    const held: LoadOptions = {
      ...options,
      ...(exact.includes(name) ? { dtype: "float32" } : {}),
      ...(options.offload_embedding && name === embeddingName ? { device: "cpu" } : {}),
    };
    const wanted = { index, maps, stored, shape, dir };
    return storedDense(wanted, name, { ...held, locate }) ?? readWeight(wanted, held);
  };
  const locate = (name: string) => {
    const found = index.tensors.get(names.get(name) ?? "") ?? null;
    if (found !== null) used.add(name);
    return found;
  };
  const floats: string[] = [];
  if (form !== null) {
    // what is stored in few bits is not rounded further; int8 of generation takes every matrix
    const rounds = config.quantisation === null || (quantise?.bits === 8 && quantise.withHead);
    const files = { locate, device, quantise: rounds ? quantise : null };
    source.linear = (path, shape, bias) => {
      const linear = quantisedLinear(files, { path, shape, bias });
      if (linear === null) floats.push(path);
      return linear;
    };
  }
  const model = build(source);
  const isLeft = (name: string) =>
    !used.has(name) && !name.endsWith("rotary_emb.inv_freq") && !isHarmless(name);
  refuseLeftOvers(dir, [...names.keys()].filter(isLeft), config);
  if (config.quantisation !== null && floats.length > 0) tellFloats(dir, floats, quantise);
  return model;
}

/** Says that linears which a checkpoint in few bits stores as floats stay so. */
function tellFloats(dir: string, floats: readonly string[], asked: Quantisation | null): void {
  if (asked === null) return;
  warn(
    `${dir}: load_in_${asked.bits}bit is not applied to ${floats.length} linears (${floats[0]}${floats.length > 1 ? ", …" : ""}): the checkpoint is stored ` +
      `in ${quantisationText(asked)} and has these as floats, and its quantization_config is taken over what is given, as in transformers.`,
  );
}

/**
 * How the linears are held; null: as floats.
 *
 * @throws {ConfigError} if they are to be held in another form than they are stored in, or shared by ranks
 */
function requireForm(dir: string, config: ModelConfig, options: LoadOptions): Quantisation | null {
  const form = heldQuantisation(dir, config, options.quantise ?? null);
  if (form !== null && options.device === shapesAlone) {
    throw new ConfigError(
      `${dir}: in ${quantisationText(form)} each rank holds all of the model, it is not shared. Set shard: none.`,
    );
  }
  return form;
}

/** A matrix that is stored in fewer bits and used as one, as a head may be; null where it is stored as floats. */
function storedDense(
  { index, stored, shape }: Wanted,
  name: string,
  { device = "cpu", dtype, locate }: LoadOptions & { locate: (name: string) => WeightLocation | null },
): Tensor | null {
  const type = index.tensors.get(stored)?.entry.dtype;
  const [out, input] = shape;
  if ((type !== "U8" && type !== "I8") || out === undefined || input === undefined) return null;
  if (!name.endsWith(".weight")) return null;
  using reading = scope();
  const path = name.slice(0, -".weight".length);
  const held = quantisedLinear({ locate, device, quantise: null }, { path, shape: [out, input], bias: null });
  return held === null ? null : reading.keep(held.dense(dtype ?? "float32"));
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
        "Use the float checkpoint they were made from; of quantised ones bitsandbytes' are read, with quantization_config in config.json.",
    );
  }
  const { device = "cpu", dtype, copy = false } = options;
  using reading = scope();
  const mapped = map(entry);
  if (device === shapesAlone) {
    return reading.keep(ops.empty(entry.shape, { dtype: dtype ?? mapped.dtype, device }));
  }
  const type = dtype ?? mapped.dtype;
  const shares = !copy && device === "cpu" && type === mapped.dtype;
  const weight = shares ? mapped : ops.empty(entry.shape, { dtype: type, device });
  if (!shares) copyStored(file, entry, weight);
  requireFinite(weight, `${file.path}: tensor "${stored}"`);
  return reading.keep(weight);
}

const weightTypes: readonly TensorDtype[] = ["F64", "F32", "F16", "BF16"];

function missing(
  dir: string,
  name: string,
  config: ModelConfig,
  names: ReadonlyMap<string, string>,
): FormatError {
  const hint =
    name === headName
      ? ` config.json says tie_word_embeddings is false: set it to true${config.isMultimodalText ? " at the top of the file" : ""} if head ` +
        "and embedding are one matrix."
      : ` The files hold ${names.size} tensors of this model.`;
  return new FormatError(
    `${dir}: tensor "${name}" is missing; a ${config.modelType} model of ${config.numLayers} layers needs it.${hint}`,
  );
}

function refuseLeftOvers(dir: string, left: readonly string[], config: ModelConfig): void {
  if (left.length === 0) return;
  throw new FormatError(
    `${dir}: ${left.length} tensors do not belong to a ${config.modelType} model of ${config.numLayers} layers: ` +
      `${left.slice(0, 3).join(", ")}${left.length > 3 ? ", …" : ""}. ` +
      "The weights are of another architecture, or num_hidden_layers in config.json is too small.",
  );
}
