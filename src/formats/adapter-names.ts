/** Names of the tensors in a PEFT adapter file, and which modules of a model a target names. */
import type { AdapterConfig } from "./adapter-config.ts";
import { multimodalPath, textName } from "./checkpoint-names.ts";
import { matchPattern, namesAny, patternValue } from "./module-patterns.ts";

/** Parts of a LoRA module: the two factors, and DoRA's vector of row norms. */
export type LoraPart = "A" | "B" | "magnitude";
/** What there is of a module that is saved whole. */
export type SavedParameter = "weight" | "bias";

/**
 * What a tensor of an adapter file is, by the path that its module has in a text model: adapters of a multimodal model's text part
 * are read too. `saved` is a whole parameter of a module listed in `modules_to_save`.
 */
export type AdapterTensorName =
  | { kind: LoraPart; module: string }
  | { kind: "saved"; module: string; parameter: SavedParameter };

const prefix = "base_model.model.";

const partSuffix: Readonly<Record<LoraPart, string>> = {
  A: "lora_A.weight",
  B: "lora_B.weight",
  magnitude: "lora_magnitude_vector",
};

/** `base_model.model.<module>.lora_A.weight` and so on; `module` is its path in the model. */
export function loraTensorName(module: string, part: LoraPart): string {
  return `${prefix}${module}.${partSuffix[part]}`;
}

/** Whether weight decay applies to a trained tensor, as in transformers' trainer: to all but biases and norms. */
export function decays({ name, shape }: { name: string; shape: readonly number[] }): boolean {
  return shape.length > 1 || name.endsWith(`.${partSuffix.magnitude}`);
}

/** `base_model.model.<module>.weight`, the name of a parameter of a module that is saved whole. */
export function savedModuleName(module: string, parameter: SavedParameter): string {
  return `${prefix}${module}.${parameter}`;
}

/** How an adapter names the modules of a model, and each tensor of it. */
export interface AdapterPaths {
  config: AdapterConfig;
  nameOf: (tensor: string) => string;
}

/**
 * An adapter's settings and names for the class that it is to be used in.
 *
 * @param isPart - for a multimodal model's class, of which the text model is a part: its modules have other paths there, and a
 * target that is no whole path would name modules of the other parts as well
 */
export function adapterPathsIn(
  { config, targets, saved }: { config: AdapterConfig; targets: readonly string[]; saved: readonly string[] },
  isPart: boolean,
): AdapterPaths {
  if (!isPart) return { config, nameOf: (tensor) => tensor };
  return {
    config: {
      ...config,
      ...patternsAt(
        config,
        targets.map((path) => [path, multimodalPath(path)]),
      ),
      targetModules: targets.map(multimodalPath),
      modulesToSave: saved.map(multimodalPath),
    },
    nameOf: (tensor) => prefix + multimodalPath(tensor.slice(prefix.length)),
  };
}

/**
 * The ranks and alphas of single modules for modules that have other paths elsewhere: an expression over one path says nothing of the
 * other, so every module that a pattern names has an entry.
 *
 * @param paths - of each module, that which the patterns are about, and the other
 * @throws {ConfigError} when a pattern is no valid expression, or takes too long
 */
export function patternsAt(
  config: Pick<AdapterConfig, "rankPattern" | "alphaPattern">,
  paths: readonly (readonly [from: string, to: string])[],
): Pick<AdapterConfig, "rankPattern" | "alphaPattern"> {
  const at = (pattern: Readonly<Record<string, number>>, where: string) =>
    Object.fromEntries(
      paths.flatMap(([from, to]) => {
        const value = patternValue(pattern, from, where);
        return value === null ? [] : [[to, value]];
      }),
    );
  return {
    rankPattern: at(config.rankPattern, "rank_pattern"),
    alphaPattern: at(config.alphaPattern, "alpha_pattern"),
  };
}

/** The path that a module has in the class of which the adapter was saved, from the name of its first factor. */
export function storedModule(tensor: string): string {
  return tensor.slice(prefix.length).replace(/\.lora_A\.weight$/, "");
}

/** What a tensor name of an adapter file means, or null when it is no LoRA factor and no plain parameter. */
export function parseAdapterTensorName(name: string): AdapterTensorName | null {
  if (!name.startsWith(prefix)) return null;
  const path = textName(name.slice(prefix.length));
  const lora = /^(.+)\.lora_(?:([AB])\.weight|magnitude_vector(?:\.weight)?)$/.exec(path);
  if (lora?.[1] !== undefined) {
    const part = lora[2];
    return { kind: part === "A" || part === "B" ? part : "magnitude", module: lora[1] };
  }
  if (/(^|\.)(lora_|base_layer\.)/.test(path)) return null;
  const saved = /^(.+)\.(weight|bias)$/.exec(path);
  if (saved?.[1] === undefined) return null;
  return { kind: "saved", module: saved[1], parameter: saved[2] === "bias" ? "bias" : "weight" };
}

/** PEFT's word for all linear layers but the output head. */
const allLinear: string = "all-linear";

/**
 * The modules that `targets` names, by PEFT's rules, in the order given.
 *
 * A list names modules by their path or its last parts ("q_proj", "self_attn.q_proj"); a string is "all-linear" or a
 * regular expression that must match the whole path. Modules under `excluded` (the modules saved whole) never match.
 * @param linearModules - paths of the model's linear modules, the output head included
 * @throws {ConfigError} when an expression is invalid, too long, or takes too long to match
 */
export function matchTargets(
  targets: string | readonly string[],
  linearModules: readonly string[],
  excluded: readonly string[] = [],
): string[] {
  const isExcluded = (module: string): boolean =>
    excluded.some((name) => `.${module}.`.includes(`.${name}.`));
  const candidates = linearModules.filter((module) => !isExcluded(module));
  if (typeof targets !== "string") {
    const names = new Set(targets);
    return candidates.filter((module) => namesAny(names, module));
  }
  if (targets.toLowerCase() === allLinear) return candidates.filter((module) => !isNamed(module, "lm_head"));
  return matchPattern(targets, candidates, "target_modules");
}

/** Whether `name` is the path of the module or its last parts. */
export function isNamed(module: string, name: string): boolean {
  return module === name || module.endsWith(`.${name}`);
}
