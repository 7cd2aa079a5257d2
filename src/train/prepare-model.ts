/** From a configuration to the model and what of it is trained. */
import { ConfigError } from "../base/errors.ts";
import type { RunConfig } from "../config/run-config.ts";
import { readAdapter } from "../formats/adapter.ts";
import type { AdapterConfig } from "../formats/adapter-config.ts";
import type { Environment } from "../forward/environment.ts";
import { type Adapter, addAdapter } from "../models/adapt.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { loadModel } from "../models/load.ts";
import { installAdapter } from "../models/load-adapter.ts";
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
> & {
  /** What a new adapter's file calls its base model. */
  baseModel: string;
};

/** A model and the tensors of it that are trained. */
export interface TrainedModel {
  model: CausalLM;
  adapter: Adapter | null;
  parameters: ParameterSet;
  /** Frees all tensors of model and adapter. */
  dispose(): void;
}

/**
 * Loads the model and marks what is trained: an adapter (new, or the one to continue from), or every weight in float32.
 * A new adapter draws from torch's generator: seed it before.
 */
export function prepareModel(selection: TrainedSelection, environment: Environment): TrainedModel {
  const { device, dtype } = environment;
  const dir = selection.model_name_or_path;
  if (!selection.use_peft) {
    if (selection.adapter_name_or_path !== null) {
      throw new ConfigError(
        "adapter_name_or_path needs use_peft: true, or merge the adapter first: preftune merge",
      );
    }
    const model = loadModel(dir, { device, dtype: "float32", copy: true });
    return trainedModel({ model, adapter: null, parameters: trainAll(model) }, dtype);
  }
  const model = loadModel(dir, { device, dtype });
  // taken before the adapter hides what it replaces
  const base = tensorsOf(model);
  const adapter = adapterOf(model, selection);
  return trainedModel({ model, adapter, parameters: adapterParameters(model) }, dtype, base);
}

/** @param base - tensors that the adapter hides */
function trainedModel(
  trained: Omit<TrainedModel, "dispose">,
  dtype: DType,
  base: readonly Tensor[] = [],
): TrainedModel {
  const { model, parameters } = trained;
  parameters.gather(dtype);
  const dispose = (): void => {
    parameters.release();
    for (const tensor of [...base, ...tensorsOf(model)]) tensor.dispose();
  };
  return { ...trained, dispose };
}

function tensorsOf(model: CausalLM): Tensor[] {
  return [...namedTensors(model)].map(([, tensor]) => tensor);
}

function adapterOf(model: CausalLM, selection: TrainedSelection): Adapter {
  const dropout = selection.disable_dropout ? 0 : selection.lora_dropout;
  if (selection.adapter_name_or_path !== null) {
    const files = readAdapter(selection.adapter_name_or_path);
    return installAdapter(model, { ...files, config: { ...files.config, dropout } });
  }
  const targets = selection.lora_target_modules;
  const config: AdapterConfig = {
    rank: selection.lora_r,
    alpha: selection.lora_alpha,
    dropout,
    targetModules: targets === "all-linear" ? [] : targets,
    useRslora: selection.use_rslora,
    useDora: selection.use_dora,
    modulesToSave: selection.lora_modules_to_save,
    baseModel: selection.baseModel,
    bias: "none",
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
