/** Putting an adapter into a built model, and taking its tensors out again under PEFT's names. */
import { deriveSeed } from "../base/random.ts";
import { type AdapterConfig, loraScale } from "../formats/adapter-config.ts";
import type { LoraPart, SavedParameter } from "../formats/adapter-names.ts";
import { adaptedModules } from "../formats/adapter-targets.ts";
import { Embedding } from "../nn/linear.ts";
import { type AdapterSwitch, LoraLinear, SavedEmbedding, SavedLinear } from "../nn/lora.ts";
import { isProjection, type ModulePlace, namedModules, type Projection } from "../nn/module.ts";
import type { Tensor } from "../torch/index.ts";
import type { Decoder } from "./causal-lm.ts";

/** An adapter in place. */
export interface Adapter {
  config: AdapterConfig;
  /** Turns the adapter on and off, and holds what its dropout needs of a batch. */
  switch: AdapterSwitch;
  /** Paths of the adapted linears. */
  targets: string[];
  /** Paths of the modules trained in full. */
  saved: string[];
}

/**
 * Replaces the targeted linears of `model` and copies the modules to save. Only the adapter's tensors require grad.
 *
 * @param targets - module paths, their last parts, "all-linear" or a regular expression, by PEFT's rules
 * @throws {ConfigError} if nothing matches, or a module to save does not exist or is adapted as well
 */
export function addAdapter(
  model: Decoder,
  config: AdapterConfig,
  targets: string | readonly string[] = config.targetModules,
): Adapter {
  const adapters: AdapterSwitch = { enabled: true, dropoutKeys: null };
  const places = [...namedModules(model)];
  const linears = places.filter((p) => isBase(p.module));
  const embeddings = places.filter((p) => p.module instanceof Embedding);
  const pathsOf = (some: readonly ModulePlace[]) => some.map(({ path }) => path);
  const modules = adaptedModules(targets, config.modulesToSave, {
    linears: pathsOf(linears),
    embeddings: pathsOf(embeddings),
  });
  // of all linears, so that an adapter's masks do not depend on which others there are
  const numbers = new Map(linears.map(({ path }, i) => [path, i]));
  const adapted = linears.filter((p) => modules.adapted.has(p.path));
  const saved = [...embeddings, ...linears].filter((p) => modules.saved.has(p.path));
  for (const { owner, key, module, path } of adapted) {
    const { rank, alpha } = loraScale(config, path);
    const dropoutSeed = deriveSeed(0, numbers.get(path) ?? 0);
    const options = { ...config, rank, alpha, dropoutSeed };
    owner[key] = new LoraLinear(module as Projection, options, adapters);
  }
  for (const { owner, key, module } of saved) {
    owner[key] =
      module instanceof Embedding
        ? new SavedEmbedding(module, adapters)
        : new SavedLinear(module as Projection, adapters);
  }
  for (const [, tensor] of adapterTensors(model)) tensor.requiresGrad = true;
  return { config, switch: adapters, targets: pathsOf(adapted), saved: pathsOf(saved) };
}

/** A projection of the model as it was built, which an adapter may wrap. */
function isBase(module: object): module is Projection {
  return isProjection(module) && !(module instanceof LoraLinear || module instanceof SavedLinear);
}

/** The adapter's tensors: path of the module, which part, and the tensor. */
export function* adapterTensors(model: Decoder): Generator<[AdapterPart, Tensor]> {
  for (const { path, module } of namedModules(model)) {
    if (module instanceof LoraLinear) {
      const rank = module.lora_A.size(0);
      const place = (part: LoraPart) => ({
        path,
        part,
        initial: () => module.initial(part, rank),
      });
      yield [place("A"), module.lora_A];
      yield [place("B"), module.lora_B];
      if (module.lora_magnitude_vector !== null) yield [place("magnitude"), module.lora_magnitude_vector];
    } else if (module instanceof SavedLinear || module instanceof SavedEmbedding) {
      const place = { path, part: "saved" } as const;
      yield [{ ...place, parameter: "weight", initial: () => module.initial() }, module.saved];
      if (module instanceof SavedLinear && module.savedBias !== null) {
        const start = module.savedBias;
        yield [{ ...place, parameter: "bias", initial: () => module.initialBias() ?? start }, start];
      }
    }
  }
}

/** Where a tensor of an adapter belongs. */
export type AdapterPart = (
  | { part: LoraPart }
  /** Of a module that is saved whole. */
  | { part: "saved"; parameter: SavedParameter }
) & {
  /** Path of the module, e.g. "model.layers.0.self_attn.q_proj". */
  path: string;
  /** The tensor of a new adapter, made of the base where it needs it. */
  initial: () => Tensor;
};
