/** From directories to an engine: a base model, its tokenizer, and adapters by name on the same weights. */
import { readAdapter } from "../formats/adapter.ts";
import { readModelConfig } from "../formats/hf-config.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { loadModel } from "../models/load.ts";
import { installAdapter } from "../models/load-adapter.ts";
import { shareWeights } from "../models/share-weights.ts";
import { namedTensors } from "../nn/module.ts";
import { loadTokenizer, type Tokenizer } from "../text/tokenizer.ts";
import type { DType } from "../torch/index.ts";
import { Engine } from "./engine.ts";
import type { EngineLimits } from "./request.ts";

/** What to open: local directories. */
export interface EngineSource {
  /** Hugging Face model directory. */
  model: string;
  /** PEFT adapter directories by the names that requests give. */
  adapters: ReadonlyMap<string, string>;
  device: string;
  /** Type of the weights and activations. */
  dtype: DType;
  limits?: Partial<EngineLimits>;
}

/** An engine with what it was made of. Disposing of it frees model, adapters and cache. */
export interface OpenEngine extends Disposable {
  engine: Engine;
  tokenizer: Tokenizer;
  config: ModelConfig;
}

/**
 * Loads a model with its adapters.
 *
 * @throws {FormatError} for anything a directory lacks or has wrong, naming file and tensor
 * @throws {ConfigError} if an adapter names modules the model does not have
 */
export function openEngine({ model: directory, adapters, device, dtype, limits }: EngineSource): OpenEngine {
  const config = readModelConfig(directory);
  const tokenizer = loadTokenizer(directory);
  const model = loadModel(directory, { device, dtype });
  const adapted = new Map<string, CausalLM>();
  for (const [name, path] of adapters) {
    const shared = shareWeights(model);
    installAdapter(shared, readAdapter(path));
    adapted.set(name, shared);
  }
  const engine = new Engine({ model, adapters: adapted, tokenizer, dtype, ...(limits && { limits }) });
  const free = (): void => {
    engine[Symbol.dispose]();
    for (const one of [...adapted.values(), model]) {
      for (const [, tensor] of namedTensors(one)) tensor.dispose();
    }
  };
  return { engine, tokenizer, config, [Symbol.dispose]: free };
}
