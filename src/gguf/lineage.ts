/** The keys that say what a model was made of: models and data sets of the hub, as llama.cpp's converter writes them. */
import { float32, type GgufValue, string, uint32 } from "./values.ts";

/** What a model was made of, models and data sets each `owner/name`. */
export interface Lineage {
  baseModels: readonly string[];
  datasets: readonly string[];
  /** How much of what was trained it takes, where that is not the whole. */
  scale?: number;
}

/** Nothing is known. */
export const noLineage: Lineage = { baseModels: [], datasets: [] };

/** The keys of a file; none for what is not known. */
export function lineageKeys({ baseModels, datasets, scale = 1 }: Lineage): [string, GgufValue][] {
  return [
    ...sources("base_model", "https://huggingface.co/", baseModels),
    ...sources("dataset", "https://huggingface.co/datasets/", datasets),
    ...(scale === 1 ? [] : [["preftune.adapter_scale", float32(scale)] satisfies [string, GgufValue]]),
  ];
}

function sources(kind: string, address: string, names: readonly string[]): [string, GgufValue][] {
  if (names.length === 0) return [];
  const each = names.flatMap((name, i): [string, GgufValue][] => {
    const [owner = "", own = ""] = name.split("/");
    const key = `general.${kind}.${i}`;
    return [
      [`${key}.name`, string(own)],
      [`${key}.organization`, string(owner)],
      [`${key}.repo_url`, string(`${address}${name}`)],
    ];
  });
  return [[`general.${kind}.count`, uint32(names.length)], ...each];
}
