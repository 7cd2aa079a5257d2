/** From directories to an engine: a base model, and adapters by name on the same weights. */
import { ConfigError } from "../base/errors.ts";
import { isTunedModel, readAdapter } from "../formats/adapter.ts";
import type { Quantisation } from "../formats/quantisation.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { loadModel } from "../models/load.ts";
import { installAdapter } from "../models/load-adapter.ts";
import { shareWeights } from "../models/share-weights.ts";
import { namedTensors } from "../nn/module.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { DType } from "../torch/index.ts";
import { Engine } from "./engine.ts";
import type { EngineLimits } from "./request.ts";

/** What to open: local directories. */
export interface EngineSource {
  /** Hugging Face model directory. */
  model: string;
  tokenizer: Tokenizer;
  /** PEFT adapter directories by the names that requests give; or models tuned from this one at a scale, with separate weights. */
  adapters: ReadonlyMap<string, string>;
  device: string;
  /** Type of the weights and activations. */
  dtype: DType;
  limits?: Partial<EngineLimits>;
  /** How the linears are held; default: as they are stored. */
  quantise?: Quantisation | null;
}

/** An engine. Disposing of this frees model, adapters and cache. */
export interface OpenEngine extends Disposable {
  engine: Engine;
}

/** @throws {ConfigError} for weights in 8 bits elsewhere than on the CPU, where their kernels are */
function requireCpu(quantise: Quantisation | null, device: string): void {
  if (quantise?.bits !== 8 || !quantise.withHead || device === "cpu") return;
  throw new ConfigError(
    `weights: int8 is computed on the CPU, and the model would be on ${device}. Leave it out, or set device: cpu.`,
  );
}

/** The model with an adapter, on its own weights. */
function withAdapter(model: CausalLM, path: string): CausalLM {
  const shared = shareWeights(model);
  installAdapter(shared, readAdapter(path));
  return shared;
}

/**
 * Loads a model with its adapters.
 *
 * @throws {FormatError} for anything a directory lacks or has wrong, naming file and tensor
 * @throws {ConfigError} if an adapter names modules the model does not have
 */
export function openEngine(source: EngineSource): OpenEngine {
  const { tokenizer, adapters, device, dtype, limits, quantise = null } = source;
  requireCpu(quantise, device);
  const model = loadModel(source.model, { device, dtype, quantise });
  const adapted = new Map<string, CausalLM>();
  for (const [name, path] of adapters) {
    adapted.set(
      name,
      isTunedModel(path)
        ? loadModel(source.model, { device, dtype, quantise, adapter: path })
        : withAdapter(model, path),
    );
  }
  const engine = new Engine({ model, adapters: adapted, tokenizer, dtype, ...(limits && { limits }) });
  const free = (): void => {
    engine[Symbol.dispose]();
    for (const loaded of [...adapted.values(), model]) {
      for (const [, tensor] of namedTensors(loaded)) tensor.dispose();
    }
  };
  return { engine, [Symbol.dispose]: free };
}
