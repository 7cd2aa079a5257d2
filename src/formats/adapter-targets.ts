/** Which modules of a model an adapter changes, by their paths. */
import { ConfigError } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";
import { isNamed, matchTargets } from "./adapter-names.ts";

/** Paths of modules, in the model's order. */
export interface AdaptedModules {
  /** Linears that get a low-rank adapter. */
  adapted: ReadonlySet<string>;
  /** Modules trained in full beside them. */
  saved: ReadonlySet<string>;
}

/**
 * What an adapter with these settings changes.
 *
 * @param targets - module paths, their last parts, "all-linear" or a regular expression, by PEFT's rules
 * @param linears - paths of the model's linears, its head included
 * @param embeddings - paths of its embeddings, which can be saved but not adapted
 * @throws {ConfigError} if nothing matches, the head does, or a module to save does not exist
 */
export function adaptedModules(
  targets: string | readonly string[],
  modulesToSave: readonly string[],
  { linears, embeddings }: { linears: readonly string[]; embeddings: readonly string[] },
): AdaptedModules {
  const adapted = new Set(matchTargets(targets, linears, modulesToSave));
  if (adapted.has("lm_head")) {
    throw new ConfigError(
      "lm_head cannot be a LoRA target: its log-probs are computed without its full output. " +
        'Train it in full with lora_modules_to_save: ["lm_head"] instead.',
    );
  }
  const savable = [...embeddings, ...linears];
  const saved = new Set(modulesToSave.flatMap((name) => modulesNamed(name, savable)));
  if (adapted.size === 0) {
    throw new ConfigError(
      `lora_target_modules matches no linear of this model; its linears are ${lastParts(linears).join(", ")}`,
    );
  }
  return { adapted, saved };
}

function modulesNamed(name: string, savable: readonly string[]): string[] {
  const found = savable.filter((path) => isNamed(path, name));
  if (found.length > 0) return found;
  const known = lastParts(savable);
  throw new ConfigError(
    `lora_modules_to_save names "${name}", which is no linear and no embedding of this model; ` +
      `those are ${known.join(", ")}.${didYouMean(name, known)}`,
  );
}

function lastParts(paths: readonly string[]): string[] {
  return [...new Set(paths.map((path) => path.split(".").at(-1) ?? ""))];
}
