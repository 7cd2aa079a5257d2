/** What the list of linears in a run's configuration stands for in a model. */
import { ConfigError } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";
import { isNamed } from "./adapter-names.ts";
import { blockLinears, linearPath } from "./block-linears.ts";
import { classesOf, families } from "./families/index.ts";
import type { ModelConfig } from "./model-config.ts";

/** The linears of a block that stores each by itself: the default of a run's list. */
const usual: readonly string[] = [
  "q_proj",
  "k_proj",
  "v_proj",
  "o_proj",
  "gate_proj",
  "up_proj",
  "down_proj",
];

/**
 * The linears that `listed` stands for: itself, but in a model that stores several of the usual seven in one matrix, those seven stand
 * for all linears of its blocks.
 *
 * @throws {ConfigError} for a name that no linear of the model has
 */
export function listedTargets(config: ModelConfig, listed: readonly string[]): readonly string[] {
  const linears = config.layerKinds.flatMap((_, layer) =>
    blockLinears(config, layer).map((linear) => ({ name: linear.name, path: linearPath(layer, linear) })),
  );
  const names: readonly string[] = [...new Set(linears.map(({ name }) => name))];
  if (isUsual(listed) && !usual.every((name) => names.includes(name))) return names;
  const places = [...linears.map(({ path }) => path), "lm_head"];
  const unknown = listed.find((name) => !places.some((place) => isNamed(place, name)));
  if (unknown === undefined) return listed;
  throw new ConfigError(
    `lora_target_modules names "${unknown}", which no linear of this ${config.modelType} model is called. ` +
      `They are ${names.join(", ")}.${didYouMean(unknown, names)} "all-linear" takes all of them.`,
  );
}

function isUsual(listed: readonly string[]): boolean {
  return listed.length === usual.length && usual.every((name) => listed.includes(name));
}

/** What to tell the user of a new adapter's linears where they are not those that the configuration lists, or that PEFT would take. */
export function targetNotes(
  config: ModelConfig,
  {
    use_peft,
    adapter_name_or_path,
    lora_target_modules: listed,
  }: {
    use_peft: boolean;
    adapter_name_or_path: string | null;
    lora_target_modules: "all-linear" | readonly string[];
  },
): string[] {
  if (!use_peft || adapter_name_or_path !== null || listed === "all-linear") return [];
  const targets = listedTargets(config, listed);
  const isStored = targets === listed;
  const type = classesOf(families).find(
    ({ family, multimodal }) =>
      family.name === config.family && (multimodal !== null) === config.isMultimodalText,
  );
  const reasons = [
    ...(isStored ? [] : [`this model stores several of ${usual.join(", ")} in one matrix`]),
    ...(type?.hasPeftTargets === false && isUsual(listed)
      ? [`PEFT has no default for a ${type.modelType} model; all linears of its blocks are the one here`]
      : []),
  ];
  return reasons.length === 0 ? [] : [`LoRA on ${targets.join(", ")}: ${reasons.join("; ")}.`];
}
