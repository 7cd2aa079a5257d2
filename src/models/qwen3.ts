/** Qwen3: Llama's block with q and k normalised per head before the rotation (Yang et al. 2025, arXiv:2505.09388). */
import type { ModelConfig } from "../formats/model-config.ts";
import { assemble, type DecoderParts } from "./causal-lm.ts";
import { PreNormBlock } from "./llama.ts";
import { type NormKind, norm } from "./parts.ts";
import type { WeightSource } from "./weights.ts";

/** The parts of a Qwen3 model from `weights`. */
export function buildQwen3(config: ModelConfig, weights: WeightSource): DecoderParts {
  const plain: NormKind = { config, offset: 0 };
  return assemble(config, weights, {
    block: (index) => new PreNormBlock(weights, config, index, plain),
    norm: norm(weights, "model.norm", config.hiddenSize, plain),
    traits: { embedScale: 1 },
  });
}
