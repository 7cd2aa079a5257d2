/** From a configuration to the model and what of it is trained. */
import { ConfigError } from "../base/errors.ts";
import { warn } from "../base/warn.ts";
import type { RunConfig } from "../config/run-config.ts";
import { type AdapterFiles, readAdapter } from "../formats/adapter.ts";
import { type AdapterConfig, dropoutOf } from "../formats/adapter-config.ts";
import { readModelConfig } from "../formats/hf-config.ts";
import { listedTargets } from "../formats/listed-targets.ts";
import { askedQuantisation, type QuantisationKeys, quantisationText } from "../formats/quantisation.ts";
import type { Environment } from "../forward/environment.ts";
import { type Adapter, addAdapter } from "../models/adapt.ts";
import { CausalLM, type Decoder } from "../models/causal-lm.ts";
import { type LoadOptions, loadModel } from "../models/load.ts";
import { installAdapter } from "../models/load-adapter.ts";
import { loadRewardModel } from "../models/load-reward-model.ts";
import { RewardModel } from "../models/reward-model.ts";
import { shareWeights } from "../models/share-weights.ts";
import { SavedEmbedding } from "../nn/lora.ts";
import { namedTensors } from "../nn/module.ts";
import type { ParameterSet } from "../nn/parameter-set.ts";
import type { DType, Tensor } from "../torch/index.ts";
import { adapterParameters, trainAll } from "./parameters.ts";

/** Keys that say what is trained. */
export type TrainedSelection = Pick<
  RunConfig,
  | "model_name_or_path"
  | "use_peft"
  | "lora_r"
  | "lora_alpha"
  | "lora_dropout"
  | "lora_target_modules"
  | "lora_modules_to_save"
  | "use_rslora"
  | "use_dora"
  | "adapter_name_or_path"
  | "disable_dropout"
> &
  Partial<QuantisationKeys & Pick<RunConfig, "offload_embedding">> & {
    /** What a new adapter's file calls its base model. */
    baseModel: string;
    /** The revision of it on the hub; null or left out: none. */
    baseRevision?: string | null;
  };

/** A model and the tensors of it that are trained. */
export interface TrainedModel<Model extends Decoder = CausalLM> {
  model: Model;
  adapter: Adapter | null;
  parameters: ParameterSet;
  /** The model without an adapter, on the same tensors, where they are held in fewer bits: none has to be quantised twice. Else null, or left out. */
  base?: CausalLM | null;
  /** Frees all tensors of model and adapter. */
  dispose(): void;
}

/**
 * Loads the model and marks what is trained: an adapter (new, or the one to continue from), or every weight in float32.
 * A new adapter draws from torch's generator: seed it before.
 *
 * @throws {ConfigError} if the embedding is to stay in the computer's memory where the model is, the head too, or it is trained
 */
export function prepareModel(selection: TrainedSelection, environment: Environment): TrainedModel {
  return prepared(selection, environment, loadModel);
}

/**
 * The same for a reward model: that in the directory, or the language model there with a new score layer, made before the
 * adapter. The score layer is trained in full, beside an adapter too.
 *
 * @param padTokenId - token that pads batches of its texts elsewhere: none that ends one
 * @param newScore - what a language model gets; null: it is refused
 */
export function prepareRewardModel(
  selection: TrainedSelection,
  environment: Environment,
  padTokenId: number | null,
  newScore: "normal" | "zero" | null = "normal",
): TrainedModel<RewardModel> {
  const saved = selection.lora_modules_to_save.filter((name) => name !== "score");
  return prepared({ ...selection, lora_modules_to_save: [...saved, "score"] }, environment, (dir, options) =>
    loadRewardModel(dir, { ...options, newScore, padTokenId }),
  );
}

