/** Putting an adapter into a built model, and taking its tensors out again under PEFT's names. */
import { ConfigError } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";
import { Embedding, Linear } from "../nn/linear.ts";
import { type AdapterSwitch, LoraLinear, type LoraOptions, SavedEmbedding, SavedLinear } from "../nn/lora.ts";
import { type ModulePlace, namedModules } from "../nn/module.ts";
import type { Tensor } from "../torch/index.ts";
import type { CausalLM } from "./causal-lm.ts";

/** What to adapt. */
export interface AdapterOptions extends LoraOptions {
  /** Tells by its path whether a linear gets an adapter (the head never does). */
  isTarget: (path: string) => boolean;
  /** Last parts of the paths of modules to train in full beside the adapter, e.g. ["lm_head"]. */
  modulesToSave: readonly string[];
}

/** An adapter in place. */
export interface Adapter {
  /** Turns the adapter, and its dropout, on and off. */
  switch: AdapterSwitch;
  /** Paths of the adapted linears. */
  targets: string[];
  /** Paths of the modules trained in full. */
  saved: string[];
}

/**
 * Replaces the targeted linears of `model` and copies the modules to save. Only the adapter's tensors require grad.
 *
 * @throws {ConfigError} if nothing matches, or a module to save does not exist or is adapted as well
 */
export function addAdapter(model: CausalLM, options: AdapterOptions): Adapter {
  const adapters: AdapterSwitch = { enabled: true, training: false };
  const places = [...namedModules(model)];
  const wanted = places.filter((p) => p.module instanceof Linear && options.isTarget(p.path));
  const targets = wanted.filter((p) => p.path !== "lm_head");
  if (targets.length < wanted.length) {
    throw new ConfigError(
      "lm_head cannot be a LoRA target: its log-probs are computed without its full output. " +
        'Train it in full with lora_modules_to_save: ["lm_head"] instead.',
    );
  }
  const saved = options.modulesToSave.flatMap((name) => savePlaces(places, name, targets));
  if (targets.length === 0 && saved.length === 0) throw noTarget(places);
  for (const { owner, key, module } of targets) owner[key] = new LoraLinear(module as Linear, options, adapters);
  for (const { owner, key, module } of saved) {
    owner[key] =
      module instanceof Embedding ? new SavedEmbedding(module, adapters) : new SavedLinear(module as Linear, adapters);
  }
  for (const [, tensor] of adapterTensors(model)) tensor.requiresGrad = true;
  return { switch: adapters, targets: targets.map((p) => p.path), saved: saved.map((p) => p.path) };
}

function savePlaces(places: ModulePlace[], name: string, targets: ModulePlace[]): ModulePlace[] {
  const found = places.filter(
    (p) =>
      (p.module instanceof Linear || p.module instanceof Embedding) &&
      (p.path === name || p.path.endsWith(`.${name}`)),
  );
  if (found.length === 0) {
    const known = ["lm_head", "embed_tokens", "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
    throw new ConfigError(
      `lora_modules_to_save names "${name}", which this model does not have.${didYouMean(name, known)}`,
    );
  }
  const both = found.find((p) => targets.includes(p));
  if (both !== undefined) throw new ConfigError(`${both.path} is both a LoRA target and in lora_modules_to_save: choose one`);
  return found;
}

function noTarget(places: ModulePlace[]): ConfigError {
  const names = new Set(places.flatMap((p) => (p.module instanceof Linear ? [p.path.split(".").at(-1)] : [])));
  return new ConfigError(`lora_target_modules matches no linear of this model; its linears are ${[...names].join(", ")}`);
}

/** The adapter's tensors: path of the module, which part, and the tensor. */
export function* adapterTensors(model: CausalLM): Generator<[AdapterPart, Tensor]> {
  for (const { path, module } of namedModules(model)) {
    if (module instanceof LoraLinear) {
      yield [{ path, part: "A" }, module.lora_A];
      yield [{ path, part: "B" }, module.lora_B];
      if (module.lora_magnitude_vector !== null) yield [{ path, part: "magnitude" }, module.lora_magnitude_vector];
    } else if (module instanceof SavedLinear || module instanceof SavedEmbedding) {
      yield [{ path, part: "saved" }, module.saved];
    }
  }
}

/** Where a tensor of an adapter belongs. */
export interface AdapterPart {
  /** Path of the module, e.g. "model.layers.0.self_attn.q_proj". */
  path: string;
  part: "A" | "B" | "magnitude" | "saved";
}
