/** From a config to a model of its family. */
import type { ModelConfig, ModelFamily } from "../formats/model-config.ts";
import type { CausalLM } from "./causal-lm.ts";
import { buildGemma3 } from "./gemma3.ts";
import { buildLlama } from "./llama.ts";
import { buildQwen3 } from "./qwen3.ts";
import type { WeightSource } from "./weights.ts";

const builders: Record<ModelFamily, (config: ModelConfig, weights: WeightSource) => CausalLM> = {
  llama: buildLlama,
  qwen3: buildQwen3,
  gemma3: buildGemma3,
};

/** A model of the config's family with tensors from `weights`. */
export function buildModel(config: ModelConfig, weights: WeightSource): CausalLM {
  return builders[config.family](config, weights);
}