function prepared<Model extends Decoder>(
  selection: TrainedSelection,
  environment: Environment,
  load: (dir: string, options: LoadOptions) => Model,
): TrainedModel<Model> {
  const { device, dtype } = environment;
  const dir = selection.model_name_or_path;
  if (!selection.use_peft) {
    requireNoAdapter(selection);
    requireFloats(dir);
    const model = load(dir, { device, dtype: "float32", copy: true });
    return trainedModel({ model, adapter: null, parameters: trainAll(model) }, dtype);
  }
  const quantise = askedQuantisation(selection);
  const { offload_embedding = false } = selection;
  if (offload_embedding && device === "cpu") {
    throw new ConfigError(
      "offload_embedding: the model runs on the CPU, where the embedding is in the computer's memory already. Leave it out.",
    );
  }
  const model = load(dir, { device, dtype, quantise, offload_embedding });
  // taken before the adapter hides what it replaces
  const tensors = tensorsOf(model);
  const isQuantised = (quantise ?? model.config.quantisation) !== null;
  const base = isQuantised && model instanceof CausalLM ? shareWeights(model) : null;
  const adapter = adapterOf(model, selection);
  if (offload_embedding && model.model.embed_tokens instanceof SavedEmbedding) {
    throw new ConfigError(
      `offload_embedding: ${selection.adapter_name_or_path ?? "lora_modules_to_save"} trains the embedding, on the device. Leave it out.`,
    );
  }
  return trainedModel({ model, adapter, parameters: adapterParameters(model), base }, dtype, tensors);
}

/** @throws {ConfigError} if full tuning is to begin from an adapter */
export function requireNoAdapter({ adapter_name_or_path }: TrainedSelection): void {
  if (adapter_name_or_path === null) return;
  throw new ConfigError(
    "adapter_name_or_path needs use_peft: true, or merge the adapter first: preftune merge",
  );
}

/** @throws {ConfigError} if full tuning is to change weights that are held in few bits */
export function requireFloats(dir: string): void {
  const { quantisation } = readModelConfig(dir);
  if (quantisation === null) return;
  throw new ConfigError(
    `${dir}: its linears are stored in ${quantisationText(quantisation)}, which full tuning cannot change: an update is smaller than a step ` +
      "between two of their numbers. Set use_peft: true to train an adapter on them, or take the float checkpoint.",
  );
}

/** The files of an adapter to train on, with the dropout that the run asks for, else its own. */
export function withDropout(files: AdapterFiles, selection: TrainedSelection): AdapterFiles {
  if (files.config.raw["init_lora_weights"] === "mica") {
    warn(
      `${files.dir}: an adapter by MiCA, of which PEFT trains lora_A alone. Here lora_B is trained with it.`,
    );
  }
  return { ...files, config: { ...files.config, dropout: dropoutOf(selection, files.config) } };
}

/** @param hidden - tensors that the adapter hides */
function trainedModel<Model extends Decoder>(
  trained: Omit<TrainedModel<Model>, "dispose">,
  dtype: DType,
  hidden: readonly Tensor[] = [],
): TrainedModel<Model> {
  const { model, parameters } = trained;
  parameters.gather(dtype);
  const dispose = (): void => {
    parameters.release();
    for (const tensor of [...hidden, ...tensorsOf(model)]) tensor.dispose();
  };
  return { ...trained, dispose };
}

function tensorsOf(model: Decoder): Tensor[] {
  return [...namedTensors(model)].map(([, tensor]) => tensor);
}

/** The adapter that `selection` begins with, in `model`: that of a directory, or a new one. */
export function adapterOf(model: Decoder, selection: TrainedSelection): Adapter {
  if (selection.adapter_name_or_path !== null) {
    return installAdapter(model, withDropout(readAdapter(selection.adapter_name_or_path), selection));
  }
  const listed = selection.lora_target_modules;
  const targets = listed === "all-linear" ? listed : [...listedTargets(model.config, listed)];
  const config: AdapterConfig = {
    rank: selection.lora_r,
    alpha: selection.lora_alpha,
    dropout: dropoutOf(selection),
    targetModules: targets === "all-linear" ? [] : targets,
    useRslora: selection.use_rslora,
    useDora: selection.use_dora,
    modulesToSave: selection.lora_modules_to_save,
    baseModel: selection.baseModel,
    revision: selection.baseRevision ?? null,
    bias: "none",
    taskType: model instanceof RewardModel ? "SEQ_CLS" : "CAUSAL_LM",
    rankPattern: {},
    alphaPattern: {},
    raw: {},
  };
  const adapter = addAdapter(model, config, targets);
  // PEFT resolves "all-linear" the same way before it saves
  const names = new Set(adapter.targets.map((path) => path.split(".").at(-1) as string));
  return {
    ...adapter,
    config: { ...config, targetModules: targets === "all-linear" ? [...names] : targets },
  };
}
