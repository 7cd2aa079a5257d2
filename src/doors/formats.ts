/**
 * `preftune/formats`: models and adapters as they lie on disk or on the hub: configurations, safetensors, PEFT adapters.
 * Needs no libtorch.
 *
 * @example
 *   import { openWeights, readModelConfig } from "preftune/formats";
 *   console.log(readModelConfig("models/SmolLM2-135M-Instruct").vocabSize, openWeights("models/SmolLM2-135M-Instruct").tensors.size);
 */
import "../base/node-version.ts";

export { type AdapterFiles, type LoraTensors, readAdapter } from "../formats/adapter.ts";
export type { AdapterConfig } from "../formats/adapter-config.ts";
export { parseModelConfig, readModelConfig } from "../formats/hf-config.ts";
export type { ModelConfig } from "../formats/model-config.ts";
export {
  readSafetensorsHeader,
  readTensorBytes,
  type SafetensorsFile,
  type TensorDtype,
  type TensorEntry,
} from "../formats/safetensors.ts";
export { type TensorSource, writeSafetensors } from "../formats/safetensors-write.ts";
export { openWeights, type WeightIndex } from "../formats/weight-index.ts";
export { type WriteWeightsOptions, writeWeights } from "../formats/weight-shards.ts";
export {
  type FoundModel,
  type ModelSearch,
  resolveModel,
  resolveModelDirectory,
} from "../hub/hub-model.ts";
