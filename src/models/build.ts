/** From a config to a model of its family, with the head of a language model or that of a reward model. */
import { headName, scoreName } from "../formats/checkpoint-names.ts";
import type { ModelConfig, ModelFamily } from "../formats/model-config.ts";
import { Linear } from "../nn/linear.ts";
import { CausalLM, type DecoderParts } from "./causal-lm.ts";
import { buildGemma3 } from "./gemma3.ts";
import { buildLlama } from "./llama.ts";
import { buildQwen3 } from "./qwen3.ts";
import { RewardModel } from "./reward-model.ts";
import type { WeightSource } from "./weights.ts";

const builders: Record<ModelFamily, (config: ModelConfig, weights: WeightSource) => DecoderParts> = {
  llama: buildLlama,
  qwen3: buildQwen3,
  gemma3: buildGemma3,
};

/** A language model of the config's family with tensors from `weights`. */
export function buildModel(config: ModelConfig, weights: WeightSource): CausalLM {
  const parts = builders[config.family](config, weights);
  const head = config.tieWordEmbeddings
    ? parts.trunk.embed_tokens.weight
    : weights(headName, [config.vocabSize, config.hiddenSize]);
  return new CausalLM(parts, new Linear(head));
}

/** A reward model of the config's family with tensors from `weights`. */
export function buildRewardModel(config: ModelConfig, weights: WeightSource): RewardModel {
  const parts = builders[config.family](config, weights);
  return new RewardModel(parts, new Linear(weights(scoreName, [1, config.hiddenSize])));
}
