/** From a config to a model, with the head of a language model or that of a reward model. */
import { headName, scoreName } from "../formats/checkpoint-names.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import { Embedding, Linear } from "../nn/linear.ts";
import { blockOf } from "./blocks.ts";
import { CausalLM, type DecoderParts } from "./causal-lm.ts";
import { norm } from "./parts.ts";
import { RewardModel } from "./reward-model.ts";
import type { WeightSource } from "./weights.ts";

/** A language model of the config's design with tensors from `weights`. */
export function buildModel(config: ModelConfig, weights: WeightSource): CausalLM {
  const parts = buildParts(config, weights, config.design.logitScale);
  const head = config.tieWordEmbeddings
    ? parts.trunk.embed_tokens.weight
    : weights(headName, [config.vocabSize, config.hiddenSize]);
  return new CausalLM(parts, new Linear(head));
}

/** A reward model of the config's design with tensors from `weights`, its score layer from `score`. */
export function buildRewardModel(
  config: ModelConfig,
  weights: WeightSource,
  score: WeightSource = weights,
): RewardModel {
  const parts = buildParts(config, weights, 1);
  return new RewardModel(parts, new Linear(score(scoreName, [1, config.hiddenSize])));
}

/** @param scale - factor on the last norm's result: a factor on logits is there, so that everything made of logits has it */
function buildParts(config: ModelConfig, weights: WeightSource, scale: number): DecoderParts {
  const { vocabSize, hiddenSize, numLayers, paddingRow } = config;
  // in this order: with random weights a model follows from the seed and the order in which its tensors are drawn
  const last = norm({ weights, config }, "model.norm", hiddenSize, scale);
  const embedding = new Embedding(weights("model.embed_tokens.weight", [vocabSize, hiddenSize]), paddingRow);
  const layers = Array.from({ length: numLayers }, (_, index) => blockOf({ weights, config, index }));
  return { config, trunk: { isModuleGroup: true, embed_tokens: embedding, layers, norm: last } };
}
